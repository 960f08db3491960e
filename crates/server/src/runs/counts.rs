//! What one run adds to the metrics and its trace: when it started and first spoke, and how its tools fared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use wireproof_protocol::{Event, EventBody};

use crate::{metrics::Metrics, traces::RunTrace};

/// Counts the events of one run once they are durable.
pub struct Counts {
    metrics: Arc<Metrics>,
    trace: RunTrace,
    agent: String,
    asked_at: Instant,
    spoke: AtomicBool,
}

impl Counts {
    /// Counts of a run that is asked for now.
    pub fn new(metrics: Arc<Metrics>, agent: &str) -> Self {
        let (trace, spoke) = (RunTrace::default(), AtomicBool::new(false));
        Self { metrics, trace, agent: agent.to_owned(), asked_at: Instant::now(), spoke }
    }

    /// Tells the run's trace too.
    pub fn set_trace(&mut self, trace: RunTrace) {
        self.trace = trace;
    }

    /// How long ago the run was asked for, in seconds.
    pub fn seconds(&self) -> f64 {
        self.asked_at.elapsed().as_secs_f64()
    }

    /// These events are durable now.
    pub fn stored<'a>(&self, bodies: impl IntoIterator<Item = &'a EventBody>) {
        for body in bodies {
            match body {
                EventBody::AgentStarted { .. } => {
                    self.metrics.run_started(&self.agent, self.seconds());
                    self.trace.started();
                }
                EventBody::MessageDelta { .. } if !self.spoke.swap(true, Relaxed) => {
                    self.metrics.first_delta(&self.agent, self.seconds());
                }
                EventBody::ToolCompleted(call) => {
                    let (ok, seconds) = (call.error.is_none(), call.duration_ms / 1e3);
                    self.metrics.tool_ended(&call.tool_name, ok, seconds);
                    self.trace.tool(&call.tool_name, ok, seconds);
                }
                _ => {}
            }
        }
    }

    /// The agent went beyond a bound of a run.
    pub fn exceeded(&self, code: &str) {
        self.metrics.limit_hit(code);
    }

    /// The run is over.
    pub fn ended(&self, outcome: &'static str, events: &[Event]) {
        self.stored(events.iter().map(|event| &event.body));
        self.metrics.run_ended(&self.agent, outcome, self.seconds());
        self.trace.ended(outcome);
    }
}
