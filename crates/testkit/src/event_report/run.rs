//! One run as one client saw it: its events with their times, and what is missing or out of order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use wireproof_protocol::{CRITICAL_EVENTS, Event, EventBody, Outcome, RunId, RunRules, ThreadId};

use crate::{
    history::{Entry, History},
    received::ReceivedFrame,
};

/// A frame with the event that it is.
type Seen<'a> = (&'a Arc<ReceivedFrame>, &'a Event);

/// One run as one client saw it.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Its agent.
    pub agent: String,
    /// Who saw it.
    pub client: String,
    /// Whose log the client reads.
    pub user: Option<String>,
    /// From when the times count.
    pub since: Since,
    /// Its events in the order of their arrival, each once; pieces of texts that follow on each other are one step.
    pub sequence: Vec<ReportStep>,
    /// Of each type of event, when the first one came, in milliseconds.
    pub timing_ms: BTreeMap<String, f64>,
    /// The critical events that did not come, by name.
    pub missing: Vec<&'static str>,
    /// The share of the five critical events that came.
    pub coverage: f64,
    /// Every event that breaks a rule of runs, in words.
    pub out_of_order: Vec<String>,
    /// How it ended; nothing when its end did not come.
    pub outcome: Option<Outcome>,
    /// On how many connections its events came.
    pub connections: usize,
}

/// From when the times of a run count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// When this client sent the request.
    Request,
    /// When the first event came: somebody else asked, or the request had no id.
    FirstEvent,
}

/// An event, or pieces that follow on each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportStep {
    /// The event's type.
    pub kind: String,
    /// When it came, in milliseconds; of pieces, the first one.
    pub ms: f64,
    /// Its number in the log.
    pub seq: u64,
    /// How many events it stands for.
    pub events: usize,
    /// What tells it from others of its type: a tool, an outcome, the beginning of a thought.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl RunReport {
    /// Every run of which a history tells.
    pub(super) fn all(client: &str, user: Option<&str>, history: &History) -> Vec<Self> {
        let mut order = Vec::new();
        let mut runs: BTreeMap<RunId, Vec<Seen<'_>>> = BTreeMap::new();
        for arrival in history.arrivals() {
            let (Some(run_id), Some(event)) = (arrival.run_id(), arrival.event()) else { continue };
            let seen = runs.entry(run_id).or_insert_with(|| {
                order.push(run_id);
                Vec::new()
            });
            // Told again after a reconnect: the first time counts.
            if seen.last().is_none_or(|(_, last)| last.seq < event.seq) {
                seen.push((arrival, event));
            }
        }
        let report = |run_id: &RunId| {
            let (first, rest) = runs[run_id].split_first()?;
            Some(Self::new(*run_id, client, user, *first, rest, request_of(*run_id, history)))
        };
        order.iter().filter_map(report).collect()
    }

    fn new(
        run_id: RunId,
        client: &str,
        user: Option<&str>,
        first: Seen<'_>,
        rest: &[Seen<'_>],
        requested: Option<Duration>,
    ) -> Self {
        let all = || std::iter::once(first).chain(rest.iter().copied());
        let (mut steps, mut timing_ms, mut outcome) = (Vec::<ReportStep>::new(), BTreeMap::new(), None);
        let begin = requested.unwrap_or(first.0.at);
        let mut connections: Vec<_> = all().map(|(arrival, _)| arrival.connection).collect();
        connections.dedup();
        for (arrival, event) in all() {
            let ms = arrival.at.saturating_sub(begin).as_secs_f64() * 1e3;
            timing_ms.entry(event.body.name().to_owned()).or_insert(ms);
            if let EventBody::AgentCompleted { outcome: ended, .. } = &event.body {
                outcome = Some(*ended);
            }
            match steps.last_mut() {
                Some(last) if event.body.delta().is_some() && last.kind == event.body.name() => {
                    last.events += 1
                }
                _ => steps.push(ReportStep {
                    kind: event.body.name().to_owned(),
                    ms,
                    seq: event.seq,
                    events: 1,
                    detail: detail(&event.body),
                }),
            }
        }
        let missing: Vec<_> =
            CRITICAL_EVENTS.into_iter().filter(|name| !timing_ms.contains_key(*name)).collect();
        Self {
            run_id,
            thread_id: first.1.thread_id.clone(),
            agent: first.0.text_of("agent_name").to_owned(),
            client: client.to_owned(),
            user: user.map(str::to_owned),
            since: if requested.is_some() { Since::Request } else { Since::FirstEvent },
            sequence: steps,
            timing_ms,
            coverage: (CRITICAL_EVENTS.len() - missing.len()) as f64 / CRITICAL_EVENTS.len() as f64,
            missing,
            out_of_order: out_of_order(all()),
            outcome,
            connections: connections.len(),
        }
    }

    /// The types of the steps.
    pub fn kinds(&self) -> Vec<&str> {
        self.sequence.iter().map(|step| step.kind.as_str()).collect()
    }

    /// True when all five critical events came, in their order, and the run is over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.problems().is_empty()
    }

    /// What is wrong with it, a sentence each. Tool events are missed only where one of the pair came: a run may need no
    /// tool.
    pub(super) fn problems(&self) -> Vec<String> {
        let (client, run) = (&self.client, self.run_id);
        let tools = self.missing.iter().filter(|name| name.starts_with("tool_")).count();
        let missing = self.missing.iter().filter(|name| !name.starts_with("tool_") || tools == 1);
        let missing = missing.map(|name| format!("{client} saw no {name} of run {run}"));
        let order = self.out_of_order.iter().map(|words| format!("{client}, run {run}: {words}"));
        missing.chain(order).collect()
    }
}

/// When the client sent the request that the server answered with this run.
fn request_of(run_id: RunId, history: &History) -> Option<Duration> {
    let run_id = run_id.to_string();
    let accepted = history
        .arrivals()
        .find(|arrival| arrival.kind() == "accepted" && arrival.text_of("run_id") == run_id)?;
    let id = accepted.text_of("id");
    history.entries.iter().find_map(|entry| match entry {
        Entry::Sent { at, text } => {
            let frame: Value = serde_json::from_str(text).ok()?;
            (!id.is_empty() && frame["id"] == id).then_some(*at)
        }
        _ => None,
    })
}

/// What the rules of a run say of its events. One that breaks a rule is left out, and those behind it are judged as if it
/// had not come; numbers are judged by themselves, so that one that is missing is told once.
fn out_of_order<'a>(seen: impl Iterator<Item = Seen<'a>>) -> Vec<String> {
    let (mut rules, mut next, mut broken) = (None::<RunRules>, None, Vec::new());
    for (_, event) in seen {
        let Some(part) = &event.run else { continue };
        let (name, seq) = (event.body.name(), event.seq);
        let first = part.first_run_seq.unwrap_or(part.run_seq);
        let wanted = next.replace(part.run_seq + 1).unwrap_or(first);
        if first != wanted {
            broken.push(format!("{name} at seq {seq}: run_seq {first} where {wanted} comes next"));
        }
        // Joined midway, what came before is not known, and not missed.
        let begin = || if first == 1 { RunRules::new() } else { RunRules::midway(first) };
        let rules = rules.get_or_insert_with(begin);
        if let Err(violation) = rules.apply(None, rules.run_seq() + 1, &event.body) {
            broken.push(format!("{name} at seq {seq}: {violation}"));
        }
    }
    broken
}

/// What tells an event from others of its type.
fn detail(body: &EventBody) -> String {
    match body {
        EventBody::AgentThinking { reasoning, .. } => wireproof_protocol::shorten_line(reasoning, 48),
        EventBody::ToolExecuting(call) => call.tool_name.clone(),
        EventBody::ToolCompleted(call) => match &call.error {
            Some(error) => format!("{}: {}", call.tool_name, error.code),
            None => call.tool_name.clone(),
        },
        EventBody::StatusUpdate(update) => update.status.clone(),
        EventBody::AgentCompleted { outcome, error, .. } => match error {
            Some(error) => format!("{outcome:?}: {}", error.code).to_lowercase(),
            None => format!("{outcome:?}").to_lowercase(),
        },
        _ => String::new(),
    }
}
