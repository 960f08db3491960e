//! What an error says: enough for programs, and nothing of the server's inside.

use serde_json::{Value, json};

use super::answered::{bad_frames, refused};
use crate::{
    check::{CheckContext, CheckOutcome, Failure, ensure, pass, session::new_id},
    profile::Kind,
};

/// The most characters of a code.
const CODE: usize = 64;

/// What only the inside of a server says: paths, stacks, queries, types of its languages.
const INTERNALS: &[&str] = &[
    "/usr/",
    "/home/",
    "/app/",
    "/src/",
    "/opt/",
    "/var/",
    "/root/",
    "/tmp/",
    "C:\\",
    "src/",
    "node_modules",
    "site-packages",
    ".rs:",
    ".py\"",
    ".py:",
    ".js:",
    ".ts:",
    ".go:",
    ".java:",
    ".rb:",
    ".php",
    "Traceback (most recent",
    "stack backtrace",
    "panicked at",
    "    at ",
    "goroutine ",
    "RUST_BACKTRACE",
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "sqlite",
    "SQLSTATE",
    "psycopg",
    "asyncpg",
    "sqlalchemy",
    "rusqlite",
    "std::",
    "core::",
    "alloc::",
    "serde_json::",
    "tokio::",
    "<class '",
    "NoneType",
    "object has no attribute",
    "KeyError",
    "TypeError",
    "ValueError",
    "AttributeError",
    "IndexError",
    "RuntimeError",
    "JSONDecodeError",
    "RecursionError",
    "ReferenceError",
    "SyntaxError",
    "NullPointerException",
    "java.lang.",
    "System.Exception",
    "[object Object]",
    "0x7f",
];

pub(super) async fn coded(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let fields = &context.profile.fields;
    let mut codes = Vec::new();
    for (what, frame) in bad_frames(&context.profile) {
        let mut first = None;
        for _ in 0..2 {
            let error = refused(&session, what, &frame).await?;
            let code = fields.error_code.text(&error.json).unwrap_or_default();
            ensure(is_code(&code), || {
                format!("{what} was answered with an error whose code is {code:?}: {}", error.brief())
            })?;
            let text = fields.error_text.text(&error.json).unwrap_or_default();
            ensure(!fields.error_text.is_known() || !text.trim().is_empty(), || {
                format!("{what} was answered with an error without a sentence: {}", error.brief())
            })?;
            let before = first.get_or_insert_with(|| code.clone());
            ensure(*before == code, || {
                format!("{what} was answered with {before:?}, and then with {code:?}")
            })?;
        }
        codes.push(format!("{what}: {}", first.unwrap_or_default()));
    }
    pass(codes.join("; "))
}

fn is_code(code: &str) -> bool {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "_-.:".contains(sign);
    (1..=CODE).contains(&code.len()) && code.chars().all(fits)
}

pub(super) async fn request_named(context: &CheckContext<'_>) -> CheckOutcome {
    let messages = &context.profile.messages;
    let named = [("unknown", &messages.unknown), ("incomplete", &messages.incomplete)];
    let named: Vec<_> = named.into_iter().filter_map(|(what, frame)| Some((what, frame.as_ref()?))).collect();
    let named: Vec<_> = named.into_iter().filter(|(_, frame)| frame.names("id")).collect();
    if named.is_empty() {
        return Err(Failure::NotDone(
            "no bad frame of the profile has an id (messages.unknown, messages.incomplete)".to_owned(),
        ));
    }
    let session = context.connect(&context.principal("ada")?).await?;
    for (what, frame) in &named {
        let id = new_id();
        let error = refused(&session, what, &frame.fill(&[("id", json!(id))])).await?;
        ensure(error.request.as_deref() == Some(&id), || {
            format!("the error for the request {id} names {:?}: {}", error.request, error.brief())
        })?;
    }
    pass(format!("{} errors name the request that they refuse", named.len()))
}

pub(super) async fn no_internals(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let from = session.count();
    for (what, frame) in bad_frames(&context.profile) {
        refused(&session, what, &frame).await?;
    }
    for frame in odd_frames(context) {
        session.send(frame).await?;
    }
    session.barrier().await?;
    let errors: Vec<_> =
        session.seen().into_iter().skip(from).filter(|seen| seen.kind == Kind::Error).collect();
    for error in &errors {
        // As people read it: with what JSON escapes unescaped.
        let text = strings(&error.json).join("\n");
        let told = INTERNALS.iter().find(|inside| text.contains(**inside));
        ensure(told.is_none(), || {
            format!("an error tells of the inside ({:?}): {}", told.unwrap_or(&""), error.brief())
        })?;
    }
    pass(format!("{} errors tell nothing of the inside", errors.len()))
}

/// Messages of the profile with values in them that nobody sends: what a server did not think of fails deep inside.
fn odd_frames(context: &CheckContext<'_>) -> Vec<String> {
    let odd =
        [json!(null), json!(7.5e300), json!(["a"]), json!({ "a": {} }), json!(true), json!("\u{0}'\";--")];
    let messages = &context.profile.messages;
    let ids = ["thread", "run", "approval"];
    let mut frames = Vec::new();
    for value in odd {
        for template in [&messages.ask, &messages.history, &messages.cancel].into_iter().flatten() {
            let mut values: Vec<(&str, Value)> = ids.map(|name| (name, value.clone())).into();
            values.extend([("text", value.clone()), ("id", json!(new_id()))]);
            // What a server would take for a message is none of our business here.
            if !(value.is_string() && template.names("text")) {
                frames.push(template.fill(&values));
            }
        }
    }
    frames
}

/// All texts of a frame.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
