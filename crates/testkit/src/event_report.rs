//! What clients saw, for people: each run's events in order with their times, what is missing, what is out of order, and
//! what came that must not. It tells facts; [`EventReport::assert_complete`] turns them into a verdict.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use wireproof_protocol::{Event, RunId};

use crate::{client::TestClient, history::History};

mod render;
mod run;
#[cfg(test)]
mod tests;

pub use run::{ReportStep, RunReport, Since};

/// What one or more clients saw until now.
#[derive(Debug, Clone, Serialize)]
pub struct EventReport {
    /// Each client by itself.
    pub clients: Vec<ClientReport>,
    /// Each run as each client saw it, in the order of its first event.
    pub runs: Vec<RunReport>,
    /// Where two clients of one user were told different things.
    pub contradictions: Vec<String>,
}

/// What one client saw until now.
#[derive(Debug, Clone, Serialize)]
pub struct ClientReport {
    /// The client's name.
    pub client: String,
    /// Whose log it reads, as its welcome says; nothing before one.
    pub user: Option<String>,
    /// Connections that it opened.
    pub connections: usize,
    /// Stored events that came, doubled ones too.
    pub events: usize,
    /// How often each type of event came.
    pub types: BTreeMap<String, usize>,
    /// Numbers of the log that came more than once, over all connections.
    pub doubled: Vec<u64>,
    /// Events of another user, in words: there must be none.
    pub foreign: Vec<String>,
    /// The first number of the log that is missing or out of order, in words.
    pub gap: Option<String>,
    /// Frames that are not of the protocol.
    pub unreadable: usize,
    /// Seconds from the client's beginning to the last frame.
    pub seconds: f64,
}

impl EventReport {
    /// What these clients saw until now.
    pub fn of<'a>(clients: impl IntoIterator<Item = &'a TestClient>) -> Self {
        let (mut reports, mut runs, mut logs) = (Vec::new(), Vec::new(), Vec::new());
        for client in clients {
            let history = client.history();
            let report = ClientReport::new(client.name(), &history);
            runs.extend(RunReport::all(client.name(), report.user.as_deref(), &history));
            logs.push((report.client.clone(), history.events().cloned().collect()));
            reports.push(report);
        }
        Self { clients: reports, runs, contradictions: contradictions(&logs) }
    }

    /// A run as the first of the clients saw it; nothing when none did.
    pub fn run(&self, run_id: RunId) -> Option<&RunReport> {
        self.runs.iter().find(|run| run.run_id == run_id)
    }

    /// The runs of a user, as the user's clients saw them.
    pub fn runs_of(&self, user: &str) -> impl Iterator<Item = &RunReport> {
        self.runs.iter().filter(move |run| run.user.as_deref() == Some(user))
    }

    /// Everything that is not as it must be, a sentence each: runs without an end or out of order, events that are missing,
    /// doubled or of somebody else. A run may need no tool: its tool events count as missing only when one of the pair
    /// came. [`RunReport::missing`] tells of all five in any case. That nobody saw a run is a problem as well.
    pub fn problems(&self) -> Vec<String> {
        let nothing = self.runs.is_empty().then(|| "no client saw a run".to_owned());
        let clients = self.clients.iter().flat_map(ClientReport::problems);
        let runs = self.runs.iter().flat_map(RunReport::problems);
        nothing.into_iter().chain(clients).chain(runs).chain(self.contradictions.iter().cloned()).collect()
    }

    /// Panics when there is a problem, and shows the whole report.
    #[track_caller]
    pub fn assert_complete(&self) {
        let problems = self.problems();
        assert!(
            problems.is_empty(),
            "the events are not as they must be:\n  {}\n{self}",
            problems.join("\n  ")
        );
    }
}

impl TestClient {
    /// What the client saw until now, run by run, with times and with what is missing or out of order.
    pub fn event_report(&self) -> EventReport {
        EventReport::of([self])
    }
}

impl ClientReport {
    fn new(client: &str, history: &History) -> Self {
        let user = history.arrivals().rev().find(|arrival| arrival.kind() == "connection_established");
        let user = user.map(|welcome| welcome.text_of("user_id").to_owned());
        let (mut types, mut times, mut foreign) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for event in history.events() {
            *types.entry(event.body.name().to_owned()).or_default() += 1;
            *times.entry(event.seq).or_insert(0) += 1;
            if user.as_deref().is_some_and(|user| user != event.user_id.as_str()) {
                foreign.push(format!("{} (seq {}) of {}", event.body.name(), event.seq, event.user_id));
            }
        }
        Self {
            client: client.to_owned(),
            user,
            connections: history.connections(),
            events: history.events().count(),
            types,
            doubled: times.into_iter().filter(|(_, times)| *times > 1).map(|(seq, _)| seq).collect(),
            foreign,
            gap: history.exactly_once().err(),
            unreadable: history.arrivals().filter(|arrival| arrival.incoming.is_none()).count(),
            seconds: history.arrivals().next_back().map_or(0.0, |last| last.at.as_secs_f64()),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.foreign.is_empty() {
            problems.push(format!("{} received events of others: {}", self.client, self.foreign.join(", ")));
        }
        if let Some(gap) = &self.gap {
            problems.push(format!("{}: {gap}", self.client));
        } else if !self.doubled.is_empty() {
            problems.push(format!("{} received twice: {:?}", self.client, self.doubled));
        }
        if self.unreadable > 0 {
            problems.push(format!("{}: {} frames are not of the protocol", self.client, self.unreadable));
        }
        problems
    }
}

/// Two clients of one log are told the same under the same number; what was merged for one of them is another thing.
fn contradictions(logs: &[(String, Vec<Event>)]) -> Vec<String> {
    let mut first: BTreeMap<(String, u64), (&str, &Event)> = BTreeMap::new();
    let mut found = Vec::new();
    for (client, events) in logs {
        for event in events.iter().filter(|event| event.first_seq.is_none()) {
            let key = (event.user_id.to_string(), event.seq);
            let (other, told) = *first.entry(key).or_insert((client, event));
            if told != event {
                let (a, b) = (told.body.name(), event.body.name());
                let (seq, user) = (event.seq, &event.user_id);
                found.push(format!("{other} was told {a} and {client} {b} under seq {seq} of {user}"));
            }
        }
    }
    found
}

impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for client in &self.clients {
            writeln!(f, "{client}")?;
        }
        for run in &self.runs {
            write!(f, "\n{run}")?;
        }
        for contradiction in &self.contradictions {
            writeln!(f, "\n{contradiction}")?;
        }
        Ok(())
    }
}
