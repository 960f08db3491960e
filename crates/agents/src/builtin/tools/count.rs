//! The `count` tool: checks a count and settles its pace; the agent then says the numbers at that pace.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ToolError;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str = "Prepares counting from one whole number to another, up or down, at a steady \
    pace: how many numbers there are and how many milliseconds apart they are said.";

/// Milliseconds between two numbers unless asked otherwise.
const DEFAULT_INTERVAL_MS: u64 = 40;

/// Most numbers in one count.
const MAX_NUMBERS: u64 = 1_000;

/// Longest count, in milliseconds.
const MAX_TOTAL_MS: u64 = 120_000;

/// What to count and how fast.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CountArguments {
    /// The first number.
    from: i64,
    /// The last number, said too; counts down if it is the smaller one.
    to: i64,
    /// Milliseconds between two numbers: 40 if absent, 0 for no pause.
    interval_ms: Option<u64>,
}

/// How many numbers, at what pace; refuses counts that are too many or take too long.
pub(crate) fn count(arguments: CountArguments) -> Result<Value, ToolError> {
    let CountArguments { from, to, interval_ms } = arguments;
    let interval_ms = interval_ms.unwrap_or(DEFAULT_INTERVAL_MS);
    let numbers = from.abs_diff(to).saturating_add(1);
    if numbers > MAX_NUMBERS {
        return Err(ToolError::new("too_many", format!("I count up to {MAX_NUMBERS} numbers at a time.")));
    }
    if numbers.saturating_mul(interval_ms) > MAX_TOTAL_MS {
        let message =
            format!("Counting takes at most {} seconds: fewer numbers, or faster.", MAX_TOTAL_MS / 1_000);
        return Err(ToolError::new("too_long", message));
    }
    Ok(json!({ "from": from, "to": to, "numbers": numbers, "interval_ms": interval_ms }))
}
