//! What an event says, by its type. A body whose fields are all an agent's own is a struct: agents emit it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{
    THREAD_EVENTS,
    fields::{Decision, Outcome, Role, RunError, ToolError, Usage},
};
use crate::{
    Timestamp,
    ids::{ApprovalId, MessageId, ToolCallId},
    names::tagged_enum,
};

tagged_enum! {
    /// What happened. Later versions have more.
    #[non_exhaustive]
    pub enum EventBody {
        /// A thread began.
        "thread_created" => ThreadCreated {
            /// Its title.
            title: String,
            /// What the client keeps with it.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            metadata: Map<String, Value>,
        },
        /// A thread's title or metadata changed: both as they are now; no `metadata` means that it is empty.
        "thread_updated" => ThreadUpdated {
            /// Its title now.
            title: String,
            /// Its metadata now.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            metadata: Map<String, Value>,
        },
        /// A thread is gone, with its messages; title and metadata are as they were last.
        "thread_deleted" => ThreadDeleted {
            /// Its last title.
            title: String,
            /// Its last metadata.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            metadata: Map<String, Value>,
        },
        /// The user wrote a message; `role` is `user`.
        "message_created" => MessageCreated {
            /// The message.
            message_id: MessageId,
            /// Who wrote it.
            role: Role,
            /// Its text.
            content: String,
        },
        /// The agent began; `message` is a sentence for people.
        "agent_started" => AgentStarted {
            /// A sentence for people.
            message: String,
        },
        /// One step of thought, once a model turn; `reasoning` is never blank, `step_number` counts from 1.
        "agent_thinking" => AgentThinking {
            /// What it thinks; never empty.
            reasoning: String,
            /// The turn, from 1.
            step_number: u32,
        },
        /// A piece of reasoning.
        "thinking_delta" => ThinkingDelta {
            /// The message it leads to.
            message_id: MessageId,
            /// The piece.
            delta: String,
        },
        /// A piece of the answer.
        "message_delta" => MessageDelta {
            /// The answer.
            message_id: MessageId,
            /// The piece.
            delta: String,
        },
        /// A piece of the arguments of a call that has not begun.
        "tool_arguments_delta" => ToolArgumentsDelta(ToolArgumentsDelta),
        /// A tool began.
        "tool_executing" => ToolExecuting(ToolExecuting),
        /// A tool ended, with a `result`, which is any JSON (`null` too), or an `error`, which is `{code, message}`.
        "tool_completed" => ToolCompleted(ToolCompleted),
        /// The agent asks for approval of a call.
        "approval_requested" => ApprovalRequested {
            /// The question.
            approval_id: ApprovalId,
            /// The call that waits.
            tool_call_id: ToolCallId,
            /// What an answer may change, as a JSON Schema.
            schema: Value,
            /// When the question lapses, in Unix seconds.
            expires_at: Timestamp,
        },
        /// The question was answered: `approved`, `denied` or `expired`.
        "approval_resolved" => ApprovalResolved {
            /// The question.
            approval_id: ApprovalId,
            /// The call that waited.
            tool_call_id: ToolCallId,
            /// The answer.
            decision: Decision,
        },
        /// Something a user should know while waiting. `status` is a word for programs: the server itself says `queued` only,
        /// an agent may say others.
        "status_update" => StatusUpdate(StatusUpdate),
        /// The one end of the run.
        "agent_completed" => AgentCompleted {
            /// How it ended.
            outcome: Outcome,
            /// The answer's id, when there is an answer.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            message_id: Option<MessageId>,
            /// The answer: its deltas put together.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            final_response: Option<String>,
            /// Why it failed.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            error: Option<RunError>,
            /// What it cost.
            usage: Usage,
            /// How long it took, in milliseconds.
            duration_ms: f64,
        },
    }
}

impl EventBody {
    /// True for what only a run says; false for what happens to a thread and its messages.
    pub fn is_of_a_run(&self) -> bool {
        !THREAD_EVENTS.contains(&self.name())
    }

    /// The piece of a delta; only deltas may be merged.
    pub fn delta(&self) -> Option<&str> {
        use EventBody::*;
        match self {
            ThinkingDelta { delta, .. } | MessageDelta { delta, .. } => Some(delta),
            ToolArgumentsDelta(piece) => Some(&piece.delta),
            _ => None,
        }
    }

    /// The same, to put more behind it.
    pub fn delta_mut(&mut self) -> Option<&mut String> {
        use EventBody::*;
        match self {
            ThinkingDelta { delta, .. } | MessageDelta { delta, .. } => Some(delta),
            ToolArgumentsDelta(piece) => Some(&mut piece.delta),
            _ => None,
        }
    }
}

/// A piece of a tool's arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ToolArgumentsDelta {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The piece.
    pub delta: String,
}

/// A tool starts to work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ToolExecuting {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The tool.
    pub tool_name: String,
    /// What it works on.
    pub parameters: Value,
}

/// A tool ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ToolCompleted {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The tool.
    pub tool_name: String,
    /// What it found; absent when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub result: Option<Value>,
    /// Why it failed; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolError>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

impl ToolCompleted {
    /// The end of a call that took so many milliseconds, with its result or its error.
    pub fn new(
        tool_call_id: ToolCallId,
        tool_name: impl Into<String>,
        outcome: Result<Value, ToolError>,
        duration_ms: f64,
    ) -> Self {
        let (result, error) = match outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        Self { tool_call_id, tool_name: tool_name.into(), result, error, duration_ms }
    }
}

/// Something a user should know while waiting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct StatusUpdate {
    /// A word for programs: `queued`, `retrying`, …
    pub status: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Keeps a `null` result apart from an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
