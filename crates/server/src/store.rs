//! What is kept: users' logs, threads, messages, runs and the answers to requests.
//! What must be atomic is one method; sequence numbers are given in the transaction that appends.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{
    ControlBody, Epoch, ErrorBody, ErrorCode, Event, EventBody, Message, MessageId, Outcome, Position,
    RequestId, RunError, RunId, Thread, ThreadId, Timestamp, UserId,
};

use crate::error::Refusal;

mod accounts;
mod away;
pub mod embedded;
pub mod layer;
mod lease;

pub use accounts::*;
pub use away::{FIRST_PAUSE, LAST_PAUSE, in_time, while_away};
pub use lease::*;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or it is another user's.
    #[error("not found")]
    NotFound,
    /// The request id was used with another body.
    #[error("the request id was used before with another body")]
    IdReused,
    /// The user keeps as much as a quota allows.
    #[error("{0}")]
    QuotaExceeded(QuotaUse),
    /// The log no longer reaches back to the position.
    #[error("the log begins after seq {floor}")]
    TooOld {
        /// The last number that is gone.
        floor: u64,
    },
    /// The run is leased by another node, or is over.
    #[error("the run is no longer leased by this node")]
    LeaseLost,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// What writes is gone, though nobody closed the store.
    #[error("the store's writer is gone")]
    Failed,
    /// The database refused.
    #[error("the store failed: {reason}")]
    Database {
        /// SQLite's extended result code.
        code: i32,
        /// Why.
        reason: String,
    },
    /// The store cannot be reached and will be again; whether it did what it was asked is not known.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store failed in another way.
    #[error("the store failed: {0}")]
    Backend(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::NotFound, "There is no such thing."),
            StoreError::IdReused => {
                Self::new(ErrorCode::IdReused, "This request id was used before with another body.")
            }
            StoreError::QuotaExceeded(full) => {
                let body = ErrorBody::new(ErrorCode::QuotaExceeded, full.to_string());
                let body = body.detail("quota", full.quota).detail("used", full.used);
                body.detail("allowed", full.allowed).into()
            }
            StoreError::Closed => Self::new(ErrorCode::ShuttingDown, "The server is restarting; try again."),
            StoreError::Failed => {
                Self::new(ErrorCode::ShuttingDown, "The store failed and the server ends; try again later.")
            }
            StoreError::Unavailable(_) => {
                tracing::warn!(error = %error, "a request was refused while the store is away");
                Self::new(ErrorCode::Internal, "The store cannot be reached; try again.").after(1.0)
            }
            StoreError::LeaseLost
            | StoreError::TooOld { .. }
            | StoreError::Database { .. }
            | StoreError::Backend(_) => {
                tracing::error!(error = %error, "the store failed a request");
                Self::new(ErrorCode::Internal, "Something went wrong inside; try again.")
            }
        }
    }
}

/// Why a store could not be opened; the file is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a wireproof store.
    #[error(
        "{path} is not a wireproof store; it was left as it was. Give another --data-dir, or move the file away."
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({reason}); it was left as it was. Restore a backup, or move the file away to start empty."
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// The file was written by a later version.
    #[error(
        "{path} was written by a later version of wireproof (schema {found}, known up to {known}); it was left as it was. Use that version, or give another --data-dir."
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The schema known.
        known: i64,
    },
    /// The file has other tables, indexes, triggers or views than those that wireproof makes.
    #[error(
        "{path} has {what}; it was left as it was. Somebody changed the store with another program: restore a backup, or take the change back."
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Another program has the database locked.
    #[error(
        "{path} is locked by another program; it was left as it was. Close what has it open, such as a database browser, then try again."
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is no room to write.
    #[error(
        "{path} cannot be written ({reason}); it was left as it was. The disk is full, or a quota or a limit on the size of files (ulimit -f) is reached: make room, then try again."
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file or its folder must not be written.
    #[error(
        "{path} must not be written ({reason}); it was left as it was. Give the file and its folder to the user who runs wireproof (chown), on a file system that can be written."
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk failed.
    #[error(
        "{path} cannot be read ({reason}); it was left as it was. Look into the system's log for errors of the disk."
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process; stop it, or give another --data-dir.")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("cannot open {path}: {reason}")]
    Backend {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

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

/// A new run, with the message that asks for it.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// Whose run.
    pub user_id: UserId,
    /// The request, if it has an id.
    pub request: Option<RequestKey>,
    /// The user's thread, made when there is none of that name; a new one when absent.
    pub thread_id: Option<ThreadId>,
    /// The title of a thread that is made.
    pub title: String,
    /// The message's id.
    pub message_id: MessageId,
    /// The message's text.
    pub content: String,
    /// The run.
    pub run_id: RunId,
    /// The agent.
    pub agent_name: String,
    /// The run's first event: queued or started.
    pub first: EventBody,
    /// Now, in Unix seconds.
    pub now: Timestamp,
}

/// A run that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The number of the first event that the request caused.
    pub seq: u64,
    /// The fencing number of the run's lease.
    pub lease: u64,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct FinishRun {
    /// Whose run.
    pub user_id: UserId,
    /// The run, and the right to write of it.
    pub lease: Lease,
    /// What is still to append; the last is `agent_completed`.
    pub events: Vec<Event>,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer, whole or partial, if there is one.
    pub answer: Option<(MessageId, String)>,
    /// Now, in Unix seconds.
    pub now: Timestamp,
}

impl FinishRun {
    /// The same end without the answer, which a quota has no room for: a run that would have succeeded has failed.
    pub fn without_answer(&self, full: QuotaUse) -> Self {
        let mut finish = Self { answer: None, ..self.clone() };
        let Some(EventBody::AgentCompleted { outcome, final_response, error, .. }) =
            finish.events.last_mut().map(|event| &mut event.body)
        else {
            return finish;
        };
        if *outcome == Outcome::Success {
            (*outcome, finish.outcome) = (Outcome::Failed, Outcome::Failed);
            *final_response = None;
            let code = ErrorCode::QuotaExceeded.as_str().to_owned();
            *error = Some(RunError { code, message: full.to_string() });
        }
        finish
    }
}

/// A run as the store knows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// Whose run.
    #[serde(skip)]
    pub user_id: UserId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The agent.
    pub agent_name: String,
    /// The number of its first event.
    pub first_seq: u64,
    /// The number of its last event, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// How it ended, once it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it was asked for, in Unix seconds.
    pub created_at: Timestamp,
    /// When it ended, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
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

/// How much of the logs is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events older than this many seconds may go.
    pub seconds: f64,
    /// What a user's log may take, in bytes.
    pub bytes_per_user: u64,
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
    /// was stored before gets the same answer, and keeps the lease that it has.
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
    /// Leases to a node at most so many of the runs that are not over and that nobody leases at `now`. Fewer than `most` are
    /// all that there are.
    async fn take_over_runs(
        &self,
        term: LeaseTerm,
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
