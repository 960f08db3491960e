//! What is kept: users' logs, threads, messages, runs and the answers to requests.
//! What must be atomic is one method; sequence numbers are given in the transaction that appends.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{
    ControlBody, Event, Message, Position, RequestId, RunId, Thread, ThreadId, Timestamp, UserId,
};

mod accounts;
mod away;
pub mod embedded;
mod error;
pub mod layer;
mod lease;
mod log;
mod open_error;
mod run;

pub use accounts::*;
pub use away::{FIRST_PAUSE, LAST_PAUSE, STORE_PATIENCE, in_time, no_answer, while_away};
pub use error::*;
pub use lease::*;
pub use log::*;
pub use open_error::*;
pub use run::*;

/// How much of a quota a user has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct QuotaUse {
    /// The quota: the name of its setting, such as `bytes_per_user`, or `messages_per_thread`, which is fixed.
    pub quota: &'static str,
    /// How much the user keeps.
    pub used: u64,
    /// How much is allowed; 0 means no limit.
    pub allowed: u64,
}

impl std::fmt::Display for QuotaUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { quota, used, allowed } = self;
        let next = match *quota {
            "messages_per_thread" => "go on in a new thread",
            _ => "delete threads to make room",
        };
        write!(f, "The quota {quota} does not allow this: {used} of {allowed} are used; {next}.")
    }
}

/// What makes a request idempotent: its id, and what its body was.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// The id that the client gave.
    pub id: RequestId,
    /// A digest of all else in the request.
    pub digest: [u8; 32],
}

/// The answer to a request that may have been asked before.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// Asked for the first time, and done.
    Done(T),
    /// Asked for the first time, and nothing to do: it was so already.
    Unchanged(T),
    /// Asked before: the answer it got then.
    Repeated(Box<ControlBody>),
}

/// A change of a user's threads.
#[derive(Debug, Clone)]
pub enum ThreadChange {
    /// A new thread. One of that name that is there stays as it is, and no event is told.
    Create {
        /// Its name; a new one when absent.
        thread_id: Option<ThreadId>,
        /// Its title.
        title: String,
        /// Its metadata.
        metadata: Map<String, Value>,
    },
    /// New title or metadata; what is absent stays.
    Update {
        /// The thread.
        thread_id: ThreadId,
        /// Its title.
        title: Option<String>,
        /// Its metadata.
        metadata: Option<Map<String, Value>>,
    },
    /// The thread goes, with its messages.
    Delete {
        /// The thread.
        thread_id: ThreadId,
    },
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Most rows.
    pub limit: u64,
    /// Rows passed over.
    pub offset: u64,
}

/// A message that fits a search.
#[derive(Debug, Clone)]
pub struct FoundMessage {
    /// The message.
    pub message: Message,
    /// The title of its thread.
    pub title: String,
}

/// A user's state at one moment: what a snapshot is made of.
#[derive(Debug, Clone)]
pub struct UserRecords {
    /// The number that the state stands for.
    pub seq: u64,
    /// The threads that changed last, each with its latest messages, oldest first.
    pub threads: Vec<(Thread, Vec<Message>)>,
    /// The runs that are not over.
    pub active_runs: Vec<RunRecord>,
}

/// A place where all is kept. Methods that change something return after it is durable.
#[async_trait]
pub trait Store: AccountStore {
    /// Where a user's log ends.
    async fn head(&self, user_id: &UserId) -> Result<Position, StoreError>;
    /// Where a user's log ends, then the user's runs, and about `max_bytes` of the events after a position: all that a
    /// connection starts with. A store answers it with one query where it can; without an answer of its own it is asked
    /// for each.
    async fn open(
        &self,
        user_id: &UserId,
        position: Option<Position>,
        max_bytes: usize,
    ) -> Result<OpenedLog, StoreError> {
        let head = self.head(user_id).await?;
        let known = position.filter(|position| position.epoch == head.epoch && position.seq <= head.seq);
        let page = match known {
            Some(position) => match self.read(user_id, position.seq, max_bytes).await {
                Err(StoreError::TooOld { .. }) => None,
                page => Some(page?),
            },
            None => None,
        };
        let active_runs = self.active_runs(Some(user_id)).await?;
        Ok(OpenedLog { head, active_runs, page })
    }
    /// Where the logs of several users end. A store across a network asks once for all.
    async fn heads(&self, users: &[UserId]) -> Result<Vec<u64>, StoreError> {
        let mut heads = Vec::with_capacity(users.len());
        for user_id in users {
            heads.push(self.head(user_id).await?.seq);
        }
        Ok(heads)
    }
    /// Events after a number, about `max_bytes` of them; errs with `TooOld` when the next one is gone.
    async fn read(&self, user_id: &UserId, after: u64, max_bytes: usize) -> Result<Page, StoreError>;
    /// Stores a message and its run, with the events of both and the answer to the request, and leases the run. A run that
    /// was stored before gets the same answer, and keeps the lease that it has. The end of a run that is over already is
    /// stored in the same transaction; a store that does not do that, or has no room for its answer, says `ended: false`, and
    /// gets the end by `finish_run`.
    async fn start_run(
        &self,
        run: Arc<StartRun>,
        term: LeaseTerm,
    ) -> Result<Written<Answer<Started>>, StoreError>;
    /// Appends events; their `seq` is given here. Returns the last number. Of a run's events, those that are stored already
    /// are passed over, by their `run_seq`.
    async fn append_events(
        &self,
        user_id: &UserId,
        lease: Option<Lease>,
        events: Arc<Vec<Event>>,
    ) -> Result<Written<u64>, StoreError>;
    /// Appends the last events of a run but those that are stored already, its answer and its end. Returns the last number.
    /// Errs with `QuotaExceeded`, and has stored nothing, when there is no room for the answer; without an answer it needs
    /// none. An end that was stored before gets the same answer; another end of a run that is over is not found.
    async fn finish_run(&self, finish: Arc<FinishRun>) -> Result<Written<u64>, StoreError>;
    /// Changes a user's threads, with the event that tells it. A change that was made before with the same `now` is not made
    /// again: it gets the same answer, but a thread that is deleted is not found.
    async fn change_thread(
        &self,
        user_id: &UserId,
        request: Option<RequestKey>,
        change: ThreadChange,
        now: Timestamp,
    ) -> Result<Written<Answer<Thread>>, StoreError>;
    /// The answer that a request got before, if it was asked before.
    async fn answered(
        &self,
        user_id: &UserId,
        request: &RequestKey,
    ) -> Result<Option<ControlBody>, StoreError>;
    /// Keeps the answer to a request.
    async fn remember(
        &self,
        user_id: &UserId,
        request: RequestKey,
        answer: ControlBody,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// What a user keeps, by quota.
    async fn quotas(&self, user_id: &UserId) -> Result<Vec<QuotaUse>, StoreError>;
    /// A user's threads, latest change first, and how many there are.
    async fn threads(&self, user_id: &UserId, window: Window) -> Result<(Vec<Thread>, u64), StoreError>;
    /// One thread of a user.
    async fn thread(&self, user_id: &UserId, thread_id: &ThreadId) -> Result<Thread, StoreError>;
    /// Messages of a thread, oldest first; without an offset the latest ones. Also how many there are and the offset.
    async fn messages(
        &self,
        user_id: &UserId,
        thread_id: &ThreadId,
        limit: u64,
        offset: Option<u64>,
    ) -> Result<(Vec<Message>, u64, u64), StoreError>;
    /// The latest messages of a user that hold the text, whatever its case.
    async fn search(
        &self,
        user_id: &UserId,
        text: &str,
        limit: usize,
    ) -> Result<Vec<FoundMessage>, StoreError>;
    /// One run of a user.
    async fn run(&self, user_id: &UserId, run_id: RunId) -> Result<RunRecord, StoreError>;
    /// The runs that are not over: of one user, or of all.
    async fn active_runs(&self, user_id: Option<&UserId>) -> Result<Vec<RunRecord>, StoreError>;
    /// Leases to a node at most so many of the runs that are not over and that nobody leases at `now`, but none of those that
    /// it drives. Fewer than `most` are all that there are.
    async fn take_over_runs(
        &self,
        term: LeaseTerm,
        driven: &[RunId],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(RunRecord, Lease)>, StoreError>;
    /// Lets the leases that a node has of these runs go on; those of other nodes and of other runs stay as they are.
    async fn renew_leases(&self, term: LeaseTerm, runs: &[RunId]) -> Result<(), StoreError>;
    /// A user's state, read at one moment: at most so many threads, each with at most so many messages, and so many
    /// bytes of their text in all.
    async fn records(
        &self,
        user_id: &UserId,
        threads: u64,
        messages: u64,
        bytes: usize,
    ) -> Result<UserRecords, StoreError>;
    /// Puts adjacent deltas together, and lets go what is older or more than the retention allows; events of active
    /// runs stay. Returns how many rows went.
    async fn retain(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError>;
    /// Returns when all that this node asked for before is durable.
    async fn settle(&self) -> Result<(), StoreError>;
    /// Cancelled once the store can write no more: it was closed, or what writes has died.
    fn ended(&self) -> CancellationToken;
    /// Makes all durable and lets go of the files.
    async fn close(&self);
}
