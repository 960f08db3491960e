//! What is known of one connection, as far as numbers go: where it is in its log, and what did not come.

/// A connection, as far as numbers go.
#[derive(Default)]
pub(super) struct ConnectionState<'a> {
    pub(super) opened: usize,
    pub(super) welcome: Option<usize>,
    pub(super) asked: Option<(&'a str, u64)>,
    pub(super) resumed: bool,
    /// The end of the log when it said that it goes on there.
    pub(super) head: u64,
    pub(super) log: Option<u32>,
    pub(super) cursor: Option<u64>,
    pub(super) cursor_at: usize,
    /// Where a frame on the open connection asked to go on.
    pub(super) moved: Option<u64>,
    pub(super) holes: Vec<Hole>,
    /// Numbers, first and last, of what came and is somebody else's.
    pub(super) foreign: Vec<(u64, u64)>,
    pub(super) drained: Option<usize>,
}

/// Numbers that did not come.
pub(super) struct Hole {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) before: usize,
    pub(super) behind: usize,
}

impl ConnectionState<'_> {
    /// True when each of these numbers came, as somebody else's.
    pub(super) fn is_foreign(&self, first: u64, last: u64) -> bool {
        let mut ranges = self.foreign.clone();
        ranges.sort_unstable();
        let next = ranges.into_iter().fold(first, |next, (from, to)| match from <= next {
            true => next.max(to.saturating_add(1)),
            false => next,
        });
        next > last
    }

    /// Takes numbers out of a hole; gives what came in their place, if they were missing.
    pub(super) fn fill(&mut self, first: u64, last: u64) -> Option<usize> {
        let at = self.holes.iter().position(|hole| hole.first <= first && last <= hole.last)?;
        let hole = self.holes.remove(at);
        let part = |from: u64, to: u64| (from <= to).then_some(Hole { first: from, last: to, ..hole });
        self.holes.extend(part(hole.first, first - 1).into_iter().chain(part(last + 1, hole.last)));
        Some(hole.behind)
    }
}
