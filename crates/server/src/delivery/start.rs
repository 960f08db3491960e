//! Where a subscription starts: at the head, after a position, or with a snapshot in place of a replay.

use bytes::Bytes;
use wireproof_protocol::{Epoch, ErrorBody, ErrorCode, Position, ResumeReason};

use crate::{
    error::Refusal,
    store::{Page, RunRecord},
};

/// A position as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedPosition {
    /// The number line.
    pub epoch: String,
    /// The last number seen.
    pub after: String,
}

impl RequestedPosition {
    /// Reads both parts; the error names the field that cannot be read.
    pub fn parse(&self) -> Result<Position, ErrorBody> {
        let invalid = |field: &str, sentence: &str| {
            ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", field)
        };
        let epoch: Epoch = self
            .epoch
            .parse()
            .map_err(|_| invalid("epoch", "The epoch must be 16 lower-case hex digits."))?;
        let digits = !self.after.is_empty() && self.after.bytes().all(|byte| byte.is_ascii_digit());
        let seq = self.after.parse().ok().filter(|_| digits);
        let seq = seq.ok_or_else(|| invalid("after", "The field after must be a whole number from 0."))?;
        Ok(Position { epoch, seq })
    }
}

/// What a subscription starts with.
#[derive(Debug)]
pub struct Start {
    /// The end of the user's log.
    pub head: Position,
    /// The user's runs that are not over.
    pub active_runs: Vec<RunRecord>,
    /// Where the events start.
    pub at: StartAt,
}

/// Where the events of a subscription start.
#[derive(Debug)]
pub enum StartAt {
    /// At the head: there is nothing to replay.
    Head,
    /// After a position; the first page has been read.
    Replay(u64, Page),
    /// With the state.
    Snapshot(Snapshot),
    /// At the head, with an error that says why not at the position.
    Refused(Refusal),
}

/// The state in place of a replay, as it goes on the wire.
#[derive(Debug)]
pub struct Snapshot {
    /// Why the replay is not possible.
    pub reason: ResumeReason,
    /// The number of the log that the state is of.
    pub seq: u64,
    /// The frame.
    pub frame: Bytes,
}

/// What comes next of a log that is read on.
#[derive(Debug)]
pub enum Next {
    /// The next events.
    Page(Page),
    /// The next events are gone: the state in their place.
    Snapshot(Snapshot),
}
