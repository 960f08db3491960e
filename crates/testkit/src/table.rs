//! A history as a table that fits a terminal: what came when, with the fields that tell frames apart.

use std::time::Duration;

use serde_json::Value;
use wireproof_protocol::shorten_line;

use crate::{
    history::{Entry, History},
    received::ReceivedFrame,
};

/// Entries shown at most; of a longer history the latest.
const SHOWN: usize = 60;
/// Characters of one line's fields.
const WIDTH: usize = 110;
/// The fields that tell frames apart, in this order; not all fit a line.
const TELLING: [&str; 19] = [
    "id",
    "error_code",
    "field",
    "status",
    "outcome",
    "tool_name",
    "delta",
    "title",
    "content",
    "reason",
    "resumed",
    "reasoning",
    "result",
    "error",
    "final_response",
    "reconnect_after_ms",
    "epoch",
    "user_id",
    "run_id",
];

/// The history, one line an entry; a `*` marks frames that fulfilled an expectation.
pub(crate) fn table(history: &History) -> String {
    let entries = &history.entries;
    let hidden = entries.len().saturating_sub(SHOWN);
    let mut text = String::from("      #          ms    seq  what\n");
    if hidden > 0 {
        text.push_str(&format!("  ... {hidden} earlier entries are not shown\n"));
    }
    for entry in &entries[hidden..] {
        text.push_str(&line(entry));
        text.push('\n');
    }
    text
}

fn line(entry: &Entry) -> String {
    let note = |at: &Duration, words: String| format!("{:>7}  {:>10}         {words}", "", milliseconds(at));
    match entry {
        Entry::Opened { at, asked: None } => note(at, "-- connected".to_owned()),
        Entry::Opened { at, asked: Some(position) } => {
            note(at, format!("-- connected, resuming after {} on {}", position.seq, position.epoch))
        }
        Entry::Sent { at, text } => note(at, format!("-> {}", shorten_line(text, WIDTH))),
        Entry::Ended { at, ended } => note(at, format!("-- {ended}")),
        Entry::Arrived { arrival, taken } => {
            let mark = if *taken { "*" } else { " " };
            let seq = arrival.json["seq"].as_u64().map(|seq| seq.to_string()).unwrap_or_default();
            let (index, at) = (arrival.index, milliseconds(&arrival.at));
            format!("{mark}{index:>6}  {at:>10}  {seq:>5}  {}", describe(arrival))
        }
    }
}

/// A frame in one line: its type and what tells it apart.
pub(crate) fn describe(arrival: &ReceivedFrame) -> String {
    if arrival.kind().is_empty() {
        return shorten_line(&arrival.text, WIDTH);
    }
    let mut text = format!("{:<16}", arrival.kind());
    for name in TELLING {
        let value = match &arrival.json[name] {
            Value::Null => continue,
            Value::String(value) => value.clone(),
            other => other.to_string(),
        };
        text.push_str(&format!(" {name}={}", shorten_line(&value, 40)));
    }
    shorten_line(&text, WIDTH)
}

fn milliseconds(at: &Duration) -> String {
    format!("{:.1}", at.as_secs_f64() * 1e3)
}
