//! What the fields of events hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::open_enum;

open_enum! {
    /// Who wrote a message.
    pub enum Role {
        /// The user.
        "user" => User,
        /// An agent.
        "assistant" => Assistant,
    }
}

open_enum! {
    /// The answer to an approval.
    pub enum Decision {
        /// Do it.
        "approved" => Approved,
        /// Do not.
        "denied" => Denied,
        /// Nobody answered in time.
        "expired" => Expired,
    }
}

open_enum! {
    /// How a run ended.
    pub enum Outcome {
        /// With an answer.
        "success" => Success,
        /// With an error.
        "failed" => Failed,
        /// By the user's wish.
        "cancelled" => Cancelled,
    }
}

/// Why a tool failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{message}")]
pub struct ToolError {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl ToolError {
    /// An error from its code and its sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Why a run failed, in the same form.
pub type RunError = ToolError;

/// What a run cost, in tokens of a model; zeros when no model took part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// True when the model did not report and the numbers are a guess.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl std::ops::AddAssign for Usage {
    /// Both costs together: an estimate when one of them is. A number that is too large for its field stays at the largest.
    fn add_assign(&mut self, more: Self) {
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.total_tokens = self.total_tokens.saturating_add(more.total_tokens);
        self.estimated = self.estimated || more.estimated;
    }
}
