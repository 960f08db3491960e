//! ISO-1: no byte that a user gets holds a marker of another. ISO-2: no user gets a run of another, or one that nobody
//! asked for.

use super::{Findings, Map, Names, runs::Runs};
use crate::{
    proof::{
        invariants::Invariant,
        marker::{Found, Scanner},
    },
    record::Op,
};

/// The markers of all users, and where they were said.
#[derive(Default)]
pub(super) struct Isolation {
    scanner: Scanner,
    markers: u64,
    seen: u64,
    /// Where each marker was said first.
    said: Map<String, usize>,
}

impl Isolation {
    /// From now on a marker is a user's.
    pub(super) fn owns(&mut self, user: u32, marker: &str) {
        self.markers += u64::from(self.scanner.add(marker, user));
    }

    /// A user said something.
    pub(super) fn said(&mut self, user: Option<u32>, text: &str, at: usize) {
        let said = &mut self.said;
        self.scanner.scan(text, |found| {
            if found.owner == user && !said.contains_key(&found.marker) {
                said.insert(found.marker, at);
            }
        });
    }

    /// How many markers there are.
    pub(super) fn markers(&self) -> u64 {
        self.markers
    }

    /// How often one was found in what users got: a scan that finds none proves nothing.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Looks through what a user got; true when something of another user is in it.
    pub(super) fn scan(
        &mut self,
        user: u32,
        at: usize,
        op: &Op,
        users: &Names<'_>,
        findings: &mut Findings,
    ) -> bool {
        let (mut seen, mut foreign) = (0, None::<Found>);
        self.scanner.scan(&op.text, |found| {
            seen += 1;
            if found.owner.is_some_and(|owner| owner != user) {
                foreign.get_or_insert(found);
            }
        });
        self.seen += seen;
        let Some(Found { owner: Some(owner), at: from, end, marker, way }) = foreign else {
            return false;
        };
        let (owner, said) = (users.name(owner), self.said.get(&marker).copied());
        let what = format!(
            "{owner}'s marker {marker} stands in what {} got{}, at bytes {from}..{end}{way}",
            users.name(user),
            op.ev.as_deref().map_or(String::new(), |event| format!(" in {event}")),
        );
        findings.add(Invariant::ForeignMarker, at, Some(owner), what, said.into_iter().chain([at]));
        true
    }
}

/// Whose runs were seen by whom.
pub(super) fn decide(
    runs: &Runs<'_>,
    answered: bool,
    whole: impl Fn(u32) -> bool,
    names: &Names<'_>,
    users: &Names<'_>,
    findings: &mut Findings,
) {
    for (number, run) in runs.all() {
        let name = names.name(number);
        let first = run.accepted.first();
        // An answer that names another user's run is as foreign as its events.
        for (_, sent, answer) in run.accepted.iter().skip(1) {
            let owner = first.map(|(owner, ..)| users.name(*owner));
            let what =
                format!("a request was answered with the run {name}, which is of another user's request");
            let witness = first.into_iter().flat_map(|(_, sent, answer)| [*sent, *answer]);
            findings.add(Invariant::PhantomStream, *answer, owner, what, witness.chain([*sent, *answer]));
        }
        for (user, at, _) in run.seen.iter().filter(|(user, ..)| !run.is_of(*user)) {
            if let Some((owner, sent, answer)) = first {
                let owner = users.name(*owner);
                let what = format!("the run {name} is {owner}'s by the answer to {owner}'s request");
                findings.add(Invariant::PhantomStream, *at, Some(owner), what, [*sent, *answer, *at]);
            } else if answered && whole(*user) && runs.unanswered(*user) == 0 {
                let what =
                    format!("nobody asked for the run {name}: every request was answered, with other runs");
                findings.add(Invariant::PhantomStream, *at, None, what, [*at]);
            }
        }
        if !answered && run.seen.len() > 1 {
            shared(run, runs, name, users, findings);
        }
    }
}

/// A run that two users saw where no answer says whose it is: it cannot be both's.
fn shared(
    run: &super::runs::AskedRun,
    runs: &Runs<'_>,
    name: &str,
    users: &Names<'_>,
    findings: &mut Findings,
) {
    // Who asked for nothing cannot be its owner; else the first who saw it is taken for it.
    let owner = run.seen.iter().find(|(user, ..)| runs.made(*user) > 0).or(run.seen.first());
    let Some((owner, first, _)) = owner else { return };
    for (_, at, _) in run.seen.iter().filter(|(user, ..)| user != owner) {
        let what = format!("two users got events of the run {name}, and it cannot be both's");
        findings.add(Invariant::PhantomStream, *at, Some(users.name(*owner)), what, [*first, *at]);
    }
}
