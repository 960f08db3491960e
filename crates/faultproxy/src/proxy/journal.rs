//! What the proxy did and what it did not: bytes that no entry names went through as they came.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{fault::Fault, toxic::Direction};

/// Most entries that are kept; older ones go first.
const MOST_ENTRIES: usize = 200_000;

/// Whether an entry tells of one act, or of the begin or end of a lasting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was done, and that was that.
    Done,
    /// From `offset` on, all bytes of the direction are touched.
    Began,
    /// It ends at `offset`; `bytes` is how many it touched.
    Ended,
}

/// One thing that the proxy did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the journal, from 1.
    pub number: u64,
    /// Unix seconds.
    pub time: f64,
    /// The connection, from 1.
    pub connection: u64,
    /// The direction; absent for what was done to the connection as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The toxic by its number; absent for what was ordered with `cut` or happened to the proxy itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toxic: Option<u64>,
    /// What was done: the name of a fault; `ordered_reset`, `ordered_fin` or `ordered_black_hole` for a cut on order;
    /// `upstream_unreachable`; or `too_large_to_hold` for a message that passed without being looked at.
    pub what: String,
    /// Whether that is an act, a begin or an end.
    pub phase: Phase,
    /// Where in the bytes of the direction: as the sender sent them for faults of messages, as the receiver got them
    /// for the others. The two differ only behind bytes that the proxy itself added or took away.
    pub offset: u64,
    /// How many bytes were touched, added or taken away.
    pub bytes: u64,
    /// The number of the message in its direction, for faults of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
    /// The proxy changed what was said: nothing that follows on this connection says anything about a server.
    pub altered: bool,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Entry {
    /// The entry without its number and its time: what the same seed decides again.
    pub fn decision(&self) -> Entry {
        Entry { number: 0, time: 0.0, ..self.clone() }
    }
}

/// What a plan has decided, before it has a number and a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Note {
    pub(crate) toxic: Option<u64>,
    pub(crate) what: &'static str,
    pub(crate) phase: Phase,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) message: Option<u64>,
    pub(crate) altered: bool,
    pub(crate) detail: Option<String>,
}

impl Note {
    pub(crate) fn of(toxic: u64, fault: &Fault, offset: u64, bytes: u64) -> Self {
        Self { toxic: Some(toxic), altered: fault.alters(), ..Self::plain(fault.name(), offset, bytes) }
    }

    pub(crate) fn plain(what: &'static str, offset: u64, bytes: u64) -> Self {
        Self {
            toxic: None,
            what,
            phase: Phase::Done,
            offset,
            bytes,
            message: None,
            altered: false,
            detail: None,
        }
    }

    pub(crate) fn phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    pub(crate) fn message(self, message: u64) -> Self {
        Self { message: Some(message), ..self }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    began_unix: Duration,
    entries: Mutex<VecDeque<Entry>>,
    written: watch::Sender<u64>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let began_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: Instant::now(),
            began_unix,
            entries: Mutex::default(),
            written: watch::Sender::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self, connection: u64, direction: Option<Direction>, note: Note) {
        let Note { toxic, what, phase, offset, bytes, message, altered, detail } = note;
        let time = (self.began_unix + self.began.elapsed()).as_secs_f64();
        let what = what.to_owned();
        let mut entries = self.entries();
        let number = *self.written.borrow() + 1;
        entries.push_back(Entry {
            number,
            time,
            connection,
            direction,
            toxic,
            what,
            phase,
            offset,
            bytes,
            message,
            altered,
            detail,
        });
        if entries.len() > MOST_ENTRIES {
            entries.pop_front();
        }
        // Under the lock, so that the numbers stand in order.
        self.written.send_replace(number);
    }

    /// The entries with a number above this one.
    pub(crate) fn since(&self, number: u64) -> Vec<Entry> {
        let entries = self.entries();
        let first = entries.partition_point(|entry| entry.number <= number);
        entries.range(first..).cloned().collect()
    }

    /// Waits until there is an entry with a number above this one.
    pub(crate) async fn grown(&self, number: u64) {
        let mut written = self.written.subscribe();
        // The sender lives as long as the journal does.
        let _ = written.wait_for(|written| *written > number).await;
    }
}
