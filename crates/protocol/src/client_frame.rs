//! What a client may send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{MAX_TEXT_ID, RequestId, ThreadId};

/// Longest request id, in characters.
pub const MAX_REQUEST_ID: usize = MAX_TEXT_ID;

/// The pattern of a text that is not blank. `\S` would not do: JSON Schema and Unicode count other signs as white space.
pub const NOT_BLANK: &str = r"[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]";

/// Longest title of a thread, in characters.
pub const MAX_TITLE: usize = 200;

/// Most messages that a page of `get_thread_history` holds.
pub const MAX_HISTORY_LIMIT: u64 = 100;

/// A client's frame with its id. It serialises to what goes on the wire; [`parse_frame`](crate::parse_frame) reads it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Request {
    /// What is asked for.
    #[serde(flatten)]
    pub frame: ClientFrame,
    /// The request's id: echoed, and the idempotency key of commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// What a client asks for. Fields may also stand under `payload`. `chat`, `start_agent` and `create_thread` may name a
/// thread that is not there yet: it is made. Elsewhere a text that names no thread or run of the user is `not_found`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Are you there?
    Ping,
    /// A sign of life at the level of frames.
    Heartbeat,
    /// Credentials, first or renewed.
    Authenticate {
        /// The JWT.
        token: String,
    },
    /// Serve the log from after a position.
    Resume {
        /// The number line: 16 lower-case hex digits.
        #[schemars(regex(pattern = r"^[0-9a-f]{16}$"))]
        epoch: String,
        /// The last number seen.
        after: u64,
    },
    /// A message to an agent.
    #[serde(alias = "user_message")]
    Chat {
        /// The message; not empty.
        #[schemars(regex(pattern = NOT_BLANK))]
        content: String,
        /// The thread, made when the user has none of that name; a new one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
        /// The agent; the server's first when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
    },
    /// The same, as a request to an agent.
    StartAgent {
        /// The request; not empty.
        #[schemars(regex(pattern = NOT_BLANK))]
        user_request: String,
        /// The agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// The thread, made when the user has none of that name; a new one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
    },
    /// End a run.
    #[serde(alias = "stop_agent")]
    CancelRun {
        /// The run.
        run_id: String,
    },
    /// Answer a question for leave.
    Approve {
        /// The question.
        approval_id: String,
        /// `approved` or `denied`.
        #[schemars(extend("enum" = ["approved", "denied"]))]
        decision: String,
        /// Arguments in place of the agent's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited_arguments: Option<Value>,
    },
    /// Begin a thread. One of that name that is there stays as it is.
    CreateThread {
        /// Its name; a new one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
        /// Its title and metadata.
        #[serde(flatten)]
        retitle: Retitle,
    },
    /// Change a thread's title or metadata.
    RenameThread {
        /// The thread.
        thread_id: String,
        /// What becomes of it.
        #[serde(flatten)]
        retitle: Retitle,
    },
    /// Delete a thread with its messages.
    DeleteThread {
        /// The thread.
        thread_id: String,
    },
    /// Show a thread: answered with `thread_data`.
    SwitchThread {
        /// The thread.
        thread_id: String,
    },
    /// A page of a thread's messages, oldest first.
    GetThreadHistory {
        /// The thread.
        thread_id: String,
        /// Messages a page: 1 to 100, 50 when absent.
        #[schemars(range(min = 1, max = MAX_HISTORY_LIMIT))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// Messages to pass over, counted from the oldest; the latest page when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// The user types, or stopped.
    Typing {
        /// The thread.
        thread_id: String,
        /// True while typing.
        active: bool,
    },
}

impl ClientFrame {
    /// Its `type` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Heartbeat => "heartbeat",
            Self::Authenticate { .. } => "authenticate",
            Self::Resume { .. } => "resume",
            Self::Chat { .. } => "chat",
            Self::StartAgent { .. } => "start_agent",
            Self::CancelRun { .. } => "cancel_run",
            Self::Approve { .. } => "approve",
            Self::CreateThread { .. } => "create_thread",
            Self::RenameThread { .. } => "rename_thread",
            Self::DeleteThread { .. } => "delete_thread",
            Self::SwitchThread { .. } => "switch_thread",
            Self::GetThreadHistory { .. } => "get_thread_history",
            Self::Typing { .. } => "typing",
        }
    }
}

/// A title and metadata, new or changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retitle {
    /// The title, at most 200 characters.
    #[schemars(length(max = MAX_TITLE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The metadata, in place of what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}
