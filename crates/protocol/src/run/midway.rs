//! The rules of a run whose beginning was not seen.

use std::collections::BTreeMap;

use super::{Phase, RunRules};
use crate::records::RunSnapshot;

impl RunRules {
    /// A run whose events before this number were not seen; what they may have held is taken on trust.
    pub fn midway(first_run_seq: u64) -> Self {
        Self { run_seq: first_run_seq.saturating_sub(1), midway: true, ..Self::default() }
    }

    /// A run as a snapshot tells it; only calls and questions that ended before it are unknown.
    pub fn from_snapshot(run: &RunSnapshot) -> Self {
        let open_tools: BTreeMap<_, _> =
            run.open_tool_calls.iter().map(|call| (call.tool_call_id, call.tool_name.clone())).collect();
        Self {
            phase: if run.started { Phase::Running } else { Phase::Waiting },
            run_seq: run.run_seq,
            step_number: run.step_number,
            seen_tools: open_tools.keys().copied().collect(),
            open_tools,
            seen_approvals: run.open_approvals.iter().copied().collect(),
            open_approvals: run.open_approvals.iter().map(|approval_id| (*approval_id, None)).collect(),
            message_id: run.message_id,
            text: run.text.clone(),
            midway: false,
        }
    }
}
