//! The rules of a run, each by the way of breaking it.

use crate::ids::{ApprovalId, ToolCallId};

/// Which rule an event breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunViolation {
    /// `run_seq` is not the next number.
    #[error("run_seq {found} where {expected} comes next")]
    RunSeq {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Only deltas may be merged: a range on anything else would hide events.
    #[error("{0} with a range of numbers")]
    Range(&'static str),
    /// Something other than a queued `status_update` stands before `agent_started`.
    #[error("{0} before agent_started")]
    BeforeStart(&'static str),
    /// A second `agent_started`.
    #[error("agent_started twice")]
    StartedTwice,
    /// An event after `agent_completed`.
    #[error("{0} after agent_completed")]
    AfterEnd(&'static str),
    /// `agent_thinking` says nothing.
    #[error("agent_thinking with empty reasoning")]
    EmptyReasoning,
    /// `step_number` is not the next number.
    #[error("step_number {found} where {expected} comes next")]
    StepNumber {
        /// The number that was due.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// A tool call began twice.
    #[error("tool call {0} executing twice")]
    ToolTwice(ToolCallId),
    /// A tool call ended that is not open.
    #[error("tool call {0} completed but not executing")]
    ToolNotOpen(ToolCallId),
    /// A tool call ended under another name.
    #[error("tool call {0} began and ended under different names")]
    ToolName(ToolCallId),
    /// A tool call has neither or both of result and error.
    #[error("tool call {0} needs a result or an error")]
    ToolResult(ToolCallId),
    /// Arguments for a call that already runs.
    #[error("arguments of tool call {0} after it began")]
    LateArguments(ToolCallId),
    /// The run ended with open tool calls.
    #[error("agent_completed with {0} open tool calls")]
    OpenTools(usize),
    /// The run ended with open questions.
    #[error("agent_completed with {0} open approvals")]
    OpenApprovals(usize),
    /// A question was asked twice, or answered when not open.
    #[error("approval {0} is asked twice, or answered when not open")]
    Approval(ApprovalId),
    /// Deltas of one run name two answers.
    #[error("deltas of more than one answer")]
    TwoAnswers,
    /// The final response is not the deltas put together.
    #[error("final_response differs from the deltas put together")]
    FinalResponse,
    /// A successful run without an answer, or a failed one without an error.
    #[error("agent_completed lacks what its outcome needs")]
    OutcomeFields,
    /// An event that no run has.
    #[error("{0} is not an event of a run")]
    NotOfARun(&'static str),
}
