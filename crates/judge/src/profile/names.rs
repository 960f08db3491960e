//! The names in braces that each key of a profile knows: an unknown one would be sent as it stands, so it is an error with
//! its line when the profile is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

use super::Template;

/// The keys that are templates, and what may stand in braces there.
const KNOWN: &[(&str, &[&str])] = &[
    ("messages.ask", &["text", "id"]),
    ("messages.ask_in", &["text", "id", "thread"]),
    ("messages.ping", &["id"]),
    ("messages.cancel", &["run", "id"]),
    ("messages.authenticate", &["token", "id"]),
    ("messages.approve", &["approval", "id"]),
    ("messages.history", &["thread", "id"]),
    ("messages.unknown", &["id"]),
    ("messages.incomplete", &["id"]),
    ("prompts.plain", &["marker"]),
    ("prompts.tool", &["a", "b"]),
    ("prompts.tool_answer", &["product", "sum", "a", "b"]),
    ("resume.query", &["epoch", "after"]),
    ("resume.frame", &["epoch", "after", "id"]),
    ("http.thread", &["thread"]),
    ("http.revoke.body", &["user"]),
];

/// The tables whose texts go to the server.
#[derive(Deserialize)]
struct Texts {
    #[serde(default)]
    endpoint: Table,
    #[serde(default)]
    messages: Table,
    #[serde(default)]
    prompts: Table,
    #[serde(default)]
    resume: Table,
    #[serde(default)]
    http: Table,
}

type Table = BTreeMap<String, Spanned<toml::Value>>;

/// Says what is wrong with the names in a profile's texts, and where; nothing for a text that is no TOML.
pub(super) fn wrong(profile: &str) -> Option<String> {
    let texts: Texts = toml::from_str(profile).ok()?;
    let tables = [
        ("endpoint", &texts.endpoint),
        ("messages", &texts.messages),
        ("prompts", &texts.prompts),
        ("resume", &texts.resume),
        ("http", &texts.http),
    ];
    let keys =
        tables.into_iter().flat_map(|(table, keys)| keys.iter().map(move |(key, value)| (table, key, value)));
    let wrong = keys.filter_map(|(table, key, value)| {
        let why = in_value(&format!("{table}.{key}"), value.get_ref())?;
        let line = 1 + profile[..value.span().start].matches('\n').count();
        Some((line, why))
    });
    // The first in the file, whatever its table is.
    wrong.min().map(|(line, why)| format!("line {line}: {why}"))
}

fn in_value(key: &str, value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => in_text(key, text),
        toml::Value::Array(values) => values.iter().find_map(|value| in_value(key, value)),
        toml::Value::Table(values) if key == "http.revoke" => {
            values.iter().find_map(|(name, value)| in_value(&format!("{key}.{name}"), value))
        }
        // Headers are sent as they are.
        _ => None,
    }
}

fn in_text(key: &str, text: &str) -> Option<String> {
    let known = KNOWN.iter().find(|(known, _)| *known == key).map_or(&[][..], |(_, names)| names);
    if let Some(name) = names_in(text).find(|name| !known.contains(name)) {
        return Some(match known {
            [] => format!("{key} knows no names in braces, and {{{name}}} would be sent as it stands"),
            known => {
                format!("{key} does not know {{{name}}}; the names there are {{{}}}", known.join("}, {"))
            }
        });
    }
    let is_json = key.starts_with("messages.") && key != "messages.pong"
        || key == "resume.frame"
        || key == "http.revoke.body";
    if !is_json {
        return None;
    }
    let values: Vec<(&str, Value)> = known.iter().map(|name| (*name, json!("x"))).collect();
    let filled = Template::new(text).fill(&values);
    let why = serde_json::from_str::<Value>(&filled).err()?;
    Some(format!(
        "{key} is no JSON once its names are filled in ({why}): a text brings its own quotes: {filled}"
    ))
}

/// What stands in braces and is a name.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.split('{').skip(1).filter_map(|behind| behind.split_once('}')).map(|(name, _)| name).filter(is_name)
}
