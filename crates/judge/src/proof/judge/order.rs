//! ORD-1: the events of a run keep the order of the profile. Where events have numbers, the order is that of the
//! numbers, whatever the wire did: that is judged by `sequence`.

use super::{Findings, Frame, Map, Names, frame::ConnectionFrames, runs::Runs, sequence::Numbered};
use crate::{
    profile::Kind,
    proof::invariants::Invariant,
    record::{Op, Rules},
    rules::{RunEvent, RunOrder},
};

/// Where the runs stand.
pub(super) struct Orders<'a> {
    rules: &'a Rules,
    /// Runs as a connection sees them, where events have no numbers.
    seen: Map<(u32, Option<u32>), (RunOrder, usize)>,
    /// Runs of which events are missing, so that nothing is said about their order.
    pub(super) torn: u64,
}

impl<'a> Orders<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        Self { rules, seen: Map::default(), torn: 0 }
    }

    /// A frame of a server without numbers: the order is that of coming.
    pub(super) fn frame(
        &mut self,
        frame: &Frame<'a>,
        connections: &[ConnectionFrames],
        runs: &Runs<'a>,
        findings: &mut Findings,
    ) {
        let of_a_run = if self.rules.named { frame.run.is_some() } else { frame.kind.is_of_a_run() };
        if self.rules.numbered || !of_a_run {
            return;
        }
        // Who comes while a run goes on has not seen its beginning.
        let opened = connections[frame.conn as usize].opened;
        let known = frame.run.and_then(|run| runs.get(run));
        let midway =
            known.is_some_and(|run| run.seen.iter().any(|(_, at, conn)| *conn != frame.conn && *at < opened));
        let begin = || (if midway { RunOrder::midway() } else { RunOrder::new() }, frame.at);
        let (order, before) = self.seen.entry((frame.conn, frame.run)).or_insert_with(begin);
        if !self.rules.named && order.is_over() {
            // Without names the next thing of a run is of the next run.
            *order = RunOrder::new();
        }
        take(order, self.rules, frame.kind, frame.op, *before, frame.at, findings);
        *before = frame.at;
    }

    /// The events of servers with numbers, by log and number.
    pub(super) fn decide(
        &mut self,
        numbered: &[Numbered],
        ops: &'a [Op],
        kinds: &Map<&'a str, Kind>,
        names: &Names<'a>,
        runs: &Runs<'a>,
        findings: &mut Findings,
    ) {
        let (mut open, mut log, mut due) = (Map::<u32, (RunOrder, usize)>::default(), None, None::<u64>);
        for event in numbered {
            let op = &ops[event.at];
            if log != Some(event.log) {
                open.clear();
                due = None;
            }
            let expected = due.unwrap_or(event.first);
            if event.first > expected {
                // What is missing may have been of any of them.
                self.torn += open.values().filter(|(order, _)| !order.is_over()).count() as u64;
                open.clear();
            }
            (log, due) = (Some(event.log), Some(event.seq.saturating_add(1)));
            let Some(run) = op.stream.as_deref().and_then(|run| names.find(run)) else { continue };
            let kind = op.ev.as_deref().and_then(|name| kinds.get(name)).copied().unwrap_or(Kind::Other);
            // A run is seen from its first event on if it was asked for here, and no hole is before it.
            let asked = runs.get(run).is_some_and(|run| !run.accepted.is_empty());
            let begin =
                || (if asked && !event.torn { RunOrder::new() } else { RunOrder::midway() }, event.at);
            if event.first < expected {
                // Pieces were put together of which some came on their own: the rest of the run is judged.
                open.insert(run, (RunOrder::midway(), event.at));
                continue;
            }
            let (order, before) = open.entry(run).or_insert_with(begin);
            take(order, self.rules, kind, op, *before, event.at, findings);
            *before = event.at;
        }
    }
}

fn take(
    order: &mut RunOrder,
    rules: &Rules,
    kind: Kind,
    op: &Op,
    before: usize,
    at: usize,
    findings: &mut Findings,
) {
    let numbers = op.run_seq.map(|last| (op.first_run_seq.unwrap_or(last), last));
    let name = op.ev.as_deref().unwrap_or_default();
    let event = RunEvent { kind, name, call: op.call.as_deref(), numbers };
    for violation in order.take(&rules.order, event) {
        findings.add(Invariant::Order, at, None, violation.to_string(), [before, at]);
    }
}
