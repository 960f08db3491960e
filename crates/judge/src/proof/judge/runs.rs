//! Who asked for which run, and who saw it: what isolation, cause and liveness are judged by.

use super::{Frame, Map};
use crate::profile::Kind;

/// The requests and runs of a history.
#[derive(Default)]
pub(super) struct Runs<'a> {
    requests: Map<(u32, &'a str), Request>,
    runs: Map<u32, AskedRun>,
    /// Answers to requests that their receiver had not made: where they came, and to whom.
    pub(super) unasked: Vec<(usize, u32)>,
    /// Requests of each user that no answer came to.
    unanswered: Map<u32, u64>,
}

struct Request {
    sent: usize,
    answered: bool,
}

/// A run.
#[derive(Default)]
pub(super) struct AskedRun {
    /// Who was told that it is the answer to a request: user, request, answer.
    pub(super) accepted: Vec<(u32, usize, usize)>,
    /// Who got frames of it: user, the first one, on which connection.
    pub(super) seen: Vec<(u32, usize, u32)>,
    /// Who saw its end.
    pub(super) ended: Vec<(u32, usize)>,
}

impl AskedRun {
    /// Whether a user was told that it is the user's own.
    pub(super) fn is_of(&self, user: u32) -> bool {
        self.accepted.iter().any(|(asker, ..)| *asker == user)
    }
}

impl<'a> Runs<'a> {
    /// A user made a request.
    pub(super) fn sent(&mut self, user: u32, request: &'a str, at: usize) {
        self.requests.entry((user, request)).or_insert_with(|| {
            *self.unanswered.entry(user).or_default() += 1;
            Request { sent: at, answered: false }
        });
    }

    /// A frame came; true when it is of a run that is known to be another user's.
    pub(super) fn frame(&mut self, frame: &Frame<'a>) -> bool {
        let answered = frame.op.request.as_deref().and_then(|request| self.answered(frame, request));
        let Some(number) = frame.run.filter(|_| frame.kind != Kind::Error) else { return false };
        let run = self.runs.entry(number).or_default();
        if frame.kind == Kind::Accepted {
            if let Some(sent) = answered.filter(|_| !run.is_of(frame.user)) {
                run.accepted.push((frame.user, sent, frame.at));
            }
            return false;
        }
        if !run.seen.iter().any(|(user, ..)| *user == frame.user) {
            run.seen.push((frame.user, frame.at, frame.conn));
        }
        if frame.kind == Kind::Completed && !run.ended.iter().any(|(user, _)| *user == frame.user) {
            run.ended.push((frame.user, frame.at));
        }
        !run.accepted.is_empty() && !run.is_of(frame.user)
    }

    /// Where the request was made that a frame answers.
    fn answered(&mut self, frame: &Frame<'a>, request: &'a str) -> Option<usize> {
        let Some(made) = self.requests.get_mut(&(frame.user, request)) else {
            self.unasked.push((frame.at, frame.user));
            return None;
        };
        if !std::mem::replace(&mut made.answered, true)
            && let Some(unanswered) = self.unanswered.get_mut(&frame.user)
        {
            *unanswered -= 1;
        }
        Some(made.sent)
    }

    /// Requests of a user that no answer came to: runs of unknown beginning may be theirs.
    pub(super) fn unanswered(&self, user: u32) -> u64 {
        self.unanswered.get(&user).copied().unwrap_or_default()
    }

    /// Requests that a user made.
    pub(super) fn made(&self, user: u32) -> usize {
        self.requests.keys().filter(|(asker, _)| *asker == user).count()
    }

    pub(super) fn get(&self, run: u32) -> Option<&AskedRun> {
        self.runs.get(&run)
    }

    /// All runs, by their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &AskedRun)> {
        let mut all: Vec<_> = self.runs.iter().map(|(number, run)| (*number, run)).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter()
    }
}
