//! What the judge gives: what was looked at, what was found, what it was not, and what could not be judged.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use super::JudgeState;
use crate::{
    proof::{
        bound::{Bound, grouped},
        invariants::{Invariant, Violation},
    },
    record::{Action, Header, Op},
};

/// Violations of one invariant that are told; more are only counted.
const TOLD: usize = 20;

/// What was found in a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What was looked at.
    pub counts: Counts,
    /// What must not be, the worst first; at most twenty of a kind.
    pub violations: Vec<Violation>,
    /// How many there are of each kind, also of those that are not told.
    pub total: BTreeMap<String, u64>,
    /// What is not held against the server, because a fault changed what was said.
    pub excused: Vec<Violation>,
    /// What could not be judged, and why.
    pub unjudged: Vec<Unjudged>,
    /// How much no violation is worth.
    pub bound: Bound,
}

impl Judgement {
    /// True when nothing is held against the server.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// It in a paragraph: what was looked at, what was found, and what could not be judged.
    pub fn tell(&self) -> String {
        let counts = &self.counts;
        let mut text = format!(
            "{} users, {} connections, {} runs, {} frames, {} faults; {} markers, seen {} times",
            counts.users,
            counts.connections,
            grouped(counts.runs as u64),
            grouped(counts.frames),
            grouped(counts.faults),
            grouped(counts.markers),
            grouped(counts.markers_seen)
        );
        if self.is_clean() {
            let _ = write!(text, "; violations: {}", self.bound);
        } else {
            let total: Vec<String> =
                self.total.iter().map(|(name, n)| format!("{} {name}", grouped(*n))).collect();
            let _ = write!(text, "; violations: {}", total.join(", "));
        }
        if !self.excused.is_empty() {
            let _ = write!(
                text,
                "; {} more are the doing of faults that changed what was said",
                self.excused.len()
            );
        }
        for Unjudged { id, why } in &self.unjudged {
            let _ = write!(text, "\n  not judged: {id}: {why}");
        }
        text
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Ops of the history.
    pub ops: u64,
    /// Frames that came.
    pub frames: u64,
    /// Events with a number among them.
    pub events: u64,
    /// Users.
    pub users: usize,
    /// Connections.
    pub connections: usize,
    /// Runs.
    pub runs: usize,
    /// Markers that somebody has.
    pub markers: u64,
    /// Markers that were found in what came.
    pub markers_seen: u64,
    /// Faults that were made.
    pub faults: u64,
}

/// An invariant that was not judged, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unjudged {
    /// Which.
    pub id: String,
    /// Why, and what was judged in its place.
    pub why: String,
}

/// Violations as they are found: by places, which become words at the end.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<(Invariant, usize, Violation, Vec<usize>)>,
    total: BTreeMap<&'static str, u64>,
    /// Two events under one number that are not the same text.
    differing: Vec<(usize, usize, u64)>,
}

impl Findings {
    /// Something was found at an op, which shows itself by these ops.
    pub(super) fn add(
        &mut self,
        invariant: Invariant,
        at: usize,
        owner: Option<&str>,
        what: String,
        witness: impl IntoIterator<Item = usize>,
    ) {
        *self.total.entry(invariant.name()).or_default() += 1;
        let violation = Violation {
            invariant,
            victim: String::new(),
            conn: String::new(),
            owner: owner.map(str::to_owned),
            what,
            witness: Vec::new(),
            between: Vec::new(),
            not_this: String::new(),
        };
        // All of them: which are a fault's doing is known at the end only.
        self.found.push((invariant, at, violation, witness.into_iter().collect()));
    }

    /// Two texts under one number.
    pub(super) fn differs(&mut self, one: usize, other: usize, seq: u64) {
        self.differing.push((one, other, seq));
    }

    pub(super) fn decide(
        mut self,
        ops: &[Op],
        counts: Counts,
        unjudged: Vec<Unjudged>,
        altered: impl Fn(&str) -> Option<usize>,
    ) -> Judgement {
        for (one, other, seq) in std::mem::take(&mut self.differing) {
            // The same in other words is the same.
            let json = |at: usize| serde_json::from_str::<serde_json::Value>(&ops[at].text).ok();
            if json(one).is_none_or(|value| Some(value) != json(other)) {
                let what =
                    format!("event {seq} is not the same on {} and {}", ops[one].conn, ops[other].conn);
                self.add(Invariant::Diverged, other, None, what, [one, other]);
            }
        }
        let (mut violations, mut excused) = (Vec::new(), Vec::new());
        let mut told = BTreeMap::<Invariant, usize>::new();
        for (invariant, at, mut violation, mut witness) in self.found {
            witness.sort_unstable();
            witness.dedup();
            (violation.victim, violation.conn) = (ops[at].user.clone(), ops[at].conn.clone());
            // What was wrong before the fault, or on another connection, is the server's doing.
            let concerned = |at: &&usize| invariant.is_of_several() || ops[**at].conn == violation.conn;
            let fault = witness
                .iter()
                .filter(concerned)
                .filter_map(|at| altered(&ops[*at].conn))
                .find(|fault| witness.last().is_some_and(|last| fault <= last))
                .filter(|_| !invariant.is_of_isolation());
            violation.witness = witness.into_iter().map(|at| ops[at].i).collect();
            if let Some(fault) = fault {
                violation.not_this = format!(
                    "not held against the server: a fault changed what was said on this connection (i={})",
                    ops[fault].i
                );
                *self.total.entry(invariant.name()).or_insert(1) -= 1;
                excused.push(violation);
                continue;
            }
            let told = told.entry(invariant).or_default();
            *told += 1;
            if *told > TOLD {
                continue;
            }
            violation.not_this = exonerate(ops, &violation.conn);
            violation.look_between(ops);
            violations.push(violation);
        }
        violations.sort_by_key(|violation| (violation.invariant, violation.witness.last().copied()));
        let total =
            self.total.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect();
        let bound = Bound { n: counts.frames };
        Judgement { counts, violations, total, excused, unjudged, bound }
    }
}

/// What the journal of faults says of a connection.
fn exonerate(ops: &[Op], conn: &str) -> String {
    let faults = || ops.iter().filter(|op| op.f == Action::Fault && op.conn == conn && !conn.is_empty());
    if let Some(fault) = faults().find(|op| op.altered) {
        return format!(
            "a fault changed what was said on this connection (i={}), and that cannot have made this of it",
            fault.i
        );
    }
    match faults().count() {
        0 => "no fault was made on this connection: what came is what the server sent".to_owned(),
        n => format!("of {n} faults on this connection none changed, added or took out a message"),
    }
}

/// What could not be judged, or only in part.
pub(super) fn unjudged(header: &Header, state: &JudgeState<'_>) -> Vec<Unjudged> {
    let rules = &header.rules;
    let mut all = Vec::new();
    let mut tell = |when: bool, id: &str, why: String| {
        if when {
            all.push(Unjudged { id: id.to_owned(), why });
        }
    };
    let text = str::to_owned;
    tell(state.counts.markers == 0, "ISO-1", text("no user of the history has a marker"));
    tell(
        state.counts.markers > 0 && state.counts.markers_seen == 0,
        "ISO-1",
        text(
            "no marker came back at all, not even to its owner: the server repeats nothing of what it is told",
        ),
    );
    tell(!rules.named, "ISO-2", text("events do not say of which run they are"));
    tell(
        rules.named && (!rules.answered || state.liveness.is_open()),
        "ISO-2",
        text(
            "not all requests or no answers are in the history: only runs that are known to be another's are told",
        ),
    );
    tell(
        !rules.numbered,
        "SEQ-1 to SEQ-4, RES-1",
        text("events have no numbers: loss is judged by the ends of runs, order by the rules of a run only"),
    );
    tell(
        rules.numbered && state.sequence.is_open(),
        "SEQ-1 unseen-tail",
        text("nothing in the history says that a connection was given the time to get everything"),
    );
    let torn = state.order.torn;
    tell(
        torn > 0,
        "ORD-1",
        format!("{torn} runs miss events, which is told as that, and are not judged by their order"),
    );
    tell(state.liveness.is_open(), "LIV-1", text("nothing in the history says that a user's part was over"));
    tell(
        state.nobodys > 0,
        "all",
        format!("nothing says who got {} frames, and they were not looked at", grouped(state.nobodys)),
    );
    tell(true, "CON-1", text("the profile names no counters of the server"));
    all
}
