//! A violation as it is reported: who saw what of whom, the few operations that show it, what happened between them, and
//! the explanations that were ruled out.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::record::{Action, Header, Op, OpOutcome};

/// What must hold, by the names under which it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// ISO-1: nobody gets a string of another user.
    ForeignMarker,
    /// ISO-2: nobody gets a run that another user asked for, or nobody.
    PhantomStream,
    /// RES-1: a resume is complete or says that it is not.
    SilentGap,
    /// RES-1: a position is not taken for one of a log that it is not of.
    FalseRecovery,
    /// SEQ-1: no event is missing between two that came.
    Lost,
    /// SEQ-1: no event is missing at the end.
    UnseenTail,
    /// SEQ-2: no event comes twice on a connection.
    Duplicate,
    /// SEQ-3: events come in the order of their numbers.
    Reordered,
    /// SEQ-4: one number stands for one event, whoever looks.
    Diverged,
    /// ORD-1: the events of a run keep their order.
    Order,
    /// CAU-1: nothing comes of a request before it was made.
    EffectBeforeCause,
    /// LIV-1: every run ends.
    StuckRun,
}

impl Invariant {
    /// All of them, the worst first.
    pub const ALL: [Self; 12] = [
        Self::ForeignMarker,
        Self::PhantomStream,
        Self::SilentGap,
        Self::FalseRecovery,
        Self::Lost,
        Self::UnseenTail,
        Self::Duplicate,
        Self::Reordered,
        Self::Diverged,
        Self::Order,
        Self::EffectBeforeCause,
        Self::StuckRun,
    ];

    /// Family and number, as in `ISO-1`.
    pub fn id(self) -> &'static str {
        match self {
            Self::ForeignMarker => "ISO-1",
            Self::PhantomStream => "ISO-2",
            Self::SilentGap | Self::FalseRecovery => "RES-1",
            Self::Lost | Self::UnseenTail => "SEQ-1",
            Self::Duplicate => "SEQ-2",
            Self::Reordered => "SEQ-3",
            Self::Diverged => "SEQ-4",
            Self::Order => "ORD-1",
            Self::EffectBeforeCause => "CAU-1",
            Self::StuckRun => "LIV-1",
        }
    }

    /// What breaks it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignMarker => "foreign-marker",
            Self::PhantomStream => "phantom-stream",
            Self::SilentGap => "silent-gap",
            Self::FalseRecovery => "false-recovery",
            Self::Lost => "lost",
            Self::UnseenTail => "unseen-tail",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Diverged => "diverged",
            Self::Order => "order",
            Self::EffectBeforeCause => "effect-before-cause",
            Self::StuckRun => "stuck-run",
        }
    }

    /// True for what shows itself by what came on several connections, and not on the one that it is told of.
    pub(super) fn is_of_several(self) -> bool {
        matches!(self, Self::Diverged | Self::Order | Self::EffectBeforeCause | Self::StuckRun)
    }

    /// True for what is about whose an event is, and not about whether it came.
    pub fn is_of_isolation(self) -> bool {
        matches!(self, Self::ForeignMarker | Self::PhantomStream)
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// Who saw it.
    pub victim: String,
    /// On which connection, if it was one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conn: String,
    /// Whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What was seen, in a sentence.
    pub what: String,
    /// The ops that show it, by their numbers, in their order: what it takes and no more.
    pub witness: Vec<u64>,
    /// What else happened to those concerned between these ops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<u64>,
    /// What it was not, or why it is not held against the server.
    pub not_this: String,
}

/// Ops between that are told.
const BETWEEN: usize = 5;
/// Characters of a frame that are told.
const SHOWN: usize = 150;

impl Violation {
    /// It in words, with the ops.
    pub fn tell(&self, header: &Header, ops: &[Op]) -> String {
        let mut text = format!("{} {}", self.invariant.id(), self.invariant.name());
        let _ = write!(text, "   seed={:#x}   profile={}", header.seed, header.profile);
        let conn = if self.conn.is_empty() { String::new() } else { format!(" (connection {})", self.conn) };
        let _ = write!(text, "\n  victim   {}{conn}", self.victim);
        if let Some(owner) = &self.owner {
            let _ = write!(text, "   owner {owner}");
        }
        let _ = write!(text, "\n  what     {}", self.what);
        for i in &self.witness {
            let _ = write!(text, "\n  op       {}", find(ops, *i).map_or_else(|| format!("i={i}"), tell_op));
        }
        for i in &self.between {
            let _ = write!(text, "\n  between  {}", find(ops, *i).map_or_else(|| format!("i={i}"), tell_op));
        }
        let _ = write!(text, "\n  not this {}", self.not_this);
        text
    }

    /// Finds what happened between the ops that show it.
    pub(super) fn look_between(&mut self, ops: &[Op]) {
        let (Some(first), Some(last)) = (self.witness.first(), self.witness.last()) else { return };
        let concerned = |user: &str| user == self.victim || self.owner.as_deref() == Some(user);
        let tells = |op: &&Op| {
            let of_the_way = matches!(op.f, Action::Connect | Action::Resume | Action::Close | Action::Fault);
            of_the_way && op.outcome != OpOutcome::Invoke && concerned(&op.user)
        };
        let from = ops.partition_point(|op| op.i <= *first);
        let to = ops.partition_point(|op| op.i < *last).max(from);
        let shown = ops[from..to].iter().filter(tells).map(|op| op.i).filter(|i| !self.witness.contains(i));
        let all: Vec<u64> = shown.collect();
        // The last ones: what comes closest before the violation says most about it.
        self.between = all[all.len().saturating_sub(BETWEEN)..].to_vec();
    }
}

fn find(ops: &[Op], i: u64) -> Option<&Op> {
    ops.binary_search_by_key(&i, |op| op.i).ok().map(|at| &ops[at])
}

/// An op in a line.
pub(super) fn tell_op(op: &Op) -> String {
    let mut text = format!("i={}  t={:.3}s  ", op.i, op.t_ns as f64 / 1e9);
    let who = if op.conn.is_empty() { &op.user } else { &op.conn };
    let done = match op.f {
        Action::Connect => "opens",
        Action::Resume => "resumes",
        Action::Send => "sends",
        Action::Recv => "gets",
        Action::Close => "ends",
        Action::Fault => "fault",
        Action::Http => "http",
        Action::Note => "note",
    };
    let _ = write!(text, "{who} {done}");
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {name}{value}");
        }
    };
    tell("", op.ev.clone());
    tell("run=", op.stream.clone());
    let first = op.first_seq.map_or(String::new(), |first| format!("{first}-"));
    tell(if op.f == Action::Resume { "after=" } else { "seq=" }, op.seq.map(|seq| format!("{first}{seq}")));
    tell("epoch=", op.epoch.clone());
    tell("head=", op.head.map(|head| head.to_string()));
    tell("resumed=", op.resumed.map(|resumed| resumed.to_string()));
    tell("id=", op.request.clone());
    let shown = Some(wireproof_protocol::shorten(&op.text, SHOWN)).filter(|shown| !shown.is_empty());
    tell("", shown);
    text
}
