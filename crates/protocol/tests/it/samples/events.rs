//! Every event as it stands on the wire, with and without what may be absent, and a merged one.

use wireproof_protocol::{Event, Incoming, parse_incoming};

/// One event a line.
pub const EVENT_LINES: &str = include_str!("events.jsonl");

pub fn events() -> Vec<Event> {
    let read = |line| match parse_incoming(line) {
        Ok(Incoming::Event(event)) => *event,
        other => panic!("{line} is no event: {other:?}"),
    };
    EVENT_LINES.lines().map(read).collect()
}
