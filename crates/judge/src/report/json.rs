//! The report for programs: the model as it is, with a schema that says what it holds.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Report, SCHEMA, Verdict};

/// The report as JSON, with the histories of what did not pass; all of them are what a record is for.
pub fn write(report: &Report) -> String {
    let mut report = report.clone();
    for check in &mut report.checks {
        if check.verdict == Verdict::Pass {
            check.history.clear();
        }
    }
    // Nothing in a report can fail to be JSON: its maps have text keys.
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

/// Reads a report; an error says where it is none. Fields that a later version added are passed over.
pub fn read(text: &str) -> Result<Report, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // First of all: what another form says is no mistake of its writer.
    match value["schema"].as_u64() {
        None => Err("no report: it has no \"schema\"".to_owned()),
        Some(other) if other != u64::from(SCHEMA) => Err(format!(
            "a report of schema {other}, and schema {SCHEMA} is known: use a wireproof of that schema"
        )),
        Some(_) => Report::deserialize(value).map_err(|error| error.to_string()),
    }
}

/// The JSON Schema (2020-12) of the report.
pub fn schema() -> Value {
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "number", "minimum": 0 });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What wireproof found about a server",
        "type": "object",
        "required": ["schema", "version", "target", "profile", "seed", "command", "began", "seconds", "checks"],
        "additionalProperties": false,
        "properties": {
            "schema": { "const": SCHEMA },
            "version": text(),
            "target": text(),
            "profile": text(),
            "insecure": { "type": "boolean" },
            "seed": { "type": "integer", "minimum": 0 },
            "command": text(),
            "began": number(),
            "seconds": number(),
            "checks": { "type": "array", "items": check_schema() },
        },
    })
}

fn check_schema() -> Value {
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "number", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["id", "sentence", "severity", "verdict", "what", "ms"],
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "pattern": "^[a-z]+[.][a-z0-9_]+$" },
            "sentence": text(),
            "severity": { "enum": ["minor", "major", "critical"] },
            "verdict": { "enum": ["pass", "fail", "not_done", "gone"] },
            "what": text(),
            "ms": number(),
            "measures": { "type": "array", "items": {
                "type": "object",
                "required": ["what", "ms"],
                "properties": { "what": text(), "ms": { "type": "array", "items": number() }, "bound_ms": number() },
            } },
            "beside": { "type": "array", "items": text() },
            "history": { "type": "array", "items": {
                "type": "object",
                "required": ["i", "t_ns", "type", "f"],
                "properties": {
                    "i": { "type": "integer", "minimum": 0 },
                    "t_ns": { "type": "integer", "minimum": 0 },
                    "type": { "enum": ["invoke", "ok", "fail", "info"] },
                    "f": text(),
                },
            } },
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_report_of_another_schema_is_told_by_its_number() {
        let ours = json!({
            "schema": 1, "version": "0.1.0", "target": "ws://127.0.0.1:1/ws", "profile": "echo", "seed": 1,
            "command": "wireproof check", "began": 1.0, "seconds": 1.0, "checks": [], "later": "a new field",
        });
        assert_eq!(super::read(&ours.to_string()).unwrap().profile, "echo");
        for (text, why) in [
            (json!({ "schema": 2, "checks": {} }), "a report of schema 2, and schema 1 is known"),
            (json!({ "checks": [] }), "it has no \"schema\""),
        ] {
            let error = super::read(&text.to_string()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_schema_in_the_docs_is_generated() {
        let text = format!("{}\n", serde_json::to_string_pretty(&super::schema()).unwrap());
        let path = "docs/schema/report.json";
        wireproof_generated::file(env!("CARGO_PKG_NAME"), path, |_| text.clone());
    }
}
