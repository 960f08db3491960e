//! One frame as it arrived: when, where in the history, its raw text, and what it says.

use std::{ops::Index, time::Duration};

use serde_json::Value;
use wireproof_protocol::{Control, Event, Incoming, RunId};

/// A frame that a client received; a field is read with `arrival["field"]`.
#[derive(Debug)]
pub struct ReceivedFrame {
    /// Its place among all frames that the client received, from 0.
    pub index: usize,
    /// On which of the client's connections it came, from 1.
    pub connection: usize,
    /// When it came, counted from the client's beginning.
    pub at: Duration,
    /// The text as it was on the wire.
    pub text: String,
    /// The text as JSON; `null` when it is none.
    pub json: Value,
    /// What it says; nothing when the text is not of the protocol.
    pub incoming: Option<Incoming>,
}

impl ReceivedFrame {
    /// The frame's type; empty when it has none.
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    /// The stored event, if the frame is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.incoming {
            Some(Incoming::Event(event)) => Some(event),
            _ => None,
        }
    }

    /// The control frame, if the frame is one.
    pub fn control(&self) -> Option<&Control> {
        match &self.incoming {
            Some(Incoming::Control(control)) => Some(control),
            _ => None,
        }
    }

    /// The run that the frame speaks of, if it is an event of one.
    pub fn run_id(&self) -> Option<RunId> {
        Some(self.event()?.run.as_ref()?.run_id)
    }

    /// The value at a path such as `result.value` or `messages.0.content`; nothing when there is none.
    pub fn at_path(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.json, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            other => other.get(step),
        })
    }

    /// The text of a field; empty when it has none.
    pub fn text_of(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_default()
    }
}

impl Index<&str> for ReceivedFrame {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.json[field]
    }
}
