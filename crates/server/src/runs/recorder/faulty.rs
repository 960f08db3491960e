//! What a recorder with a bug writes down: behind the rules, which would not let it pass.

use wireproof_protocol::{Event, EventBody, EventId, RunId, ThreadId, Timestamp};

use super::Recorder;
use crate::sabotage::{Bug, Bugs};

/// Gives what is another run's: its id, and the thread that the user wrote in last.
pub type Others = Box<dyn Fn() -> (Option<RunId>, Option<ThreadId>) + Send + Sync>;

/// The mistakes of one run's recorder, and what it has to remember for them.
#[derive(Default)]
pub struct Faults {
    bugs: Bugs,
    others: Option<Others>,
    greeting: String,
    /// Numbers that the rules counted and nobody is told of.
    skipped: u64,
    /// The last number that was told.
    last: u64,
    began: Option<Timestamp>,
    started: bool,
    deltas: u64,
    open_tools: u64,
    /// An event that is told later than it happened.
    held: Option<Event>,
}

impl Recorder {
    /// Has the recorder make the mistakes that are switched on.
    pub fn make_mistakes(&mut self, bugs: Bugs, greeting: String, others: Others) {
        self.faults = Faults { bugs, greeting, others: Some(others), last: 1, ..Faults::default() };
    }
}

impl Faults {
    /// Whether pieces of an answer wait for its end.
    pub fn hold_back(&self) -> bool {
        self.bugs.on(Bug::PiecesHeldBack)
    }

    /// Spoils the event that was written down last.
    pub fn strike(&mut self, events: &mut Vec<Event>) {
        let Some(mut event) = events.pop() else { return };
        if matches!(event.body, EventBody::ToolExecuting { .. }) && self.bugs.on(Bug::RunSeqRepeats) {
            self.skipped += 1;
        }
        if self.loses(&event.body) {
            self.skipped += 1;
            return;
        }
        self.change(&mut event);
        self.tell(event, events);
    }

    fn loses(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::AgentThinking { .. } => self.bugs.on(Bug::ThinkingDropped),
            EventBody::MessageDelta { .. } => {
                self.deltas += 1;
                self.deltas == 2 && self.bugs.on(Bug::DeltaLost)
            }
            EventBody::ToolExecuting { .. } => {
                self.open_tools += 1;
                false
            }
            EventBody::ToolCompleted { .. } => {
                self.open_tools = self.open_tools.saturating_sub(1);
                // Who keeps one tool in mind forgets the others.
                self.open_tools > 0 && self.bugs.on(Bug::ToolNeverCompleted)
            }
            EventBody::AgentCompleted { .. } => self.bugs.on(Bug::TerminalMissing),
            _ => false,
        }
    }

    fn change(&mut self, event: &mut Event) {
        let began = *self.began.get_or_insert(event.timestamp);
        if matches!(event.body, EventBody::MessageDelta { .. } | EventBody::AgentCompleted { .. }) {
            let (run, thread) = self.others.as_ref().map(|others| others()).unwrap_or_default();
            if let (Some(part), Some(run)) = (&mut event.run, run)
                && !matches!(event.body, EventBody::AgentCompleted { .. })
                && self.bugs.on(Bug::RunsMixed)
            {
                part.run_id = run;
            }
            if let Some(thread) = thread.filter(|_| self.bugs.on(Bug::WrongThread)) {
                event.thread_id = thread;
            }
        }
        match &mut event.body {
            EventBody::AgentStarted { .. } => self.started = true,
            EventBody::AgentCompleted { .. } if self.bugs.on(Bug::TimeGoesBack) => event.timestamp = began,
            EventBody::AgentThinking { .. } if !self.started && self.bugs.on(Bug::ThinkingBeforeStarted) => {
                self.started = true;
                event.body = EventBody::AgentStarted { message: self.greeting.clone() };
            }
            EventBody::AgentThinking { reasoning, .. } if self.bugs.on(Bug::ReasoningEmpty) => {
                reasoning.clear()
            }
            EventBody::ToolExecuting(wireproof_protocol::ToolExecuting { parameters, .. })
                if self.bugs.on(Bug::EventWithoutParameters) =>
            {
                *parameters = serde_json::Value::Null;
            }
            EventBody::ToolExecuting { .. } if self.bugs.on(Bug::EventWithoutRun) => event.run = None,
            EventBody::ToolCompleted(wireproof_protocol::ToolCompleted { result, .. })
                if self.bugs.on(Bug::ToolResultMissing) =>
            {
                *result = None
            }
            EventBody::ToolCompleted(wireproof_protocol::ToolCompleted { result, error, .. })
                if error.is_some() && self.bugs.on(Bug::FailedToolHidden) =>
            {
                (*error, *result) = (None, Some("done".into()));
            }
            _ => {}
        }
    }

    /// Writes the event down, at once or behind a later one.
    fn tell(&mut self, event: Event, events: &mut Vec<Event>) {
        let is_held = match event.body {
            EventBody::ToolExecuting { .. } => self.bugs.on(Bug::ToolCompletedFirst),
            EventBody::ToolCompleted { .. } => self.bugs.on(Bug::TerminalBeforeLastTool),
            _ => false,
        };
        if is_held {
            self.release(events);
            self.held = Some(event);
            self.skipped += 1;
            return;
        }
        let again = event.clone();
        self.number(event, events);
        match again.body {
            EventBody::ToolCompleted { .. } => self.release(events),
            EventBody::AgentCompleted { .. } => {
                self.release(events);
                if self.bugs.on(Bug::TerminalTwice) {
                    self.skipped = self.skipped.wrapping_sub(1);
                    self.number(Event { event_id: EventId::new(), ..again }, events);
                }
            }
            _ => {}
        }
    }

    fn release(&mut self, events: &mut Vec<Event>) {
        let Some(mut held) = self.held.take() else { return };
        self.skipped -= 1;
        self.last += 1;
        if let Some(run) = &mut held.run {
            run.run_seq = self.last;
        }
        events.push(held);
    }

    fn number(&mut self, mut event: Event, events: &mut Vec<Event>) {
        if let Some(run) = &mut event.run {
            run.run_seq = run.run_seq.wrapping_sub(self.skipped);
            self.last = run.run_seq;
        }
        events.push(event);
    }
}
