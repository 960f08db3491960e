//! The `timer` tool: waits, and stops waiting when the call is cancelled.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::ToolError;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str =
    "Waits for up to 50 seconds and then returns; stops at once when cancelled.";

/// Longest wait, in seconds; below the usual deadline of a tool, so that a full wait still ends well.
const MAX_SECONDS: f64 = 50.0;

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TimerArguments {
    /// Seconds, with fractions; at most 50.
    seconds: f64,
}

/// Waits out the time or until `cancelled`.
pub(crate) async fn timer(
    arguments: TimerArguments,
    cancelled: &CancellationToken,
) -> Result<Value, ToolError> {
    let TimerArguments { seconds } = arguments;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        let message = format!("A timer runs for 0 to {MAX_SECONDS} seconds.");
        return Err(ToolError::new("out_of_range", message));
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => Ok(json!({ "waited_seconds": seconds })),
        () = cancelled.cancelled() => Err(ToolError::new("cancelled", "The timer was cancelled.")),
    }
}
