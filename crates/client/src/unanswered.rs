//! The requests of a client that have no answer yet: when each goes out, and what counts as its answer.
//! Pure: the time comes from outside.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;
use wireproof_protocol::{ErrorBody, RequestId};

/// Most requests that may wait for their answer.
pub(crate) const MAX_UNANSWERED: usize = 256;
/// How long refusals keep a resent request back, from the first one on, before the next is its answer.
const RESEND_WITHIN: Duration = Duration::from_secs(120);
/// The shortest wait after a refusal; it doubles with each further one, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Requests in the order in which they were made, each until its answer came.
#[derive(Default)]
pub(crate) struct Unanswered(VecDeque<Request>);

struct Request {
    id: RequestId,
    text: String,
    /// When it goes out; nothing while it is out on this connection.
    due: Option<Instant>,
    /// True once it was out on a connection that is lost: that server may have carried it out.
    resent: bool,
    refusals: u32,
    give_up: Option<Instant>,
}

impl Request {
    /// True for what goes out before anything behind it: what waits for its turn, and what goes out again, as long as it has no
    /// answer. A refusal may put it off, and a later request that had overtaken it would be undone by it.
    fn is_next(&self) -> bool {
        self.resent || self.due.is_some()
    }
}

impl Unanswered {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a request, to be sent at once.
    pub(crate) fn push(&mut self, id: RequestId, text: String, now: Instant) {
        self.0.push_back(Request { id, text, due: Some(now), resent: false, refusals: 0, give_up: None });
    }

    /// The text of the request whose turn it is by now; from here on it counts as out on this connection.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<&str> {
        let request = self.0.iter_mut().find(|request| request.is_next())?;
        request.due.take_if(|due| *due <= now)?;
        Some(&request.text)
    }

    /// When the next request goes out; in the past for one whose turn it is already.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.0.iter().find(|request| request.is_next())?.due
    }

    /// The connection is lost: what was out on it goes out again on the next one.
    pub(crate) fn lost(&mut self, now: Instant) {
        for request in self.0.iter_mut().filter(|request| request.due.is_none()) {
            (request.due, request.resent) = (Some(now), true);
        }
    }

    /// The request of this id, if it is known, has its answer.
    pub(crate) fn answered(&mut self, id: &str) {
        self.0.retain(|request| request.id.as_str() != id);
    }

    /// The oldest request that is out has its answer. Requests go out in their order, so the oldest went out first.
    pub(crate) fn oldest_answered(&mut self) -> Option<RequestId> {
        let place = self.0.iter().position(|request| request.due.is_none())?;
        self.0.remove(place).map(|request| request.id)
    }

    /// A refusal came for the request of this id. True when it is no answer: the request was sent before on a connection
    /// that is lost, where it may have been carried out, and what may succeed later goes out again later.
    pub(crate) fn refused(&mut self, id: &RequestId, error: &ErrorBody, now: Instant) -> bool {
        let Some(request) = self.0.iter_mut().find(|request| request.id == *id) else { return false };
        if !request.resent || !error.retryable {
            return false;
        }
        let announced = error.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        let due = now.checked_add(announced.max(shortest_wait(request.refusals)));
        let give_up = *request.give_up.get_or_insert(now + RESEND_WITHIN);
        request.refusals += 1;
        request.due = due.filter(|due| *due <= give_up);
        request.due.is_some()
    }
}

fn shortest_wait(refusals: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2u32.saturating_pow(refusals)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use wireproof_protocol::ErrorCode;

    use super::*;

    fn refusal(retry_after: Duration) -> ErrorBody {
        let retry_after_ms = Some(retry_after.as_millis() as u64);
        ErrorBody { retry_after_ms, ..ErrorBody::new(ErrorCode::RateLimited, "Too fast.") }
    }

    fn id(text: &str) -> RequestId {
        RequestId::new(text).unwrap()
    }

    /// Two requests, "a" and "b", that were out on a connection that is lost.
    fn two_lost(now: Instant) -> Unanswered {
        let mut unanswered = Unanswered::default();
        for text in ["a", "b"] {
            unanswered.push(id(text), text.into(), now);
            assert_eq!(unanswered.take_due(now), Some(text));
        }
        unanswered.lost(now);
        unanswered
    }

    fn resent(now: Instant) -> (Unanswered, RequestId) {
        let (mut unanswered, id) = (Unanswered::default(), id("a"));
        unanswered.push(id.clone(), "text".into(), now);
        unanswered.take_due(now).unwrap();
        unanswered.lost(now);
        unanswered.take_due(now).unwrap();
        (unanswered, id)
    }

    #[test]
    fn a_resent_request_waits_as_long_as_the_refusal_says() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        let wait = Duration::from_secs(3);
        assert!(unanswered.refused(&id, &refusal(wait), now));
        assert_eq!(unanswered.take_due(now), None);
        assert_eq!(unanswered.wakes_at(), Some(now + wait));
        assert_eq!(unanswered.take_due(now + wait), Some("text"));
    }

    /// A later request went through while an older one was held back, and was undone when that one followed.
    #[test]
    fn nothing_overtakes_a_request_that_is_held_back() {
        let now = Instant::now();
        let mut unanswered = two_lost(now);
        unanswered.push(id("c"), "c".into(), now);
        assert_eq!(unanswered.take_due(now), Some("a"));
        assert_eq!(unanswered.take_due(now), None, "a may still be refused");
        assert_eq!(unanswered.wakes_at(), None);
        let wait = Duration::from_secs(3);
        assert!(unanswered.refused(&id("a"), &refusal(wait), now));
        assert_eq!(unanswered.take_due(now), None);
        assert_eq!(unanswered.wakes_at(), Some(now + wait));
        let later = now + wait;
        assert_eq!(unanswered.take_due(later), Some("a"));
        assert_eq!(unanswered.take_due(later), None);
        unanswered.answered("a");
        assert_eq!(unanswered.take_due(later), Some("b"));
        assert_eq!(unanswered.take_due(later), None);
        unanswered.answered("b");
        assert_eq!(unanswered.take_due(later), Some("c"));
    }

    #[test]
    fn requests_that_go_out_for_the_first_time_do_not_wait_for_each_other() {
        let now = Instant::now();
        let mut unanswered = Unanswered::default();
        for text in ["a", "b", "c"] {
            unanswered.push(id(text), text.into(), now);
        }
        for text in ["a", "b", "c"] {
            assert_eq!(unanswered.take_due(now), Some(text));
        }
        assert_eq!(unanswered.take_due(now), None);
        assert_eq!(unanswered.wakes_at(), None);
    }

    /// What fell due between two looks at the clock woke nobody.
    #[test]
    fn what_is_due_already_wakes_at_once() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        let wait = Duration::from_millis(300);
        assert!(unanswered.refused(&id, &refusal(wait), now));
        assert_eq!(unanswered.take_due(now + wait / 2), None);
        assert_eq!(unanswered.wakes_at(), Some(now + wait));
        assert_eq!(unanswered.take_due(now + wait * 2), Some("text"));
    }

    /// A refusal without an id was handed to a request behind the one that it was of: a held-back request had gone out after it.
    #[test]
    fn a_refusal_without_an_id_is_of_what_went_out_first() {
        let now = Instant::now();
        let mut unanswered = two_lost(now);
        assert_eq!(unanswered.take_due(now), Some("a"));
        let wait = Duration::from_secs(1);
        assert!(unanswered.refused(&id("a"), &refusal(wait), now));
        assert_eq!(unanswered.take_due(now), None);
        assert_eq!(unanswered.oldest_answered(), None, "nothing is out");
        assert_eq!(unanswered.take_due(now + wait), Some("a"));
        assert_eq!(unanswered.oldest_answered(), Some(id("a")));
        assert_eq!(unanswered.take_due(now + wait), Some("b"));
        assert_eq!(unanswered.oldest_answered(), Some(id("b")));
    }

    #[test]
    fn a_wait_outlives_a_further_connection() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        unanswered.refused(&id, &refusal(Duration::from_secs(3)), now);
        unanswered.lost(now);
        assert_eq!(unanswered.take_due(now), None);
    }

    #[test]
    fn refusals_without_end_are_handed_over_in_the_end() {
        let mut now = Instant::now();
        let (mut unanswered, id) = resent(now);
        let (began, mut refusals) = (now, 0);
        while unanswered.refused(&id, &refusal(Duration::ZERO), now) {
            now = unanswered.wakes_at().unwrap();
            unanswered.take_due(now).unwrap();
            refusals += 1;
        }
        assert!(now - began <= RESEND_WITHIN, "{:?}", now - began);
        assert!((10..30).contains(&refusals), "{refusals}");
    }

    #[test]
    fn a_wait_without_end_is_handed_over_at_once() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        assert!(!unanswered.refused(&id, &refusal(Duration::from_millis(u64::MAX)), now));
    }

    #[test]
    fn what_was_sent_once_or_can_never_succeed_has_its_answer() {
        let now = Instant::now();
        let (mut unanswered, resent) = resent(now);
        assert!(!unanswered.refused(&resent, &ErrorBody::new(ErrorCode::NotFound, "No."), now));
        unanswered.answered(resent.as_str());
        let once = id("b");
        unanswered.push(once.clone(), "text".into(), now);
        unanswered.take_due(now).unwrap();
        assert!(!unanswered.refused(&once, &refusal(Duration::from_secs(1)), now));
    }
}
