//! The tables of docs/protocol.md that repeat the types: error codes and events, with the sentences of the source.

use std::fmt::Write;

use serde_json::Value;
use wireproof_protocol::{CRITICAL_EVENTS, ErrorCode, EventBody};

use crate::schema_check::server;

fn part(name: &str, table: impl Fn() -> String) {
    wireproof_generated::part(env!("CARGO_PKG_NAME"), "docs/protocol.md", name, |_| table());
}

/// What the schema says of a variant, on one line of a table.
fn meaning(variant: &Value) -> String {
    variant["description"].as_str().unwrap().replace('\n', " ").replace('|', "\\|")
}

#[test]
fn the_table_of_error_codes_is_generated() {
    part("error codes", || {
        let mut table = "| `error_code` | HTTP | retryable | when |\n|---|---|---|---|\n".to_owned();
        let variants = server()["$defs"]["ErrorCode"]["oneOf"].as_array().unwrap();
        for (code, variant) in ErrorCode::ALL.iter().zip(variants) {
            assert_eq!(variant["const"], code.as_str());
            let retryable = if code.retryable() { "yes" } else { "no" };
            let (name, status) = (code.as_str(), code.status());
            writeln!(table, "| `{name}` | {status} | {retryable} | {} |", meaning(variant)).unwrap();
        }
        table
    });
}

/// The fields of an event besides its `type` and those that every event of a run has; what may be absent comes last, with
/// a `?`.
fn fields(variant: &Value) -> String {
    let required = variant["required"].as_array().unwrap();
    let names = variant["properties"].as_object().unwrap().keys();
    let (always, optional): (Vec<_>, Vec<_>) =
        names.filter(|name| *name != "type").partition(|name| required.iter().any(|field| field == *name));
    let always = always.iter().map(|name| format!("`{name}`"));
    always.chain(optional.iter().map(|name| format!("`{name}?`"))).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_tables_of_events_are_generated() {
    let variants = server()["$defs"]["Event"]["oneOf"].as_array().unwrap();
    for (name, of_a_run) in [("events of threads", false), ("events of runs", true)] {
        part(name, || {
            let mut table = "| `type` | fields | meaning |\n|---|---|---|\n".to_owned();
            for (name, variant) in EventBody::NAMES.iter().zip(variants) {
                assert_eq!(variant["properties"]["type"]["const"], *name);
                let required = variant["required"].as_array().unwrap();
                if required.iter().any(|field| field == "run_id") != of_a_run {
                    continue;
                }
                let bold = if CRITICAL_EVENTS.contains(name) { "**" } else { "" };
                let (fields, meaning) = (fields(variant), meaning(variant));
                writeln!(table, "| {bold}`{name}`{bold} | {fields} | {meaning} |").unwrap();
            }
            table
        });
    }
}
