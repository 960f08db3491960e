//! What a server says besides the events of the log: answers, welcomes and refusals. None is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Timestamp,
    codes::ErrorCode,
    event::Outcome,
    ids::{ApprovalId, ConnectionId, RequestId, RunId, ThreadId, UserId},
    limits::Limits,
    names::tagged_enum,
    position::Epoch,
    records::{ActiveRun, Message, ResumeReason, RunSnapshot, SnapshotThread, Thread},
};

/// A control frame: an answer, a welcome, a sign of life. Never stored; a `seq` in it is a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// What it says.
    #[serde(flatten)]
    pub body: ControlBody,
    /// The request it answers, when that carried an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// When it was said, in Unix seconds.
    pub timestamp: Timestamp,
}

tagged_enum! {
    /// What a control frame says.
    pub enum ControlBody {
        /// Always the first frame of an authenticated connection.
        "connection_established" => ConnectionEstablished {
            /// The connection.
            connection_id: ConnectionId,
            /// Whose log follows.
            user_id: UserId,
            /// The log's number line.
            epoch: Epoch,
            /// The log's head.
            seq: u64,
            /// True when a replay follows: the position that was asked for is served.
            resumed: bool,
            /// The user's runs that are not over.
            active_runs: Vec<ActiveRun>,
            /// What the connection may do.
            limits: Limits,
            /// The server's clock, in Unix seconds.
            server_time: Timestamp,
            /// What the server can do beyond the first version of the protocol: the words of [`FEATURES`](crate::FEATURES)
            /// and later ones.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            features: Vec<String>,
            /// True when the server runs with authentication switched off.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            insecure_no_auth: bool,
        },
        /// Answer to `ping`.
        "pong" => Pong {
            /// The head of the log that this connection was served.
            seq: u64,
        },
        /// Answer to `heartbeat`.
        "heartbeat_ack" => HeartbeatAck {
            /// The head of the log that this connection was served.
            seq: u64,
        },
        /// A command was carried out.
        "ack" => Ack {
            /// The thread concerned.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            thread_id: Option<ThreadId>,
            /// The run concerned.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            run_id: Option<RunId>,
            /// The question concerned.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            approval_id: Option<ApprovalId>,
            /// How a run ended that was over already.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            outcome: Option<Outcome>,
        },
        /// A run was taken; its effects are visible from `seq` on.
        "accepted" => Accepted {
            /// The run.
            run_id: RunId,
            /// The thread it answers in.
            thread_id: ThreadId,
            /// The number of the first event that the request caused.
            seq: u64,
        },
        /// Answer to `switch_thread`: the thread and its latest messages.
        "thread_data" => ThreadData {
            /// The thread.
            #[serde(flatten)]
            thread: Thread,
            /// Its latest messages, oldest first.
            messages: Vec<Message>,
        },
        /// Answer to `get_thread_history`.
        "thread_history" => ThreadHistory {
            /// The thread.
            thread_id: ThreadId,
            /// A page of its messages, oldest first.
            messages: Vec<Message>,
            /// How many messages the thread has.
            total: u64,
            /// How many a page holds.
            limit: u64,
            /// How many of the oldest were left out before the page.
            offset: u64,
        },
        /// The state in place of a replay that cannot be served.
        "snapshot" => Snapshot {
            /// Why there is no replay.
            reason: ResumeReason,
            /// The log's number line.
            epoch: Epoch,
            /// The position that the state stands for; the tail follows.
            seq: u64,
            /// The user's threads.
            threads: Vec<SnapshotThread>,
            /// The user's runs that are not over.
            active_runs: Vec<RunSnapshot>,
        },
        /// A replay or snapshot is complete; what follows is live.
        "caught_up" => CaughtUp {
            /// The position reached.
            seq: u64,
        },
        /// The token expires soon: send `authenticate` with a new one.
        "token_expiring" => TokenExpiring {
            /// When, in Unix seconds.
            expires_at: Timestamp,
        },
        /// The server goes away: come back after the time, and resume.
        "go_away" => GoAway {
            /// How long to wait before connecting again, in milliseconds.
            reconnect_after_ms: u64,
        },
        /// Something was refused.
        "error" => Error(ErrorBody),
    }
}

/// A refusal, the same on the socket and over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// For programs.
    pub error_code: ErrorCode,
    /// A sentence for people.
    pub error: String,
    /// The same sentence.
    pub message: String,
    /// True when the same request may succeed later.
    pub retryable: bool,
    /// When to try again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// More for programs, such as the name of a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Map<String, Value>>,
}

impl ErrorBody {
    /// A refusal with its sentence.
    pub fn new(error_code: ErrorCode, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self {
            error_code,
            message: sentence.clone(),
            error: sentence,
            retryable: error_code.retryable(),
            retry_after_ms: None,
            details: None,
        }
    }

    /// The refusal with one more detail.
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.get_or_insert_with(Map::new).insert(name.to_owned(), value.into());
        self
    }
}
