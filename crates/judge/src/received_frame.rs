//! A frame as the judge sees it: its text as it came, and what the profile makes of it.

use std::time::Instant;

use serde_json::Value;

use crate::profile::{Kind, Profile};

/// A frame that came.
#[derive(Debug, Clone)]
pub struct ReceivedFrame {
    /// Its number on its connection, from 0.
    pub index: usize,
    /// When it had come.
    pub at: Instant,
    /// As it was on the wire.
    pub text: String,
    /// As JSON; `null` when it is none.
    pub json: Value,
    /// Its type, as the server calls it.
    pub name: String,
    /// What it is by the profile.
    pub kind: Kind,
    /// The run it is of.
    pub run: Option<String>,
    /// Its number in the user's log.
    pub seq: Option<u64>,
    /// The first number that it stands for; its own unless it is merged.
    pub first_seq: Option<u64>,
    /// The request that it answers.
    pub request: Option<String>,
    /// The tool call it is of.
    pub call: Option<String>,
}

impl ReceivedFrame {
    /// Reads a frame.
    pub fn read(profile: &Profile, index: usize, at: Instant, text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let fields = &profile.fields;
        let name = fields.kind.text(&json).unwrap_or_default();
        let kind = profile.kind_of(&name);
        // Of control frames a `seq` is a position and no number of theirs.
        let is_event = fields.seq.is_known() && !kind.is_control();
        let seq = if is_event { fields.seq.number(&json) } else { None };
        Self {
            index,
            at,
            name,
            kind,
            run: fields.run.text(&json),
            seq,
            first_seq: seq.map(|seq| fields.first_seq.number(&json).unwrap_or(seq)),
            request: fields.request.text(&json),
            call: fields.call.text(&json),
            text: text.to_owned(),
            json,
        }
    }

    /// True for what belongs to a run.
    pub fn is_of_run(&self, run: &str) -> bool {
        self.run.as_deref() == Some(run)
    }

    /// The frame in one short line, for sentences about failures.
    pub fn brief(&self) -> String {
        wireproof_protocol::shorten(&self.text, 160)
    }
}
