//! Bodies of events whose fields are all an agent's own: the server adds nothing to them.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::ToolError;
use crate::ids::ToolCallId;

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
