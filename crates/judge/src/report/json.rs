//! The report for programs: the model as it is, with a schema that says what it holds.

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

/// Reads a report; an error says where it is none.
pub fn read(text: &str) -> Result<Report, String> {
    let report: Report = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if report.schema == SCHEMA {
        Ok(report)
    } else {
        Err(format!("schema {} is not {SCHEMA}", report.schema))
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
    use std::path::Path;

    #[test]
    fn the_schema_in_the_docs_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/report.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&super::schema()).unwrap());
        if std::env::var_os("WIREPROOF_UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/schema/report.json is not what the model says; write it anew with\n    \
             WIREPROOF_UPDATE=1 cargo nextest run -p wireproof-judge the_schema_in_the_docs"
        );
    }
}
