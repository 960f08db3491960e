//! From what an agent emits to the events of its run: numbers, rules, and deltas put together. Pure.

use std::time::{Duration, Instant};

use wireproof_agents::{AgentError, Answer, Emission};
use wireproof_protocol::{
    Decision, Event, EventBody, EventId, MessageId, Outcome, RunError, RunId, RunPart, RunRules,
    RunViolation, ThreadId, Timestamp, ToolCallId, ToolCompleted, ToolError, Usage, UserId,
};

use super::bounds::{self, BoundExceeded, Budget, Follows, RunBounds};

/// The least time between two releases of deltas: 25 a second.
const DELTA_INTERVAL: Duration = Duration::from_millis(40);

/// Why something that an agent said is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It breaks a rule of a run.
    #[error(transparent)]
    Rule(#[from] RunViolation),
    /// It is more than a run may say.
    #[error(transparent)]
    Bound(#[from] BoundExceeded),
}

/// A delta's kind, and whose arguments it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Thinking,
    Message,
    Arguments(ToolCallId),
}

/// A delta that waits for more of its stream, and the bytes of its text as JSON.
struct Pending {
    stream: Stream,
    body: EventBody,
    bytes: usize,
}

/// Writes the events of one run.
pub struct RunRecorder {
    user_id: UserId,
    thread_id: ThreadId,
    run_id: RunId,
    agent_name: String,
    rules: RunRules,
    message_id: MessageId,
    step_number: u32,
    budget: Budget,
    /// The bound that ends the run: from then on only the ends of tools are taken.
    exceeded: Option<BoundExceeded>,
    /// The stream of what was said last.
    last: Option<Stream>,
    /// Deltas in the order of their saying that wait for more of the last one's kind, and when they are due.
    pending: Vec<Pending>,
    due: Option<Instant>,
    last_delta: Option<Instant>,
    events: Vec<Event>,
}

impl RunRecorder {
    /// A recorder whose run's first event is stored already.
    pub fn new(
        user_id: UserId,
        thread_id: ThreadId,
        run_id: RunId,
        agent_name: String,
        rules: RunRules,
    ) -> Self {
        let message_id = rules.text().0.unwrap_or_else(MessageId::new);
        Self {
            user_id,
            thread_id,
            run_id,
            agent_name,
            rules,
            message_id,
            step_number: 0,
            budget: Budget::new(RunBounds::NONE),
            exceeded: None,
            last: None,
            pending: Vec::new(),
            due: None,
            last_delta: None,
            events: Vec::new(),
        }
    }

    /// The same recorder, which takes from the agent no more than this.
    pub fn bounded(self, bounds: RunBounds) -> Self {
        Self { budget: Budget::new(bounds), ..self }
    }

    /// Sets the thread of later events; those recorded keep theirs.
    pub fn set_thread(&mut self, thread_id: &ThreadId) {
        self.thread_id.clone_from(thread_id);
    }

    /// Says that the agent begins.
    pub fn start(&mut self, message: String, now: Timestamp) -> Result<(), RunViolation> {
        self.push(EventBody::AgentStarted { message }, now)
    }

    /// Takes what the agent says. Errs when the agent breaks the rules of a run or goes beyond its bounds.
    pub fn take(&mut self, emission: Emission, at: Instant, now: Timestamp) -> Result<(), NotTaken> {
        if let Some(exceeded) = self.exceeded
            && !matches!(emission, Emission::ToolCompleted { .. })
        {
            return Err(exceeded.into());
        }
        let taken = self.take_within(emission, at, now);
        if let Err(NotTaken::Bound(exceeded)) = taken {
            self.exceeded.get_or_insert(exceeded);
        }
        taken
    }

    fn take_within(&mut self, mut emission: Emission, at: Instant, now: Timestamp) -> Result<(), NotTaken> {
        let bytes = self.budget.measure(&mut emission)?;
        let stream = match &emission {
            Emission::MessageDelta { delta } | Emission::ThinkingDelta { delta } if delta.is_empty() => {
                return Ok(());
            }
            Emission::MessageDelta { .. } => Some(Stream::Message),
            Emission::ThinkingDelta { .. } => Some(Stream::Thinking),
            Emission::ToolArgumentsDelta(piece) => Some(Stream::Arguments(piece.tool_call_id)),
            _ => None,
        };
        let joins = self
            .pending
            .last()
            .is_some_and(|pending| Some(pending.stream) == stream && self.budget.joins(pending.bytes, bytes));
        let follows = match joins {
            true => Follows::Joined,
            false if stream.is_some() && stream == self.last => Follows::Continues,
            false => Follows::Apart,
        };
        self.budget.charge(&emission, bytes, follows)?;
        self.last = stream;
        let body = self.body(emission);
        match stream {
            Some(stream) => self.delta(Pending { stream, body, bytes }, joins, at, now)?,
            None => {
                self.flush(now)?;
                self.push(body, now)?;
            }
        }
        Ok(())
    }

    fn body(&self, emission: Emission) -> EventBody {
        let mut body = emission.into_body(self.message_id, self.step_number + 1);
        if let EventBody::ToolCompleted(call) = &mut body {
            // JSON has no word for what is no number: the frame could not be read.
            call.duration_ms = if call.duration_ms.is_finite() { call.duration_ms.max(0.0) } else { 0.0 };
        }
        body
    }

    /// Holds a delta back for more of its kind; the first one of a run is never held.
    fn delta(&mut self, next: Pending, joins: bool, at: Instant, now: Timestamp) -> Result<(), RunViolation> {
        let due = self.last_delta.map_or(at, |last| last + DELTA_INTERVAL);
        if due <= at && self.pending.is_empty() {
            self.last_delta = Some(at);
            return self.push(next.body, now);
        }
        // Only the last one takes more: what was said in turns is heard in turns.
        match self.pending.last_mut().filter(|_| joins) {
            Some(last) => {
                if let (Some(text), Some(more)) = (last.body.delta_mut(), next.body.delta()) {
                    text.push_str(more);
                    last.bytes += next.bytes;
                }
            }
            None => self.pending.push(next),
        }
        self.due.get_or_insert(due);
        Ok(())
    }

    /// When the deltas that are held back are due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lets go of deltas that are due.
    pub fn tick(&mut self, at: Instant, now: Timestamp) -> Result<(), RunViolation> {
        if self.due.is_some_and(|due| due <= at) {
            self.last_delta = Some(at);
            self.flush(now)?;
        }
        Ok(())
    }

    fn flush(&mut self, now: Timestamp) -> Result<(), RunViolation> {
        self.due = None;
        std::mem::take(&mut self.pending).into_iter().try_for_each(|pending| self.push(pending.body, now))
    }

    fn push(&mut self, body: EventBody, now: Timestamp) -> Result<(), RunViolation> {
        let run_seq = self.rules.run_seq() + 1;
        self.rules.apply(None, run_seq, &body)?;
        if let EventBody::AgentThinking { step_number, .. } = body {
            self.step_number = step_number;
        }
        let agent_name = self.agent_name.clone();
        self.events.push(Event {
            seq: 0,
            first_seq: None,
            event_id: EventId::new(),
            user_id: self.user_id.clone(),
            thread_id: self.thread_id.clone(),
            timestamp: now,
            run: Some(RunPart { run_id: self.run_id, run_seq, first_run_seq: None, agent_name }),
            body,
        });
        Ok(())
    }

    /// The events to append now.
    pub fn drain(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes events back that could not be appended; they come first at the next try.
    pub fn put_back(&mut self, mut events: Vec<Event>) {
        events.append(&mut self.events);
        self.events = events;
    }

    /// True when the agent went beyond a bound.
    pub fn is_full(&self) -> bool {
        self.exceeded.is_some()
    }

    /// True when there are events to append.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Ends the run: closes what is open and says the one terminal event. Returns how it ended and the answer.
    pub fn finish(
        &mut self,
        end: Result<Answer, AgentError>,
        usage: Usage,
        duration_ms: f64,
        now: Timestamp,
    ) -> (Outcome, Option<(MessageId, String)>) {
        // What is held back belongs to the answer; it cannot break a rule that its first piece did not.
        let _ = self.flush(now);
        let end = end.and_then(|answer| self.check_answer(answer));
        self.close_open(&end, now);
        let body = self.terminal(end, usage, duration_ms);
        let EventBody::AgentCompleted { outcome, final_response, .. } = &body else {
            unreachable!("a terminal event is an agent_completed")
        };
        let outcome = *outcome;
        let text = final_response.clone().unwrap_or_else(|| self.rules.text().1.to_owned());
        if let Err(violation) = self.push(body, now) {
            tracing::error!(run_id = %self.run_id, %violation, "the end of a run breaks a rule");
        }
        let answer = (outcome == Outcome::Success || !text.is_empty()).then_some((self.message_id, text));
        (outcome, answer)
    }

    /// An answer must be what its deltas said, and leave no tool open.
    fn check_answer(&self, answer: Answer) -> Result<Answer, AgentError> {
        let text = self.rules.text().1;
        self.budget.check_answer(&answer.final_response)?;
        let failed = |message: &str| AgentError::failed("agent_broke_rules", message);
        if !text.is_empty() && text != answer.final_response {
            return Err(failed("The agent's answer differs from what it streamed."));
        }
        if self.rules.open_tools().next().is_some() {
            return Err(failed("The agent ended while a tool was still running."));
        }
        Ok(answer)
    }

    fn close_open(&mut self, end: &Result<Answer, AgentError>, now: Timestamp) {
        let (code, message) = match end {
            Err(AgentError::Cancelled) => ("cancelled", "The run was cancelled."),
            _ => ("run_ended", "The run ended before the tool did."),
        };
        let open_tools: Vec<_> = self.rules.open_tools().map(|(id, name)| (id, name.to_owned())).collect();
        for (tool_call_id, tool_name) in open_tools {
            let ended = ToolCompleted::new(tool_call_id, tool_name, Err(ToolError::new(code, message)), 0.0);
            let _ = self.push(EventBody::ToolCompleted(ended), now);
        }
        let open_approvals: Vec<_> = self.rules.open_approvals().collect();
        for (approval_id, tool_call_id) in open_approvals {
            let decision = Decision::Expired;
            let _ = self.push(EventBody::ApprovalResolved { approval_id, tool_call_id, decision }, now);
        }
    }

    fn terminal(&self, end: Result<Answer, AgentError>, usage: Usage, duration_ms: f64) -> EventBody {
        let begun = self.rules.text().0;
        match end {
            Ok(answer) => EventBody::AgentCompleted {
                outcome: Outcome::Success,
                message_id: Some(self.message_id),
                final_response: Some(answer.final_response),
                error: None,
                usage,
                duration_ms,
            },
            Err(AgentError::Cancelled) => EventBody::AgentCompleted {
                outcome: Outcome::Cancelled,
                message_id: begun,
                final_response: None,
                error: None,
                usage,
                duration_ms,
            },
            Err(AgentError::Failed { code, message }) => {
                let (code, message) = bounds::failure(code, message);
                EventBody::AgentCompleted {
                    outcome: Outcome::Failed,
                    message_id: begun,
                    final_response: None,
                    error: Some(RunError { code, message }),
                    usage,
                    duration_ms,
                }
            }
        }
    }
}
