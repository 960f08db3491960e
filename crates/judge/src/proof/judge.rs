//! The judge of a history: a pure function, one pass and a sort by number, the same for a history in memory and one of a
//! file. Each child has a family of invariants; `frame` says what of an op they look at, `runs` who asked for which run,
//! and `verdict` is what they give.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::{
    profile::Kind,
    record::{Action, Header, Op, note},
};

mod causality;
mod frame;
mod isolation;
mod liveness;
mod order;
mod runs;
mod sequence;
mod verdict;

pub use verdict::{Counts, Judgement, Unjudged};

use frame::{ConnectionFrames, Frame, Names};
use isolation::Isolation;
use liveness::Liveness;
use order::Orders;
use runs::Runs;
use sequence::Sequence;
use verdict::Findings;

/// A map by numbers and short names: nobody from outside picks the keys of a history that is judged here and now.
type Map<K, V> = HashMap<K, V, FixedState>;

/// Judges a history.
pub fn judge(header: &Header, ops: &[Op]) -> Judgement {
    let mut state = JudgeState::new(header);
    for (at, op) in ops.iter().enumerate() {
        state.hear(at, op);
    }
    state.decide(header, ops)
}

/// All that is known of a history so far.
struct JudgeState<'a> {
    kinds: Map<&'a str, Kind>,
    users: Names<'a>,
    runs_by_name: Names<'a>,
    connections_by_name: Names<'a>,
    connections: Vec<ConnectionFrames>,
    counts: Counts,
    /// Frames of which nobody knows who got them.
    nobodys: u64,
    findings: Findings,
    runs: Runs<'a>,
    isolation: Isolation,
    sequence: Sequence<'a>,
    order: Orders<'a>,
    liveness: Liveness,
}

impl<'a> JudgeState<'a> {
    fn new(header: &'a Header) -> Self {
        let rules = &header.rules;
        Self {
            kinds: rules.kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect(),
            users: Names::default(),
            runs_by_name: Names::default(),
            connections_by_name: Names::default(),
            connections: Vec::new(),
            counts: Counts::default(),
            nobodys: 0,
            findings: Findings::default(),
            runs: Runs::default(),
            isolation: Isolation::default(),
            sequence: Sequence::new(rules),
            order: Orders::new(rules),
            liveness: Liveness::default(),
        }
    }

    fn hear(&mut self, at: usize, op: &'a Op) {
        self.counts.ops += 1;
        let user = if op.user.is_empty() { None } else { Some(self.users.number(&op.user)) };
        let conn = (!op.conn.is_empty()).then(|| {
            let conn = self.connections_by_name.number(&op.conn);
            if conn as usize == self.connections.len() {
                self.connections.push(ConnectionFrames { user, opened: at, altered: None });
            }
            conn
        });
        // An op that names no user is of its connection's.
        let user = user.or_else(|| conn.and_then(|conn| self.connections[conn as usize].user));
        match (op.f, conn) {
            (Action::Recv, Some(conn)) => self.frame(at, op, user, conn),
            (Action::Connect | Action::Resume, Some(conn)) => {
                self.sequence.opened(conn, at, op);
                self.other_bytes(at, op, user);
            }
            (Action::Send, Some(_)) => {
                if let (Some(user), Some(request)) = (user, &op.request) {
                    self.runs.sent(user, request, at);
                }
                self.isolation.said(user, &op.text, at);
            }
            (Action::Fault, conn) => {
                self.counts.faults += 1;
                if let Some(conn) = conn.filter(|_| op.altered) {
                    self.connections[conn as usize].altered.get_or_insert(at);
                }
            }
            (Action::Recv | Action::Close | Action::Http, _) => self.other_bytes(at, op, user),
            (Action::Note, _) => self.note(at, op, user, conn),
            _ => {}
        }
    }

    fn note(&mut self, at: usize, op: &'a Op, user: Option<u32>, conn: Option<u32>) {
        match (op.ev.as_deref(), user, conn) {
            (Some(note::MARKER), Some(user), _) => self.isolation.owns(user, &op.text),
            (Some(note::HEALED), Some(user), _) => self.liveness.healed(user, at),
            (Some(note::DRAINED), _, Some(conn)) => self.sequence.drained(conn, at),
            _ => {}
        }
    }

    /// What came beside frames of a connection: why it ended or did not begin, an answer over HTTP.
    fn other_bytes(&mut self, at: usize, op: &'a Op, user: Option<u32>) {
        let Some(user) = user.filter(|_| op.outcome != crate::record::OpOutcome::Invoke) else { return };
        self.isolation.scan(user, at, op, &self.users, &mut self.findings);
    }

    fn frame(&mut self, at: usize, op: &'a Op, user: Option<u32>, conn: u32) {
        let Some(user) = user else {
            self.nobodys += 1;
            return;
        };
        let name = op.ev.as_deref().unwrap_or_default();
        let kind = self.kinds.get(name).copied().unwrap_or(Kind::Other);
        let run = op.stream.as_deref().map(|run| self.runs_by_name.number(run));
        let frame = Frame { at, op, conn, user, run, kind };
        self.counts.frames += 1;
        let marked = self.isolation.scan(user, at, op, &self.users, &mut self.findings);
        let foreign = self.runs.frame(&frame) || marked;
        // What belongs to somebody else stands in no log of this user: it is told once, as what it is. It may have taken
        // a number of this user's all the same.
        if foreign {
            self.sequence.foreign(&frame);
        } else {
            self.counts.events += u64::from(op.seq.is_some());
            self.sequence.frame(&frame, &mut self.findings);
            self.order.frame(&frame, &self.connections, &self.runs, &mut self.findings);
        }
    }

    fn decide(mut self, header: &Header, ops: &'a [Op]) -> Judgement {
        self.counts.users = self.users.len();
        self.counts.connections = self.connections.len();
        self.counts.runs = self.runs_by_name.len();
        self.counts.markers = self.isolation.markers();
        self.counts.markers_seen = self.isolation.seen();
        self.sequence.decide(ops, &mut self.findings);
        let numbered = self.sequence.in_order();
        self.order.decide(&numbered, ops, &self.kinds, &self.runs_by_name, &self.runs, &mut self.findings);
        let (answered, whole) = (header.rules.answered, |user| self.liveness.is_whole(user));
        isolation::decide(&self.runs, answered, whole, &self.runs_by_name, &self.users, &mut self.findings);
        causality::decide(&self.runs, answered, whole, &mut self.findings);
        self.liveness.decide(&self.runs, &self.runs_by_name, &mut self.findings);
        let unjudged = verdict::unjudged(header, &self);
        let (findings, connections) = (self.findings, &self.connections_by_name);
        findings.decide(ops, self.counts, unjudged, |conn| {
            connections.find(conn).and_then(|conn| self.connections[conn as usize].altered)
        })
    }
}
