//! Stored events: what a user's log holds and every connection of the user receives.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

mod body;
mod fields;

pub use body::*;
pub use fields::{Decision, Outcome, Role, RunError, ToolError, Usage};

use crate::{
    Timestamp,
    ids::{EventId, RunId, ThreadId, UserId},
};

/// The five events that a user must always see of a run that uses a tool.
pub const CRITICAL_EVENTS: [&str; 5] =
    ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

/// The events of threads and their messages; all others are of a run.
pub(crate) const THREAD_EVENTS: [&str; 4] =
    ["thread_created", "thread_updated", "thread_deleted", "message_created"];

/// One event of a user's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number in the user's log, gapless from 1; of a merged event, the last of its range.
    pub seq: u64,
    /// The first number of a merged event's range; absent when the event is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Its own id.
    pub event_id: EventId,
    /// Whose log it stands in.
    pub user_id: UserId,
    /// The thread it belongs to.
    pub thread_id: ThreadId,
    /// When it happened, in Unix seconds.
    pub timestamp: Timestamp,
    /// The run it belongs to, if it belongs to one.
    #[serde(flatten, deserialize_with = "whole_or_absent")]
    pub run: Option<RunPart>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Where an event stands in its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPart {
    /// The run.
    pub run_id: RunId,
    /// Its number in the run, gapless from 1; of a merged event, the last of its range.
    pub run_seq: u64,
    /// The first number of a merged event's range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run_seq: Option<u64>,
    /// The agent that runs.
    pub agent_name: String,
}

impl Event {
    /// The numbers that the event stands for, first and last.
    pub fn range(&self) -> (u64, u64) {
        (self.first_seq.unwrap_or(self.seq), self.seq)
    }
}

/// A flattened `Option` would read a broken run part as none.
fn whole_or_absent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RunPart>, D::Error> {
    #[derive(Deserialize)]
    struct Fields {
        run_id: Option<RunId>,
        run_seq: Option<u64>,
        first_run_seq: Option<u64>,
        agent_name: Option<String>,
    }
    let Fields { run_id, run_seq, first_run_seq, agent_name } = Fields::deserialize(deserializer)?;
    match (run_id, run_seq, agent_name) {
        (Some(run_id), Some(run_seq), Some(agent_name)) => {
            Ok(Some(RunPart { run_id, run_seq, first_run_seq, agent_name }))
        }
        (None, None, None) if first_run_seq.is_none() => Ok(None),
        _ => Err(de::Error::custom("run_id, run_seq and agent_name go together")),
    }
}
