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

/// The numbers of a history.
pub(super) struct Sequence<'a> {
    numbered: bool,
    shared: bool,
    /// Every connection is welcomed.
    welcomes: bool,
    hasher: FixedState,
    lines: Map<u32, Line<'a>>,
    logs: Vec<Log>,
    logs_by_name: Map<(u32, &'a str), u32>,
    /// Connections that had the time to get everything.
    drained: u64,
}

/// A connection, as far as numbers go.
#[derive(Default)]
struct Line<'a> {
    opened: usize,
    welcome: Option<usize>,
    asked: Option<(&'a str, u64)>,
    resumed: bool,
    /// The end of the log when it said that it goes on there.
    head: u64,
    log: Option<u32>,
    cursor: Option<u64>,
    cursor_at: usize,
    /// Where a frame on the open connection asked to go on.
    moved: Option<u64>,
    holes: Vec<Hole>,
    /// Numbers, first and last, of what came and is somebody else's.
    foreign: Vec<(u64, u64)>,
    drained: Option<usize>,
}

/// Numbers that did not come.
struct Hole {
    first: u64,
    last: u64,
    before: usize,
    behind: usize,
}

/// The log of a user in one epoch.
#[derive(Default)]
struct Log {
    /// What stands under each number, or ends with it.
    slots: Map<u64, Slot>,
    /// What was put together of several.
    merged: Map<(u64, u64), Slot>,
    head: u64,
    head_at: usize,
    /// The first number that anybody was told to expect.
    begins: Option<u64>,
}

/// What stands under a number.
#[derive(Clone, Copy)]
struct Slot {
    first: u64,
    hash: u64,
    at: usize,
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
        let (lines, logs, logs_by_name) = (Map::default(), Vec::new(), Map::default());
        let (numbered, shared, hasher) = (rules.numbered, rules.shared, FixedState::default());
        let welcomes = rules.kinds.values().any(|kind| *kind == Kind::Welcome);
        Self { numbered, shared, welcomes, hasher, lines, logs, logs_by_name, drained: 0 }
    }

    /// A connection is opened, or asks on its way to go on elsewhere.
    pub(super) fn opened(&mut self, conn: u32, at: usize, op: &'a Op) {
        let line = self.lines.entry(conn).or_insert_with(|| Line { opened: at, ..Line::default() });
        let asked = (op.f == Action::Resume)
            .then(|| op.seq.map(|after| (op.epoch.as_deref().unwrap_or_default(), after)));
        match asked.flatten() {
            Some((_, after)) if line.log.is_some() => line.moved = Some(after),
            Some(asked) => line.asked = Some(asked),
            None => {}
        }
    }

    /// A connection had the time to get all that there is.
    pub(super) fn drained(&mut self, conn: u32, at: usize) {
        if let Some(line) = self.lines.get_mut(&conn) {
            line.drained = Some(at);
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
            self.lines.entry(frame.conn).or_default().foreign.push(range);
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
            self.logs.push(Log::default());
        }
        log
    }

    /// Goes on in a log, whose end is known.
    fn place(&mut self, frame: &Frame<'a>) -> u32 {
        let log = self.log(frame, frame.op.epoch.as_deref().unwrap_or_default());
        if let Some(head) = frame.op.head {
            let log = &mut self.logs[log as usize];
            if head > log.head {
                (log.head, log.head_at) = (head, frame.at);
            }
        }
        log
    }

    fn welcome(&mut self, frame: &Frame<'a>, findings: &mut Findings) {
        let log = self.place(frame);
        let (op, at) = (frame.op, frame.at);
        let line = self.lines.entry(frame.conn).or_default();
        (line.log, line.welcome, line.cursor_at) = (Some(log), Some(at), at);
        line.resumed = op.resumed == Some(true);
        line.head = op.head.unwrap_or_default();
        line.cursor = op.head;
        if line.resumed {
            let epoch = op.epoch.as_deref().unwrap_or_default();
            let wrong = match line.asked {
                None => Some("it asked for none".to_owned()),
                Some((asked, _)) if !asked.is_empty() && asked != epoch => {
                    Some(format!("it asked for one of the epoch {asked}, and this is {epoch}"))
                }
                Some((_, after)) if op.head.is_some_and(|head| after > head) => {
                    Some(format!("it asked for {after}, and the log ends at {}", line.head))
                }
                Some(_) => None,
            };
            if let Some(why) = &wrong {
                let what = format!("the connection is said to go on at its position, but {why}");
                findings.add(Invariant::FalseRecovery, at, None, what, [line.opened, at]);
            }
            line.cursor = line.asked.filter(|_| wrong.is_none()).map(|(_, after)| after);
        }
        let begins = line.cursor.map(|cursor| cursor.saturating_add(1));
        let log = &mut self.logs[log as usize];
        log.begins = [log.begins, begins].into_iter().flatten().min();
    }

    fn snapshot(&mut self, frame: &Frame<'a>) {
        let log = self.place(frame);
        let line = self.lines.entry(frame.conn).or_default();
        (line.log, line.cursor, line.cursor_at, line.moved) = (Some(log), frame.op.head, frame.at, None);
    }

    fn caught_up(&mut self, frame: &Frame<'a>, findings: &mut Findings) {
        let Some(line) = self.lines.get_mut(&frame.conn) else { return };
        let (Some(head), Some(cursor)) = (frame.op.head, line.cursor) else { return };
        if cursor < head && !line.is_foreign(cursor + 1, head) {
            let what = format!(
                "the connection is said to have caught up to {head}, and {} did not come",
                numbers(cursor + 1, head)
            );
            findings.add(
                Invariant::SilentGap,
                frame.at,
                None,
                what,
                line.welcome.into_iter().chain([line.opened, line.cursor_at, frame.at]),
            );
            // Told; what comes later of it is not out of order for that.
            line.moved = Some(cursor);
        }
    }

    fn event(&mut self, frame: &Frame<'a>, first: u64, seq: u64, findings: &mut Findings) {
        let (op, at) = (frame.op, frame.at);
        let known = self.lines.get(&frame.conn).and_then(|line| line.log);
        let log = known.unwrap_or_else(|| self.log(frame, ""));
        let line = self.lines.entry(frame.conn).or_default();
        line.log = Some(log);
        let expected = line.cursor.map(|cursor| cursor.saturating_add(1));
        let moved = line.moved.filter(|after| first == after.saturating_add(1));
        if moved.is_some() {
            line.moved = None;
        }
        match expected {
            Some(expected) if moved.is_none() && first > expected => {
                let (before, behind) = (line.cursor_at, at);
                line.holes.push(Hole { first: expected, last: first - 1, before, behind });
            }
            Some(expected) if moved.is_none() && first < expected => {
                let seen = self.logs[log as usize].slots.get(&seq).map(|slot| slot.at);
                let late = line.fill(first, seq);
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
                let earlier = if late.is_some() { late } else { seen.filter(|seen| *seen > line.opened) };
                let opened = (line.resumed && late.is_none()).then_some(line.opened);
                let witness = opened.into_iter().chain(earlier).chain([line.cursor_at, at]);
                findings.add(invariant, at, None, what, witness);
                if seq < expected {
                    self.stand(log, first, seq, op, at, findings);
                    return;
                }
            }
            _ => {}
        }
        (line.cursor, line.cursor_at) = (Some(seq), at);
        self.stand(log, first, seq, op, at, findings);
    }

    /// Writes down what stands under a number, or holds it against what stood there.
    fn stand(&mut self, log: u32, first: u64, seq: u64, op: &Op, at: usize, findings: &mut Findings) {
        let hash = self.hasher.hash_one(op.text.as_str());
        let log = &mut self.logs[log as usize];
        if seq > log.head {
            (log.head, log.head_at) = (seq, at);
        }
        let here = Slot { first, hash, at };
        // A merged event and the last of its parts have the same number and are not the same.
        let known = if first == seq { log.slots.get(&seq) } else { log.merged.get(&(first, seq)) };
        match known.filter(|known| known.first == first) {
            Some(known) if known.hash != hash => findings.differs(known.at, at, seq),
            Some(_) => {}
            None => {
                if first < seq {
                    log.merged.insert((first, seq), here);
                }
                // The narrower one says more: what else the wider one stands for has numbers of its own.
                let slot = log.slots.entry(seq).or_insert(here);
                if first > slot.first {
                    *slot = here;
                }
            }
        }
    }

    /// What never came.
    pub(super) fn decide(&self, ops: &[Op], findings: &mut Findings) {
        let mut lines: Vec<_> = self.lines.values().collect();
        lines.sort_unstable_by_key(|line| line.opened);
        for line in lines {
            if let Some(drained) = line.drained.filter(|_| self.numbered && self.welcomes)
                && line.welcome.is_none()
            {
                let what = "the connection had the time, and was not even welcomed".to_owned();
                findings.add(Invariant::UnseenTail, line.opened, None, what, [line.opened, drained]);
            }
            let Some(log) = line.log.map(|log| &self.logs[log as usize]) else { continue };
            for hole in line.holes.iter().filter(|hole| !line.is_foreign(hole.first, hole.last)) {
                let replayed = line.resumed && hole.last <= line.head;
                let elsewhere = (hole.first..=hole.last.min(hole.first.saturating_add(64)))
                    .find_map(|seq| log.slots.get(&seq));
                let elsewhere = elsewhere.map(|slot| slot.at);
                let known = elsewhere.map_or("nobody got", |at| {
                    if ops[at].conn.is_empty() { "nobody got" } else { "another connection got" }
                });
                let what = format!(
                    "{} did not come, which {known}, and what is behind came",
                    numbers(hole.first, hole.last)
                );
                let (invariant, what) = if replayed {
                    (Invariant::SilentGap, format!("the connection is said to go on at its position; {what}"))
                } else {
                    (Invariant::Lost, what)
                };
                let opened = [Some(line.opened), line.welcome].into_iter().flatten().filter(|_| replayed);
                findings.add(
                    invariant,
                    hole.behind,
                    None,
                    what,
                    opened.chain(elsewhere).chain([hole.before, hole.behind]),
                );
            }
            let (Some(drained), Some(cursor)) = (line.drained, line.cursor) else { continue };
            if cursor < log.head && !line.is_foreign(cursor + 1, log.head) {
                let what = format!(
                    "{} did not come, and the connection had the time",
                    numbers(cursor + 1, log.head)
                );
                findings.add(
                    Invariant::UnseenTail,
                    line.cursor_at,
                    None,
                    what,
                    [line.cursor_at, log.head_at, drained],
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

impl Line<'_> {
    /// True when each of these numbers came, as somebody else's.
    fn is_foreign(&self, first: u64, last: u64) -> bool {
        let mut ranges = self.foreign.clone();
        ranges.sort_unstable();
        let next = ranges.into_iter().fold(first, |next, (from, to)| match from <= next {
            true => next.max(to.saturating_add(1)),
            false => next,
        });
        next > last
    }

    /// Takes numbers out of a hole; gives what came in their place, if they were missing.
    fn fill(&mut self, first: u64, last: u64) -> Option<usize> {
        let at = self.holes.iter().position(|hole| hole.first <= first && last <= hole.last)?;
        let hole = self.holes.remove(at);
        let part = |from: u64, to: u64| (from <= to).then_some(Hole { first: from, last: to, ..hole });
        self.holes.extend(part(hole.first, first - 1).into_iter().chain(part(last + 1, hole.last)));
        Some(hole.behind)
    }
}

/// One number or several, in words.
fn numbers(first: u64, last: u64) -> String {
    if first == last { format!("event {first}") } else { format!("events {first} to {last}") }
}
