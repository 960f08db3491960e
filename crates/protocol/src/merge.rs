//! Adjacent deltas put together, and taken apart again for a position that stands inside.

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventBody};

/// Where one event ends inside a merged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The event's own number.
    pub seq: u64,
    /// Where its piece ends in the merged text, in bytes.
    pub end: usize,
}

/// An event as a store keeps it: alone, or merged with the ends of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The event that goes on the wire.
    pub event: Event,
    /// The ends of its parts; empty when the event is one.
    pub parts: Vec<Part>,
}

/// Puts adjacent deltas of one run and one message or call together; the fold of the result is the same. An event
/// that comes merged already stays as it is, for where its parts end is not known here.
pub fn merge(events: impl IntoIterator<Item = Event>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    for event in events {
        match merged.last_mut() {
            Some(last) if last.knows_its_parts() && mergeable(&last.event, &event) => last.append(event),
            _ => merged.push(Merged::alone(event)),
        }
    }
    merged
}

/// True when `next` can be put behind `event` without changing what they say.
pub fn mergeable(event: &Event, next: &Event) -> bool {
    let (Some(a), Some(b)) = (&event.run, &next.run) else { return false };
    let adjacent = a.run_id == b.run_id
        && next.first_seq.is_none()
        && next.seq == event.seq + 1
        && b.run_seq == a.run_seq + 1;
    adjacent
        && match (&event.body, &next.body) {
            (
                EventBody::ThinkingDelta { message_id: a, .. },
                EventBody::ThinkingDelta { message_id: b, .. },
            )
            | (
                EventBody::MessageDelta { message_id: a, .. },
                EventBody::MessageDelta { message_id: b, .. },
            ) => a == b,
            (EventBody::ToolArgumentsDelta(a), EventBody::ToolArgumentsDelta(b)) => {
                a.tool_call_id == b.tool_call_id
            }
            _ => false,
        }
}

impl Merged {
    /// An event that is one.
    pub fn alone(event: Event) -> Self {
        Self { event, parts: Vec::new() }
    }

    fn knows_its_parts(&self) -> bool {
        self.event.first_seq.is_none() || !self.parts.is_empty()
    }

    /// Puts a delta behind, of which [`mergeable`] says that it belongs there.
    pub fn append(&mut self, next: Event) {
        let (Some(text), Some(piece)) = (self.event.body.delta_mut(), next.body.delta()) else { return };
        if self.parts.is_empty() {
            self.parts.push(Part { seq: self.event.seq, end: text.len() });
        }
        text.push_str(piece);
        self.parts.push(Part { seq: next.seq, end: text.len() });
        self.event.first_seq.get_or_insert(self.event.seq);
        self.event.seq = next.seq;
        self.event.event_id = next.event_id;
        self.event.timestamp = next.timestamp;
        if let (Some(run), Some(next_run)) = (&mut self.event.run, &next.run) {
            run.first_run_seq.get_or_insert(run.run_seq);
            run.run_seq = next_run.run_seq;
        }
    }
}

/// What of the event comes after `after`: all of it, the rest of a merged one, or nothing. `parts` are those that
/// [`merge`] gave; where they do not tell where to cut, the whole event comes again rather than nothing.
pub fn split_after(event: Event, parts: &[Part], after: u64) -> Option<Event> {
    let (first, last) = event.range();
    if after < first {
        return Some(event);
    }
    if after >= last {
        return None;
    }
    let mut rest = event;
    let cut = parts.iter().find(|part| part.seq == after).map(|part| part.end);
    let piece = cut.and_then(|cut| rest.body.delta()?.get(cut..)).map(str::to_owned);
    let (Some(piece), Some(text)) = (piece, rest.body.delta_mut()) else { return Some(rest) };
    *text = piece;
    let alone = after + 1 == last;
    rest.first_seq = (!alone).then_some(after + 1);
    if let Some(run) = &mut rest.run {
        run.first_run_seq = (!alone).then_some(run.run_seq - (last - after - 1));
    }
    Some(rest)
}
