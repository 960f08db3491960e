//! What an event says, by its type.

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
};

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// A thread began.
    ThreadCreated {
        /// Its title.
        title: String,
        /// What the client keeps with it.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// A thread's title or metadata changed.
    ThreadUpdated {
        /// Its title now.
        title: String,
        /// Its metadata now.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// A thread is gone, with its messages.
    ThreadDeleted {
        /// Its last title.
        title: String,
        /// Its last metadata.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
    },
    /// The user wrote a message.
    MessageCreated {
        /// The message.
        message_id: MessageId,
        /// Who wrote it.
        role: Role,
        /// Its text.
        content: String,
    },
    /// An agent began to work.
    AgentStarted {
        /// A sentence for people.
        message: String,
    },
    /// The agent thinks: once a model turn.
    AgentThinking {
        /// What it thinks; never empty.
        reasoning: String,
        /// The turn, from 1.
        step_number: u32,
    },
    /// A piece of reasoning.
    ThinkingDelta {
        /// The message it leads to.
        message_id: MessageId,
        /// The piece.
        delta: String,
    },
    /// A piece of the answer.
    MessageDelta {
        /// The answer.
        message_id: MessageId,
        /// The piece.
        delta: String,
    },
    /// A piece of a tool's arguments.
    ToolArgumentsDelta {
        /// The call.
        tool_call_id: ToolCallId,
        /// The piece.
        delta: String,
    },
    /// A tool starts to work.
    ToolExecuting {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// What it works on.
        parameters: Value,
    },
    /// A tool ended.
    ToolCompleted {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// What it found; absent when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        result: Option<Value>,
        /// Why it failed; absent when it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ToolError>,
        /// How long it took, in milliseconds.
        duration_ms: f64,
    },
    /// The agent asks for leave.
    ApprovalRequested {
        /// The question.
        approval_id: ApprovalId,
        /// The call that waits.
        tool_call_id: ToolCallId,
        /// What an answer may change, as a JSON Schema.
        schema: Value,
        /// When the question lapses, in Unix seconds.
        expires_at: Timestamp,
    },
    /// The question was answered.
    ApprovalResolved {
        /// The question.
        approval_id: ApprovalId,
        /// The call that waited.
        tool_call_id: ToolCallId,
        /// The answer.
        decision: Decision,
    },
    /// Something a user should know while waiting.
    StatusUpdate {
        /// A word for programs: `queued`, `retrying`, …
        status: String,
        /// A sentence for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The run is over: the one terminal event.
    AgentCompleted {
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

/// Keeps a `null` result apart from an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl EventBody {
    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            EventBody::ThreadCreated { .. } => "thread_created",
            EventBody::ThreadUpdated { .. } => "thread_updated",
            EventBody::ThreadDeleted { .. } => "thread_deleted",
            EventBody::MessageCreated { .. } => "message_created",
            EventBody::AgentStarted { .. } => "agent_started",
            EventBody::AgentThinking { .. } => "agent_thinking",
            EventBody::ThinkingDelta { .. } => "thinking_delta",
            EventBody::MessageDelta { .. } => "message_delta",
            EventBody::ToolArgumentsDelta { .. } => "tool_arguments_delta",
            EventBody::ToolExecuting { .. } => "tool_executing",
            EventBody::ToolCompleted { .. } => "tool_completed",
            EventBody::ApprovalRequested { .. } => "approval_requested",
            EventBody::ApprovalResolved { .. } => "approval_resolved",
            EventBody::StatusUpdate { .. } => "status_update",
            EventBody::AgentCompleted { .. } => "agent_completed",
        }
    }

    /// True for what only a run says; false for what happens to a thread and its messages.
    pub fn is_of_a_run(&self) -> bool {
        !THREAD_EVENTS.contains(&self.name())
    }

    /// The piece of a delta; only deltas may be merged.
    pub fn delta(&self) -> Option<&str> {
        use EventBody::*;
        match self {
            ThinkingDelta { delta, .. } | MessageDelta { delta, .. } | ToolArgumentsDelta { delta, .. } => {
                Some(delta)
            }
            _ => None,
        }
    }

    /// The same, to put more behind it.
    pub fn delta_mut(&mut self) -> Option<&mut String> {
        use EventBody::*;
        match self {
            ThinkingDelta { delta, .. } | MessageDelta { delta, .. } | ToolArgumentsDelta { delta, .. } => {
                Some(delta)
            }
            _ => None,
        }
    }
}
