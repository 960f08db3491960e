//! The `query_json` tool: picks values out of a JSON text by a path, and sums them up on request.
//!
//! Paths are JSON Pointer (RFC 6901) or the part of JSONPath (RFC 9535) whose cost is bounded by the size of the text:
//! names, indices, `*` and one `..`. Filters and repeated `..` can take a time out of proportion to their length.

mod path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ToolFailure;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str = "Parses a JSON text and returns what a path selects: JSON Pointer (/users/0/name) \
    or JSONPath with names, indices, wildcards and one descent ($.users[*].name, $..id); optionally its length, keys, \
    type, or the sum, average, min or max of the numbers.";

/// Most values returned by a path with wildcards.
const MAX_VALUES: usize = 100;

/// What to look up.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Arguments {
    /// The JSON text.
    json: String,
    /// JSON Pointer or JSONPath; the whole document if absent.
    path: Option<String>,
    /// What to say about the selected values instead of the values.
    summary: Option<Summary>,
}

/// A question about the selected values.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Summary {
    /// How many members, elements or characters; how many values of a path with wildcards.
    Length,
    /// The names of an object's members.
    Keys,
    /// The JSON type.
    Type,
    /// The sum of the numbers.
    Sum,
    /// The mean of the numbers.
    Average,
    /// The smallest number.
    Min,
    /// The largest number.
    Max,
}

/// Looks the path up.
pub(crate) fn query_json(arguments: Arguments) -> Result<Value, ToolFailure> {
    let document: Value = serde_json::from_str(arguments.json.trim())
        .map_err(|error| ToolFailure::new("invalid_json", format!("That is not valid JSON: {error}.")))?;
    let path = arguments.path.as_deref().unwrap_or("$").trim();
    let (found, single) = path::select(&document, path)?;
    let mut result = json!({ "path": path, "matches": found.len() });
    result["result"] = match arguments.summary {
        Some(summary) => summarise(summary, &found, single)?,
        None if single => found[0].clone(),
        None => found.iter().take(MAX_VALUES).map(|value| (*value).clone()).collect(),
    };
    result["type"] = kind(&result["result"]).into();
    Ok(result)
}

fn summarise(summary: Summary, found: &[&Value], single: bool) -> Result<Value, ToolFailure> {
    match (summary, found) {
        (Summary::Length, [one]) if single => match one {
            Value::Array(items) => Ok(items.len().into()),
            Value::Object(members) => Ok(members.len().into()),
            Value::String(text) => Ok(text.chars().count().into()),
            _ => Err(wrong_type("Only arrays, objects and texts have a length")),
        },
        (Summary::Length, _) => Ok(found.len().into()),
        (Summary::Keys, [Value::Object(members)]) => Ok(members.keys().cloned().collect()),
        (Summary::Keys, _) => Err(wrong_type("Only an object has keys")),
        (Summary::Type, [one]) if single => Ok(kind(one).into()),
        (Summary::Type, _) => Ok(found.iter().map(|value| kind(value)).collect()),
        (_, [Value::Array(items)]) if single => fold(summary, &items.iter().collect::<Vec<_>>()),
        _ => fold(summary, found),
    }
}

/// The sum and its like; whole numbers stay exact as long as they fit.
fn fold(summary: Summary, values: &[&Value]) -> Result<Value, ToolFailure> {
    let numbers: Option<Vec<f64>> = values.iter().map(|value| value.as_f64()).collect();
    let numbers =
        numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(|| wrong_type("I need numbers for that"))?;
    let whole: Option<Vec<i64>> = values.iter().map(|value| value.as_i64()).collect();
    let sum: f64 = numbers.iter().sum();
    Ok(match (summary, whole) {
        (Summary::Average, _) => json!(sum / numbers.len() as f64),
        (Summary::Min, Some(whole)) => json!(whole.iter().min()),
        (Summary::Max, Some(whole)) => json!(whole.iter().max()),
        (Summary::Min, None) => json!(numbers.iter().copied().fold(f64::INFINITY, f64::min)),
        (Summary::Max, None) => json!(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        (_, Some(whole)) => match whole.iter().try_fold(0i64, |sum, number| sum.checked_add(*number)) {
            Some(sum) => json!(sum),
            None => json!(sum),
        },
        _ => json!(sum),
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(what: &str) -> ToolFailure {
    ToolFailure::new("wrong_type", format!("{what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"users":[{"name":"Ada","age":36},{"name":"Bo","age":41}],"a.b":{"c/d":[1,2,3]}}"#;

    fn run(json: &str, path: &str, summary: Option<Summary>) -> Result<Value, String> {
        let arguments = Arguments { json: json.to_owned(), path: Some(path.to_owned()), summary };
        query_json(arguments).map(|value| value["result"].clone()).map_err(|failure| failure.code)
    }

    #[test]
    fn paths_by_table() {
        for (path, expected) in [
            ("$.users[0].name", json!("Ada")),
            ("users[1].age", json!(41)),
            (".users[-1].name", json!("Bo")),
            ("$.users[*].name", json!(["Ada", "Bo"])),
            ("$..age", json!([36, 41])),
            ("/users/0/name", json!("Ada")),
            ("/a.b/c~1d/2", json!(3)),
            ("$['a.b'][\"c/d\"][0]", json!(1)),
            ("$.users.*.age", json!([36, 41])),
        ] {
            assert_eq!(run(TEXT, path, None), Ok(expected), "{path}");
        }
    }

    #[test]
    fn summaries_by_table() {
        for (path, summary, expected) in [
            ("$.users", Summary::Length, json!(2)),
            ("$", Summary::Keys, json!(["a.b", "users"])),
            ("$.users[*].age", Summary::Sum, json!(77)),
            ("/a.b/c~1d", Summary::Average, json!(2.0)),
            ("$..age", Summary::Max, json!(41)),
            ("$.users[0]", Summary::Type, json!("object")),
        ] {
            assert_eq!(run(TEXT, path, Some(summary)), Ok(expected), "{path}");
        }
    }

    #[test]
    fn failures_by_table() {
        for (text, path, code) in [
            ("{", "$", "invalid_json"),
            (TEXT, "$.nobody", "not_found"),
            (TEXT, "$.users[9]", "not_found"),
            (TEXT, "$.users[", "invalid_path"),
            (TEXT, "$..a..b", "invalid_path"),
            (TEXT, "$.users[?(@.age > 3)]", "invalid_path"),
        ] {
            assert_eq!(run(text, path, None), Err(code.to_owned()), "{path}");
        }
        assert_eq!(run(&"[".repeat(60_000), "$", None), Err("invalid_json".to_owned()));
        assert_eq!(run("[\"a\"]", "$", Some(Summary::Sum)), Err("wrong_type".to_owned()));
    }
}
