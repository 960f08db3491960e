//! What a client may send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{MAX_TEXT_ID, RequestId, ThreadId},
    names::tagged_enum,
};

pub(crate) mod shape;

use shape::{FieldKind, Presence, Shape};

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

/// Each frame with its names and its fields, and what each field must hold: the type, and the shapes that the reader of
/// frames looks at, come from this list.
macro_rules! client_frames {
    (
        $(#[$enum_meta:meta])*
        pub enum $enum:ident {
            $(
                $(#[$meta:meta])*
                $name:literal $(| $alias:literal)* => $variant:ident $({
                    $( $(#[$field_meta:meta])* $field:ident: $type:ty = $kind:ident, )*
                })?,
            )*
        }
    ) => {
        tagged_enum! {
            $(#[$enum_meta])*
            pub enum $enum {
                $(
                    $(#[$meta])*
                    $(#[serde(alias = $alias)])*
                    $name => $variant $({ $( $(#[$field_meta])* $field: $type, )* })?,
                )*
            }
        }

        /// The shapes of all frames.
        pub(crate) const SHAPES: &[Shape] = &[
            $( Shape {
                names: &[$name $(, $alias)*],
                fields: &[$($( (stringify!($field), FieldKind::$kind, <$type as Presence>::REQUIRED), )*)?],
            }, )*
        ];
    };
}

client_frames! {
    /// What a client asks for. Fields may also stand under `payload`. `chat`, `start_agent` and `create_thread` may name a
    /// thread that is not there yet: it is made. Elsewhere a text that names no thread or run of the user is `not_found`.
    pub enum ClientFrame {
        /// Ask for a `pong`, which comes after everything that was stored before.
        "ping" => Ping,
        /// A sign of life at the level of frames.
        "heartbeat" => Heartbeat,
        /// Credentials, first or renewed.
        "authenticate" => Authenticate {
            /// The JWT.
            token: String = Text,
        },
        /// Serve the log from after a position.
        "resume" => Resume {
            /// The number line: 16 lower-case hex digits.
            #[schemars(regex(pattern = r"^[0-9a-f]{16}$"))]
            epoch: String = Epoch,
            /// The last number seen.
            after: u64 = Number,
        },
        /// A message to an agent.
        "chat" | "user_message" => Chat {
            /// The message; not empty.
            #[schemars(regex(pattern = NOT_BLANK))]
            content: String = Filled,
            /// The thread, made when the user has none of that name; a new one when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            thread_id: Option<ThreadId> = Thread,
            /// The agent; the server's first when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            agent: Option<String> = Text,
        },
        /// The same, as a request to an agent.
        "start_agent" => StartAgent {
            /// The request; not empty.
            #[schemars(regex(pattern = NOT_BLANK))]
            user_request: String = Filled,
            /// The agent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            agent: Option<String> = Text,
            /// The thread, made when the user has none of that name; a new one when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            thread_id: Option<ThreadId> = Thread,
        },
        /// End a run.
        "cancel_run" | "stop_agent" => CancelRun {
            /// The run.
            run_id: String = Text,
        },
        /// Answer an approval.
        "approve" => Approve {
            /// The question.
            approval_id: String = Text,
            /// `approved` or `denied`.
            #[schemars(extend("enum" = ["approved", "denied"]))]
            decision: String = Decision,
            /// Arguments in place of the agent's.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            edited_arguments: Option<Value> = Any,
        },
        /// Begin a thread. One of that name that is there stays as it is.
        "create_thread" => CreateThread {
            /// Its name; a new one when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            thread_id: Option<ThreadId> = Thread,
            /// Its title and metadata.
            #[serde(flatten)]
            retitle: Retitle = Retitle,
        },
        /// Change a thread's title or metadata.
        "rename_thread" => RenameThread {
            /// The thread.
            thread_id: String = Text,
            /// What becomes of it.
            #[serde(flatten)]
            retitle: Retitle = Retitle,
        },
        /// Delete a thread with its messages.
        "delete_thread" => DeleteThread {
            /// The thread.
            thread_id: String = Text,
        },
        /// Show a thread: answered with `thread_data`.
        "switch_thread" => SwitchThread {
            /// The thread.
            thread_id: String = Text,
        },
        /// A page of a thread's messages, oldest first.
        "get_thread_history" => GetThreadHistory {
            /// The thread.
            thread_id: String = Text,
            /// Messages a page: 1 to 100, 50 when absent.
            #[schemars(range(min = 1, max = MAX_HISTORY_LIMIT))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            limit: Option<u64> = Limit,
            /// Messages to pass over, counted from the oldest; the latest page when absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            offset: Option<u64> = Number,
        },
        /// The user types, or stopped.
        "typing" => Typing {
            /// The thread.
            thread_id: String = Text,
            /// True while typing.
            active: bool = Flag,
        },
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
