//! The users' logs: the events as they are stored, what a commit added, and the pieces that are read.

use std::sync::Arc;

use bytes::Bytes;
use wireproof_protocol::{Epoch, Position, Timestamp, UserId};

use super::RunRecord;

/// An event as it is stored and sent: its numbers, and its JSON shared by every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The first number it stands for.
    pub first_seq: u64,
    /// The last number it stands for.
    pub seq: u64,
    /// Its JSON text.
    pub json: Bytes,
}

/// Neighbouring events of one user that one commit made durable.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Whose they are.
    pub user_id: UserId,
    /// The number line of the user's log.
    pub epoch: Epoch,
    /// The first number.
    pub first_seq: u64,
    /// The last number.
    pub seq: u64,
    /// How many bytes of JSON they are.
    pub bytes: usize,
    /// When they became durable, in Unix seconds.
    pub stored_at: Timestamp,
    /// The events, in order; none when the log is to be read for them.
    pub events: Option<Arc<[StoredEvent]>>,
}

impl Committed {
    /// The same without the events: what is told over a network of more than a few.
    pub fn without_events(self) -> Self {
        Self { events: None, ..self }
    }
}

/// What a write did, and what it committed to the user's log: `delivery` publishes that. Of several writes for a user that
/// one commit made durable, one may have the events of all, and the others none.
#[derive(Debug, Clone)]
#[must_use = "what was committed has to be published"]
pub struct Written<T> {
    /// What the write did.
    pub value: T,
    /// What is to be published.
    pub committed: Option<Committed>,
}

/// A piece of a log.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<StoredEvent>,
    /// True when the log had no more.
    pub complete: bool,
}

/// What a connection starts with.
#[derive(Debug, Clone)]
pub struct OpenedLog {
    /// Where the user's log ends.
    pub head: Position,
    /// The user's runs that are not over.
    pub active_runs: Vec<RunRecord>,
    /// The first events after the requested position; none without a position, or when the log has no such position.
    pub page: Option<Page>,
}

/// How much of the logs is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events older than this many seconds may go.
    pub seconds: f64,
    /// What a user's log may take, in bytes.
    pub bytes_per_user: u64,
}
