//! One run as a client saw it.

use wireproof_protocol::{Event, EventBody, Outcome, RunId, RunRules, Usage};

use crate::diff::Diff;

/// The events of one run in the order of their arrival, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The run.
    pub run_id: RunId,
    /// Its events.
    pub events: Vec<Event>,
}

impl Run {
    /// The types of the events.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.body.name()).collect()
    }

    /// The types of the events, without those of deltas and the status.
    pub fn milestones(&self) -> Vec<&'static str> {
        let passing = |event: &&Event| {
            event.body.delta().is_none() && !matches!(event.body, EventBody::StatusUpdate { .. })
        };
        self.events.iter().filter(passing).map(|event| event.body.name()).collect()
    }

    /// Panics unless these are the milestones, all of them and in this order; shows both side by side.
    #[track_caller]
    pub fn assert_milestones<'a>(&self, expected: impl AsRef<[&'a str]>) {
        self.assert_same("milestones", expected.as_ref(), &self.milestones());
    }

    /// Panics unless these are the types of all events, in this order; shows both side by side.
    #[track_caller]
    pub fn assert_kinds<'a>(&self, expected: impl AsRef<[&'a str]>) {
        self.assert_same("events", expected.as_ref(), &self.kinds());
    }

    #[track_caller]
    fn assert_same(&self, what: &str, expected: &[&str], came: &[&str]) {
        let run_id = self.run_id;
        assert!(
            expected == came,
            "the {what} of run {run_id} are others:\n{}",
            Diff::of_names(expected, came)
        );
    }

    /// How it ended, once it did.
    pub fn outcome(&self) -> Option<Outcome> {
        self.events.iter().find_map(|event| match &event.body {
            EventBody::AgentCompleted { outcome, .. } => Some(*outcome),
            _ => None,
        })
    }

    /// The code of its failure, if it failed.
    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match &event.body {
            EventBody::AgentCompleted { error: Some(error), .. } => Some(error.code.as_str()),
            _ => None,
        })
    }

    /// What it cost, once it ended.
    pub fn usage(&self) -> Option<Usage> {
        self.events.iter().find_map(|event| match &event.body {
            EventBody::AgentCompleted { usage, .. } => Some(*usage),
            _ => None,
        })
    }

    /// The answer, once there is one.
    pub fn final_response(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match &event.body {
            EventBody::AgentCompleted { final_response, .. } => final_response.as_deref(),
            _ => None,
        })
    }

    /// The answer as its pieces tell it.
    pub fn text(&self) -> String {
        let piece = |event: &Event| match &event.body {
            EventBody::MessageDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        self.events.iter().filter_map(piece).collect()
    }

    /// Feeds the events to the rules of a run; an error says which one breaks which. A run that was joined midway is
    /// taken from where it was joined.
    pub fn check(&self) -> Result<RunRules, String> {
        let part = |event: &Event| event.run.as_ref().map(|run| (run.first_run_seq, run.run_seq));
        let first = self.events.first().and_then(part).map_or(1, |(first, seq)| first.unwrap_or(seq));
        let mut rules = if first == 1 { RunRules::new() } else { RunRules::midway(first) };
        for event in &self.events {
            let Some((first_run_seq, run_seq)) = part(event) else { continue };
            rules.apply(first_run_seq, run_seq, &event.body).map_err(|violation| {
                format!("run {} breaks a rule at seq {}: {violation}", self.run_id, event.seq)
            })?;
        }
        Ok(rules)
    }
}
