//! The parser of clients' frames: a request that says the same when it is written and read again, or a short error.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use wireproof_protocol::{
    ErrorCode, FrameError, MAX_REQUEST_ID, Request, client_schema, parse_frame, read_json,
};

/// The published schema of what a client may send.
static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&json!(client_schema())).unwrap());

/// Reads the bytes as one text frame.
pub fn client_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let value = serde_json::from_str::<Value>(text);
    match parse_frame(text) {
        Ok(request) => accepted(text, value.expect("what was accepted is JSON"), &request),
        Err(error) => refused(text, value.ok(), &error),
    }
}

fn accepted(text: &str, value: Value, request: &Request) {
    assert!(value.is_object(), "{text:?} is no object");
    let written = serde_json::to_string(request).unwrap();
    // The longest that JSON can grow by being read and written: `1e15` becomes a number of 18 characters.
    assert!(written.len() <= 8 * text.len() + 64, "{} bytes became {}", text.len(), written.len());
    let again = parse_frame(&written).unwrap_or_else(|error| panic!("{written:?} is refused: {error:?}"));
    assert_eq!(&again, request, "{text:?} reads differently when it is written again");
    let frame: Value = serde_json::from_str(&written).unwrap();
    if let Err(error) = SCHEMA.validate(&frame) {
        panic!("the schema does not allow {written:?}: {error}");
    }
    assert_eq!(frame["type"].as_str().map(plain), value["type"].as_str().map(plain));
    let payload = value.get("payload").and_then(|payload| payload.get("id"));
    let id = value.get("id").filter(|id| !id.is_null()).or(payload.filter(|id| !id.is_null()));
    assert_eq!(frame.get("id"), id, "the id is not that of {text:?}");
}

fn refused(text: &str, value: Option<Value>, error: &FrameError) {
    let body = &error.body;
    let unreadable = read_json(text.as_bytes()).is_err();
    let is_invalid_json = body.error_code == ErrorCode::InvalidJson;
    assert!(unreadable || !is_invalid_json, "{body:?} for {text:?}");
    assert!(is_invalid_json || value.is_some(), "{body:?} for {text:?}");
    // 64 characters of an unknown type are repeated, ten letters each where they must be escaped.
    assert!(body.message.len() < 700 && body.message == body.error && !body.retryable, "{body:?}");
    assert!(serde_json::to_string(body).unwrap().len() < 2000, "{body:?}");
    if let Some(id) = &error.id {
        let id = String::from(id.clone());
        assert!(!id.is_empty() && id.chars().count() <= MAX_REQUEST_ID && !id.chars().any(char::is_control));
        // Of a text that is no JSON as a whole the id is read all the same; an escaped one is not looked for.
        let sent = value.as_ref().map_or_else(
            || text.contains(&id) || text.contains('\\'),
            |frame| frame["id"] == id || frame["payload"]["id"] == id,
        );
        assert!(sent, "the error echoes an id that was not sent: {id:?} for {text:?}");
    }
    // What the schema allows with its fields at the top is accepted, but for what JSON Schema cannot say.
    if let Some(frame) = value.filter(|frame| frame.get("payload").is_none()) {
        let whole = |number: &Value| number.as_f64().is_some_and(|number| number.fract() == 0.0);
        let beyond =
            ["after", "limit", "offset"].iter().any(|name| !frame[name].is_u64() && whole(&frame[name]));
        assert!(unreadable || beyond || !SCHEMA.is_valid(&frame), "{body:?}, but the schema allows {text:?}");
    }
}

/// The name of a type, of those that have two.
fn plain(kind: &str) -> &str {
    match kind {
        "user_message" => "chat",
        "stop_agent" => "cancel_run",
        other => other,
    }
}
