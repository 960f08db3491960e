//! Frames that are not frames: each has its error and its echo. The table is a file so that others can send it too.

use std::collections::BTreeSet;

use serde::Deserialize;
use wireproof_protocol::{ErrorCode, parse_frame};

/// One malformed frame and what must come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What is wrong with it.
    pub name: String,
    /// The frame.
    pub text: String,
    /// The code of its error.
    pub error_code: ErrorCode,
    /// The id that its error echoes.
    pub id: Option<String>,
    /// The field that its error names.
    pub field: Option<String>,
}

pub fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../malformed_frames.json")).unwrap()
}

#[test]
fn each_malformed_frame_has_its_error() {
    for Row { name, text, error_code, id, field } in rows() {
        let error = parse_frame(&text).expect_err(&name);
        assert_eq!(error.body.error_code, error_code, "{name}: {:?}", error.body);
        assert_eq!(error.id.map(String::from), id, "{name}");
        let named = error.body.details.as_ref().and_then(|details| details["field"].as_str());
        assert_eq!(named, field.as_deref(), "{name}");
        assert!(!error.body.retryable && error.body.error == error.body.message, "{name}");
    }
}

#[test]
fn the_table_is_wide_and_fits_through_a_socket() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), rows.len(), "names are unique");
    assert!(rows.len() >= 60);
    for code in
        [ErrorCode::InvalidJson, ErrorCode::InvalidFrame, ErrorCode::MissingField, ErrorCode::UnknownType]
    {
        assert!(rows.iter().filter(|row| row.error_code == code).count() >= 5, "{code:?}");
    }
    assert!(rows.iter().all(|row| row.text.len() < 64 * 1024));
}

/// Bug: the sentence repeated the value of a mistyped field, up to the size of the whole frame.
#[test]
fn a_refusal_is_short_whatever_was_sent() {
    let long = "secret ".repeat(9_000);
    let frames = [
        format!(r#"{{"type":"resume","epoch":"00000000000000aa","after":"{long}"}}"#),
        format!(r#"{{"type":"{long}"}}"#),
        format!(r#"{{"type":"typing","thread_id":"t","active":"{long}"}}"#),
        format!(r#"{{"type":"ping","id":"{long}"}}"#),
        format!(r#"{{"type":"ping"}} {long}"#),
    ];
    for frame in frames {
        let error = parse_frame(&frame).unwrap_err().body;
        assert!(error.message.len() < 200, "{}", error.message);
        assert!(!error.message.contains("secret") || error.error_code == ErrorCode::UnknownType);
    }
}
