//! What happened, op by op, as it is kept in a history file: JSON lines, one clock, every connection of every user.
//! `header` is the first line, which has all that a judge must know besides; `file` writes and reads; `clients` turns
//! what clients of a test saw into a history, and `join` several histories into one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

mod clients;
mod file;
mod header;
mod join;

pub use clients::of_clients;
pub use file::{HistoryError, Read, read, read_file, write, write_draft, write_file};
pub use header::{Header, Rules};
pub use join::join;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// Its number in the history.
    pub i: u64,
    /// Nanoseconds since the history began.
    pub t_ns: u64,
    /// The connection, as `user/device#number`; empty for what is of none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conn: String,
    /// The user; empty for what is of none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Whether it began, went well, failed, or nobody knows.
    #[serde(rename = "type")]
    pub outcome: OpOutcome,
    /// What it was.
    pub f: Action,
    /// The run that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The epoch of its position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// Its number in the user's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The first number that it stands for, when it is merged of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Its number in its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_seq: Option<u64>,
    /// The first number in its run that it stands for, when it is merged of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run_seq: Option<u64>,
    /// The end of the log, as a frame tells it that is no event itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    /// Whether the server says that a connection goes on at the position that it was opened at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// The type of the frame; of a note, what it tells: see [`note`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ev: Option<String>,
    /// The tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The id of the request that was made or is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Whether a fault changed what was said, so that what follows on the connection says nothing about the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub altered: bool,
    /// The frame, as it was on the wire, or what else there is to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// What a note tells, in its `ev`.
pub mod note {
    /// From here on only what the user may say holds the marker in `text`.
    pub const MARKER: &str = "marker";
    /// A part of the history begins; `text` is its name.
    pub const PHASE: &str = "phase";
    /// No fault is made any more, and the user does nothing more: all that the user asked for is in the history.
    pub const HEALED: &str = "healed";
    /// The connection has had the time to get all that there is for it.
    pub const DRAINED: &str = "drained";
}

/// How an op went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpOutcome {
    /// It began.
    Invoke,
    /// It went well.
    #[default]
    Ok,
    /// It did not happen.
    Fail,
    /// It happened or not.
    Info,
}

/// What an op was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A connection was opened.
    Connect,
    /// A connection was opened at a position: `epoch` and `seq` are what was asked for.
    Resume,
    /// The client sent something.
    Send,
    /// Something came.
    #[default]
    Recv,
    /// A connection ended.
    Close,
    /// A fault was made on the way.
    Fault,
    /// A request over HTTP, and its answer.
    Http,
    /// Something to know about the history: its seed, a phase that begins.
    Note,
}

/// Collects a history; a clone writes to the same one.
#[derive(Debug, Clone)]
pub struct HistoryRecorder {
    began: Instant,
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Default for HistoryRecorder {
    fn default() -> Self {
        Self { began: Instant::now(), ops: Arc::default() }
    }
}

impl HistoryRecorder {
    /// A history that begins now.
    pub fn new() -> Self {
        Self::default()
    }

    /// A history of its own on the same clock: times of both can be compared.
    pub fn beside(&self) -> Self {
        Self { began: self.began, ops: Arc::default() }
    }

    /// Adds an op, which gets its number and its time here.
    pub fn note(&self, op: Op) -> u64 {
        self.note_at(Instant::now(), op)
    }

    /// The same for what happened at another time.
    pub fn note_at(&self, at: Instant, mut op: Op) -> u64 {
        let mut ops = self.ops();
        op.i = ops.len() as u64;
        op.t_ns = at.saturating_duration_since(self.began).as_nanos() as u64;
        let i = op.i;
        ops.push(op);
        i
    }

    /// How long the history is going on.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// All ops so far, in order.
    pub fn snapshot(&self) -> Vec<Op> {
        self.ops().clone()
    }

    /// Puts the ops in the order of their times: what was noted late, as the faults that a proxy made, gets to its place.
    pub fn settle(&self) {
        let mut ops = self.ops();
        ops.sort_by_key(|op| op.t_ns);
        (0..).zip(ops.iter_mut()).for_each(|(i, op)| op.i = i);
    }

    /// Takes all ops out.
    pub fn take(&self) -> Vec<Op> {
        std::mem::take(&mut self.ops())
    }

    fn ops(&self) -> MutexGuard<'_, Vec<Op>> {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
