//! SEQ-1 to SEQ-4 and RES-1: by the numbers of the events, what is missing, double, out of order or not the same for
//! all, and whether a resume keeps what it says.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

use super::{Findings, Frame, Map};
use crate::{
    profile::Kind,
    proof::invariants::Invariant,
    record::{Action, Op, Rules},
};

mod connection_state;
mod user_log;

use connection_state::{ConnectionState, Hole};
use user_log::UserLog;

/// The numbers of a history.
pub(super) struct Sequence<'a> {
    numbered: bool,
    shared: bool,
    /// Every connection is welcomed.
    welcomes: bool,
    hasher: FixedState,
    connections: Map<u32, ConnectionState<'a>>,
    logs: Vec<UserLog>,
    logs_by_name: Map<(u32, &'a str), u32>,
    /// Connections that had the time to get everything.
    drained: u64,
}

/// An event at its place in a log, for those who want them in order.
pub(super) struct Numbered {
    pub(super) log: u32,
    pub(super) first: u64,
    pub(super) seq: u64,
    pub(super) at: usize,
    /// True when events before it were never seen by anybody.
    pub(super) torn: bool,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(rules: &Rules) -> Self {
        let (connections, logs, logs_by_name) = (Map::default(), Vec::new(), Map::default());
        let (numbered, shared, hasher) = (rules.numbered, rules.shared, FixedState::default());
        let welcomes = rules.kinds.values().any(|kind| *kind == Kind::Welcome);
        Self { numbered, shared, welcomes, hasher, connections, logs, logs_by_name, drained: 0 }
    }

    /// A connection is opened, or asks on its way to go on elsewhere.
    pub(super) fn opened(&mut self, conn: u32, at: usize, op: &'a Op) {
        let connection = self
            .connections
            .entry(conn)
            .or_insert_with(|| ConnectionState { opened: at, ..ConnectionState::default() });
        let asked = (op.f == Action::Resume)
            .then(|| op.seq.map(|after| (op.epoch.as_deref().unwrap_or_default(), after)));
        match asked.flatten() {
            Some((_, after)) if connection.log.is_some() => connection.moved = Some(after),
            Some(asked) => connection.asked = Some(asked),
            None => {}
        }
    }

    /// A connection had the time to get all that there is.
    pub(super) fn drained(&mut self, conn: u32, at: usize) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.drained = Some(at);
            self.drained += 1;
        }
    }

    /// True when nothing says that a connection got everything.
    pub(super) fn is_open(&self) -> bool {
        self.drained == 0
    }

    /// A frame came that is somebody else's: a number that it took is no lost one.
    pub(super) fn foreign(&mut self, frame: &Frame<'a>) {
        if let (true, Some(seq)) = (self.numbered, frame.op.seq) {
            let range = (frame.op.first_seq.unwrap_or(seq), seq);
            self.connections.entry(frame.conn).or_default().foreign.push(range);
        }
    }

    /// A frame came.
    pub(super) fn frame(&mut self, frame: &Frame<'a>, findings: &mut Findings) {
        if !self.numbered {
            return;
        }
        match frame.kind {
            Kind::Welcome => self.welcome(frame, findings),
            Kind::Snapshot => self.snapshot(frame),
            Kind::CaughtUp => self.caught_up(frame, findings),
            _ => {
                if let Some(seq) = frame.op.seq {
                    self.event(frame, frame.op.first_seq.unwrap_or(seq), seq, findings);
                }
            }
        }
    }

    fn log(&mut self, frame: &Frame<'a>, epoch: &'a str) -> u32 {
        // Where connections get only what is theirs, each has numbers of its own.
        let whose = if self.shared { frame.user } else { frame.conn };
        let next = self.logs.len() as u32;
        let log = *self.logs_by_name.entry((whose, epoch)).or_insert(next);
        if log == next {
            self.logs.push(UserLog::default());
        }
        log
    }

    /// Goes on in a log, whose end is known.
    fn place(&mut self, frame: &Frame<'a>) -> u32 {
        let log = self.log(frame, frame.op.epoch.as_deref().unwrap_or_default());
        if let Some(head) = frame.op.head {
            self.logs[log as usize].reaches(head, frame.at);
        }
        log
    }

    fn welcome(&mut self, frame: &Frame<'a>, findings: &mut Findings) {
        let log = self.place(frame);
        let (op, at) = (frame.op, frame.at);
        let connection = self.connections.entry(frame.conn).or_default();
        (connection.log, connection.welcome, connection.cursor_at) = (Some(log), Some(at), at);
        connection.resumed = op.resumed == Some(true);
        connection.head = op.head.unwrap_or_default();
        connection.cursor = op.head;
        if connection.resumed {
            let epoch = op.epoch.as_deref().unwrap_or_default();
            let wrong = match connection.asked {
                None => Some("it asked for none".to_owned()),
                Some((asked, _)) if !asked.is_empty() && asked != epoch => {
                    Some(format!("it asked for one of the epoch {asked}, and this is {epoch}"))
                }
                Some((_, after)) if op.head.is_some_and(|head| after > head) => {
                    Some(format!("it asked for {after}, and the log ends at {}", connection.head))
                }
                Some(_) => None,
            };
            if let Some(why) = &wrong {
                let what = format!("the connection is said to go on at its position, but {why}");
                findings.add(Invariant::FalseRecovery, at, None, what, [connection.opened, at]);
            }
            connection.cursor = connection.asked.filter(|_| wrong.is_none()).map(|(_, after)| after);
        }
        let begins = connection.cursor.map(|cursor| cursor.saturating_add(1));
        let log = &mut self.logs[log as usize];
        log.begins = [log.begins, begins].into_iter().flatten().min();
    }

    fn snapshot(&mut self, frame: &Frame<'a>) {
        let log = self.place(frame);
        let connection = self.connections.entry(frame.conn).or_default();
        (connection.log, connection.cursor, connection.cursor_at, connection.moved) =
            (Some(log), frame.op.head, frame.at, None);
    }

    fn caught_up(&mut self, frame: &Frame<'a>, findings: &mut Findings) {
        let Some(connection) = self.connections.get_mut(&frame.conn) else { return };
        let (Some(head), Some(cursor)) = (frame.op.head, connection.cursor) else { return };
        if cursor < head && !connection.is_foreign(cursor + 1, head) {
            let what = format!(
                "the connection is said to have caught up to {head}, and {} did not come",
                numbers(cursor + 1, head)
            );
            findings.add(
                Invariant::SilentGap,
                frame.at,
                None,
                what,
                connection.welcome.into_iter().chain([connection.opened, connection.cursor_at, frame.at]),
            );
            // Told; what comes later of it is not out of order for that.
            connection.moved = Some(cursor);
        }
    }

    fn event(&mut self, frame: &Frame<'a>, first: u64, seq: u64, findings: &mut Findings) {
        let at = frame.at;
        let known = self.connections.get(&frame.conn).and_then(|connection| connection.log);
        let log = known.unwrap_or_else(|| self.log(frame, ""));
        let connection = self.connections.entry(frame.conn).or_default();
        connection.log = Some(log);
        let expected = connection.cursor.map(|cursor| cursor.saturating_add(1));
        let moved = connection.moved.filter(|after| first == after.saturating_add(1));
        if moved.is_some() {
            connection.moved = None;
        }
        match expected {
            Some(expected) if moved.is_none() && first > expected => {
                let (before, behind) = (connection.cursor_at, at);
                connection.holes.push(Hole { first: expected, last: first - 1, before, behind });
            }
            Some(expected) if moved.is_none() && first < expected => {
                let seen = self.logs[log as usize].slots.get(&seq).map(|slot| slot.at);
                let late = connection.fill(first, seq);
                let (invariant, what) = match late {
                    Some(_) => (
                        Invariant::Reordered,
                        format!("{} came behind {}", numbers(first, seq), expected - 1),
                    ),
                    None => (
                        Invariant::Duplicate,
                        format!("{} came although {} had come", numbers(first, seq), expected - 1),
                    ),
                };
                let earlier =
                    if late.is_some() { late } else { seen.filter(|seen| *seen > connection.opened) };
                let opened = (connection.resumed && late.is_none()).then_some(connection.opened);
                let witness = opened.into_iter().chain(earlier).chain([connection.cursor_at, at]);
                findings.add(invariant, at, None, what, witness);
            }
            _ => {}
        }
        if moved.is_some() || expected.is_none_or(|expected| seq >= expected) {
            (connection.cursor, connection.cursor_at) = (Some(seq), at);
        }
        let hash = self.hasher.hash_one(frame.op.text.as_str());
        self.logs[log as usize].stand(first, seq, hash, at, findings);
    }

    /// What never came.
    pub(super) fn decide(&self, ops: &[Op], findings: &mut Findings) {
        let mut connections: Vec<_> = self.connections.values().collect();
        connections.sort_unstable_by_key(|connection| connection.opened);
        for connection in connections {
            if let Some(drained) = connection.drained.filter(|_| self.numbered && self.welcomes)
                && connection.welcome.is_none()
            {
                let what = "the connection had the time, and was not even welcomed".to_owned();
                findings.add(
                    Invariant::UnseenTail,
                    connection.opened,
                    None,
                    what,
                    [connection.opened, drained],
                );
            }
            let Some(log) = connection.log.map(|log| &self.logs[log as usize]) else { continue };
            for hole in connection.holes.iter().filter(|hole| !connection.is_foreign(hole.first, hole.last)) {
                missing(connection, hole, log, ops, findings);
            }
            let (Some(drained), Some(cursor)) = (connection.drained, connection.cursor) else { continue };
            if cursor < log.head && !connection.is_foreign(cursor + 1, log.head) {
                let what = format!(
                    "{} did not come, and the connection had the time",
                    numbers(cursor + 1, log.head)
                );
                findings.add(
                    Invariant::UnseenTail,
                    connection.cursor_at,
                    None,
                    what,
                    [connection.cursor_at, log.head_at, drained],
                );
            }
        }
    }

    /// All events by log and number, each once.
    pub(super) fn in_order(&self) -> Vec<Numbered> {
        let mut all = Vec::with_capacity(self.logs.iter().map(|log| log.slots.len()).sum());
        for (number, log) in (0..).zip(&self.logs) {
            let from = all.len();
            all.extend(log.slots.iter().map(|(seq, slot)| Numbered {
                log: number,
                first: slot.first,
                seq: *seq,
                at: slot.at,
                torn: false,
            }));
            all[from..].sort_unstable_by_key(|event| event.seq);
            // Parts of a merged event that is here as well say the same again.
            let mut due = log.begins;
            let mut torn = false;
            for event in &mut all[from..] {
                torn |= due.is_some_and(|due| event.first > due);
                event.torn = torn;
                due = Some(event.seq.saturating_add(1));
            }
        }
        all
    }
}

/// Numbers did not come on a connection, and what is behind them came.
fn missing(
    connection: &ConnectionState<'_>,
    hole: &Hole,
    log: &UserLog,
    ops: &[Op],
    findings: &mut Findings,
) {
    let replayed = connection.resumed && hole.last <= connection.head;
    let elsewhere =
        (hole.first..=hole.last.min(hole.first.saturating_add(64))).find_map(|seq| log.slots.get(&seq));
    let elsewhere = elsewhere.map(|slot| slot.at);
    let known = match elsewhere {
        Some(at) if !ops[at].conn.is_empty() => "another connection got",
        _ => "nobody got",
    };
    let what =
        format!("{} did not come, which {known}, and what is behind came", numbers(hole.first, hole.last));
    let (invariant, what) = if replayed {
        (Invariant::SilentGap, format!("the connection is said to go on at its position; {what}"))
    } else {
        (Invariant::Lost, what)
    };
    let opened = [Some(connection.opened), connection.welcome].into_iter().flatten().filter(|_| replayed);
    let witness = opened.chain(elsewhere).chain([hole.before, hole.behind]);
    findings.add(invariant, hole.behind, None, what, witness);
}

/// One number or several, in words.
fn numbers(first: u64, last: u64) -> String {
    if first == last { format!("event {first}") } else { format!("events {first} to {last}") }
}
