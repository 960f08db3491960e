//! As much of JSON Schema as the wire's schemas use; a word it does not know is a panic, so nothing goes unchecked.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use wireproof_protocol::{Epoch, NOT_BLANK, client_schema, server_schema};

/// The schema of clients' frames.
pub fn client() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| json!(client_schema()));
    &SCHEMA
}

/// The schema of servers' frames.
pub fn server() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| json!(server_schema()));
    &SCHEMA
}

/// Says what of a value the schema does not allow.
pub fn check(root: &Value, value: &Value) -> Result<(), String> {
    check_part(root, root, value)
}

fn check_part(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Value::Object(words) = schema else {
        return if *schema == json!(true) { Ok(()) } else { Err(format!("{schema} allows nothing")) };
    };
    for (word, rule) in words {
        check_word(root, words, word, rule, value).map_err(|why| format!("{word}: {why}"))?;
    }
    Ok(())
}

fn check_word(
    root: &Value,
    words: &Map<String, Value>,
    word: &str,
    rule: &Value,
    value: &Value,
) -> Result<(), String> {
    let number = |value: &Value| value.as_f64().unwrap();
    let length = || value.as_str().map(|text| text.chars().count() as f64);
    let passing =
        || rule.as_array().unwrap().iter().filter(|rule| check_part(root, rule, value).is_ok()).count();
    let good = match word {
        "$schema" | "$defs" | "title" | "description" | "default" => true,
        "$ref" => {
            let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
            return check_part(root, root.pointer(target).unwrap(), value);
        }
        "type" => match rule {
            Value::Array(kinds) => kinds.iter().any(|kind| is(value, kind)),
            kind => is(value, kind),
        },
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "oneOf" => passing() == 1,
        "anyOf" => passing() >= 1,
        "properties" => {
            for (name, rule) in rule.as_object().unwrap() {
                if let Some(value) = value.get(name) {
                    check_part(root, rule, value).map_err(|why| format!("{name}: {why}"))?;
                }
            }
            true
        }
        "additionalProperties" => {
            assert!(words.contains_key("properties") || *rule == json!(true), "{rule}");
            *rule == json!(true)
        }
        "required" => {
            let absent =
                rule.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
            return absent.map_or(Ok(()), |name| Err(format!("{name} is missing")));
        }
        "items" => {
            value.as_array().into_iter().flatten().try_for_each(|value| check_part(root, rule, value))?;
            true
        }
        "minimum" => !value.is_number() || number(value) >= number(rule),
        "maximum" => !value.is_number() || number(value) <= number(rule),
        "minLength" => length().is_none_or(|length| length >= number(rule)),
        "maxLength" => length().is_none_or(|length| length <= number(rule)),
        "pattern" => value.as_str().is_none_or(|text| matches(text, rule.as_str().unwrap())),
        "format" => match rule.as_str().unwrap() {
            "uuid" => value.as_str().is_none_or(|text| text.len() == 36 && text.split('-').count() == 5),
            "uint" | "uint32" | "uint64" | "double" => true,
            other => panic!("unknown format {other}"),
        },
        other => panic!("unknown word {other}"),
    };
    if good { Ok(()) } else { Err(format!("{rule} does not allow {value}")) }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern {
        NOT_BLANK => !text.trim().is_empty(),
        "^[0-9a-f]{16}$" => text.parse::<Epoch>().is_ok(),
        r"^[^\u0000-\u001f\u007f-\u009f]*$" => !text.chars().any(char::is_control),
        other => panic!("unknown pattern {other}"),
    }
}
