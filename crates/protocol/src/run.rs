//! The rules of a run: one pure state machine that server, test kit and clients share.

use std::collections::{BTreeMap, BTreeSet};

mod midway;
mod violation;

pub use violation::RunViolation;

use crate::{
    event::{EventBody, Outcome},
    ids::{ApprovalId, MessageId, ToolCallId},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Waiting,
    Running,
    Ended(Outcome),
}

/// Where a run stands; feed it every event of the run in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunRules {
    phase: Phase,
    run_seq: u64,
    step_number: u32,
    open_tools: BTreeMap<ToolCallId, String>,
    seen_tools: BTreeSet<ToolCallId>,
    open_approvals: BTreeMap<ApprovalId, Option<ToolCallId>>,
    seen_approvals: BTreeSet<ApprovalId>,
    message_id: Option<MessageId>,
    text: String,
    /// The beginning was not seen: what it may have held is taken on trust.
    midway: bool,
}

impl RunRules {
    /// A run of which nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last `run_seq` taken.
    pub fn run_seq(&self) -> u64 {
        self.run_seq
    }

    /// True between `agent_started` and `agent_completed`.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The turns of thought so far.
    pub fn step_number(&self) -> u32 {
        self.step_number
    }

    /// How the run ended, once it did.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The tool calls that began and did not end, with their names.
    pub fn open_tools(&self) -> impl Iterator<Item = (ToolCallId, &str)> {
        self.open_tools.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// The questions that wait for an answer, with the calls that wait for it; one that only a snapshot told of is
    /// left out, for its call is not known.
    pub fn open_approvals(&self) -> impl Iterator<Item = (ApprovalId, ToolCallId)> {
        self.open_approvals.iter().filter_map(|(approval, call)| Some((*approval, (*call)?)))
    }

    /// The answer so far and its id.
    pub fn text(&self) -> (Option<MessageId>, &str) {
        (self.message_id, &self.text)
    }

    /// Takes the next event of the run, or says which rule it breaks and changes nothing.
    /// `first_run_seq` is that of a merged event.
    pub fn apply(
        &mut self,
        first_run_seq: Option<u64>,
        run_seq: u64,
        body: &EventBody,
    ) -> Result<(), RunViolation> {
        let first = first_run_seq.unwrap_or(run_seq);
        if first != self.run_seq + 1 || run_seq < first {
            return Err(RunViolation::RunSeq { expected: self.run_seq + 1, found: first });
        }
        if first_run_seq.is_some() && body.delta().is_none() {
            return Err(RunViolation::Range(body.name()));
        }
        self.check_phase(body)?;
        self.check_body(body)?;
        self.run_seq = run_seq;
        self.advance(body);
        Ok(())
    }

    fn check_phase(&self, body: &EventBody) -> Result<(), RunViolation> {
        use EventBody::*;
        if !body.is_of_a_run() {
            return Err(RunViolation::NotOfARun(body.name()));
        }
        match (self.phase, body) {
            (Phase::Ended(_), _) => Err(RunViolation::AfterEnd(body.name())),
            (Phase::Waiting, body) if self.midway || may_come_first(body) => Ok(()),
            (Phase::Waiting, _) => Err(RunViolation::BeforeStart(body.name())),
            (Phase::Running, AgentStarted { .. }) => Err(RunViolation::StartedTwice),
            (Phase::Running, _) => Ok(()),
        }
    }

    fn check_body(&self, body: &EventBody) -> Result<(), RunViolation> {
        use EventBody::*;
        match body {
            AgentThinking { reasoning, .. } if reasoning.trim().is_empty() => {
                Err(RunViolation::EmptyReasoning)
            }
            AgentThinking { step_number, .. }
                if *step_number != self.step_number + 1 && !(self.midway && self.step_number == 0) =>
            {
                Err(RunViolation::StepNumber { expected: self.step_number + 1, found: *step_number })
            }
            ThinkingDelta { message_id, .. } | MessageDelta { message_id, .. } => {
                self.same_answer(message_id)
            }
            ToolArgumentsDelta(piece) if self.seen_tools.contains(&piece.tool_call_id) => {
                Err(RunViolation::LateArguments(piece.tool_call_id))
            }
            ToolExecuting(call) if self.seen_tools.contains(&call.tool_call_id) => {
                Err(RunViolation::ToolTwice(call.tool_call_id))
            }
            ToolCompleted(call) => match self.open_tools.get(&call.tool_call_id) {
                None if self.midway && !self.seen_tools.contains(&call.tool_call_id) => Ok(()),
                None => Err(RunViolation::ToolNotOpen(call.tool_call_id)),
                Some(name) if *name != call.tool_name => Err(RunViolation::ToolName(call.tool_call_id)),
                Some(_) if call.result.is_some() == call.error.is_some() => {
                    Err(RunViolation::ToolResult(call.tool_call_id))
                }
                Some(_) => Ok(()),
            },
            ApprovalRequested { approval_id, .. } if self.seen_approvals.contains(approval_id) => {
                Err(RunViolation::Approval(*approval_id))
            }
            ApprovalResolved { approval_id, .. } if !self.knows_open(approval_id) => {
                Err(RunViolation::Approval(*approval_id))
            }
            AgentCompleted { .. } => self.check_end(body),
            _ => Ok(()),
        }
    }

    fn knows_open(&self, approval_id: &ApprovalId) -> bool {
        self.open_approvals.contains_key(approval_id)
            || (self.midway && !self.seen_approvals.contains(approval_id))
    }

    fn same_answer(&self, message_id: &MessageId) -> Result<(), RunViolation> {
        match self.message_id {
            Some(known) if known != *message_id => Err(RunViolation::TwoAnswers),
            _ => Ok(()),
        }
    }

    fn check_end(&self, body: &EventBody) -> Result<(), RunViolation> {
        let EventBody::AgentCompleted { outcome, message_id, final_response, error, .. } = body else {
            return Ok(());
        };
        if !self.open_tools.is_empty() {
            return Err(RunViolation::OpenTools(self.open_tools.len()));
        }
        if !self.open_approvals.is_empty() {
            return Err(RunViolation::OpenApprovals(self.open_approvals.len()));
        }
        if let Some(message_id) = message_id {
            self.same_answer(message_id)?;
        }
        let complete = match outcome {
            Outcome::Success => message_id.is_some() && final_response.is_some() && error.is_none(),
            Outcome::Failed => error.is_some() && final_response.is_none(),
            Outcome::Cancelled => final_response.is_none(),
            // Of an end that a later version knows nothing is known.
            Outcome::Unknown => true,
        };
        if !complete {
            return Err(RunViolation::OutcomeFields);
        }
        match final_response {
            Some(response) if !self.midway && !self.text.is_empty() && *response != self.text => {
                Err(RunViolation::FinalResponse)
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, body: &EventBody) {
        use EventBody::*;
        if !is_queued(body) {
            self.phase = Phase::Running;
        }
        match body {
            AgentThinking { step_number, .. } => self.step_number = *step_number,
            ThinkingDelta { message_id, .. } => self.message_id = Some(*message_id),
            MessageDelta { message_id, delta } => {
                self.message_id = Some(*message_id);
                self.text.push_str(delta);
            }
            ToolExecuting(call) => {
                self.seen_tools.insert(call.tool_call_id);
                self.open_tools.insert(call.tool_call_id, call.tool_name.clone());
            }
            ToolCompleted(call) => {
                self.seen_tools.insert(call.tool_call_id);
                self.open_tools.remove(&call.tool_call_id);
            }
            ApprovalRequested { approval_id, tool_call_id, .. } => {
                self.seen_approvals.insert(*approval_id);
                self.open_approvals.insert(*approval_id, Some(*tool_call_id));
            }
            ApprovalResolved { approval_id, .. } => {
                self.seen_approvals.insert(*approval_id);
                self.open_approvals.remove(approval_id);
            }
            AgentCompleted { outcome, .. } => self.phase = Phase::Ended(*outcome),
            _ => {}
        }
    }
}

fn may_come_first(body: &EventBody) -> bool {
    matches!(body, EventBody::AgentStarted { .. }) || is_queued(body)
}

fn is_queued(body: &EventBody) -> bool {
    matches!(body, EventBody::StatusUpdate(update) if update.status == "queued")
}
