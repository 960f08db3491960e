//! Threads, messages and runs as REST, answers and snapshots show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Timestamp,
    event::Role,
    ids::{ApprovalId, MessageId, RunId, ThreadId, ToolCallId},
    names::open_enum,
};

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveRun {
    /// The run.
    pub run_id: RunId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The agent that runs.
    pub agent_name: String,
}

/// A thread as REST and sockets show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its title.
    pub title: String,
    /// What the client keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// When it began, in Unix seconds.
    pub created_at: Timestamp,
    /// When it last changed, in Unix seconds.
    pub updated_at: Timestamp,
    /// How many messages it has.
    pub message_count: u64,
}

/// A message as REST and sockets show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The message.
    pub message_id: MessageId,
    /// The thread it stands in.
    pub thread_id: ThreadId,
    /// Who wrote it.
    pub role: Role,
    /// Its text.
    pub content: String,
    /// When it was written, in Unix seconds.
    pub created_at: Timestamp,
    /// The run that it asked for or that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// True for the partial answer of a run that failed or was cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

open_enum! {
    /// Why a position is not served by a replay.
    pub enum ResumeReason {
        /// The log no longer reaches back so far.
        "too_old" => TooOld,
        /// The position is on another number line.
        "epoch_changed" => EpochChanged,
    }
}

/// A thread in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its title.
    pub title: String,
    /// What the client keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Its latest messages, at most 50, oldest first.
    pub messages: Vec<Message>,
    /// True when there are older messages.
    pub truncated: bool,
}

/// A run in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunSnapshot {
    /// The run.
    pub run_id: RunId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The agent that runs.
    pub agent_name: String,
    /// The number of its last event.
    pub run_seq: u64,
    /// True once `agent_started` was said; false while it is queued.
    pub started: bool,
    /// The answer's id, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The answer so far.
    pub text: String,
    /// The turns of thought so far.
    pub step_number: u32,
    /// The calls of tools that began and did not end.
    pub open_tool_calls: Vec<OpenToolCall>,
    /// The questions that wait for an answer.
    pub open_approvals: Vec<ApprovalId>,
}

/// A call of a tool that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The tool.
    pub tool_name: String,
}
