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

impl Unanswered {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a request, to be sent at once.
    pub(crate) fn push(&mut self, id: RequestId, text: String, now: Instant) {
        self.0.push_back(Request { id, text, due: Some(now), resent: false, refusals: 0, give_up: None });
    }

    /// The next request that has to go out by now: its place for [`sent`](Self::sent), and its text.
    pub(crate) fn next_due(&self, now: Instant) -> Option<(usize, &str)> {
        let place = self.0.iter().position(|request| request.due.is_some_and(|due| due <= now))?;
        Some((place, &self.0[place].text))
    }

    /// The request at this place is out on this connection.
    pub(crate) fn sent(&mut self, place: usize) {
        self.0[place].due = None;
    }

    /// When the next request goes out that still waits.
    pub(crate) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        self.0.iter().filter_map(|request| request.due).filter(|due| *due > now).min()
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

    /// The oldest request that is out has its answer.
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

    fn resent(now: Instant) -> (Unanswered, RequestId) {
        let (mut unanswered, id) = (Unanswered::default(), RequestId::new("a").unwrap());
        unanswered.push(id.clone(), "text".into(), now);
        unanswered.sent(0);
        unanswered.lost(now);
        unanswered.sent(0);
        (unanswered, id)
    }

    #[test]
    fn a_resent_request_waits_as_long_as_the_refusal_says() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        let wait = Duration::from_secs(3);
        assert!(unanswered.refused(&id, &refusal(wait), now));
        assert_eq!(unanswered.next_due(now), None);
        assert_eq!(unanswered.wakes_at(now), Some(now + wait));
        assert_eq!(unanswered.next_due(now + wait), Some((0, "text")));
    }

    #[test]
    fn a_wait_outlives_a_further_connection() {
        let now = Instant::now();
        let (mut unanswered, id) = resent(now);
        unanswered.refused(&id, &refusal(Duration::from_secs(3)), now);
        unanswered.lost(now);
        assert_eq!(unanswered.next_due(now), None);
    }

    #[test]
    fn refusals_without_end_are_handed_over_in_the_end() {
        let mut now = Instant::now();
        let (mut unanswered, id) = resent(now);
        let (began, mut refusals) = (now, 0);
        while unanswered.refused(&id, &refusal(Duration::ZERO), now) {
            now = unanswered.wakes_at(now).unwrap();
            let (place, _) = unanswered.next_due(now).unwrap();
            unanswered.sent(place);
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
        let (mut unanswered, id) = resent(now);
        assert!(!unanswered.refused(&id, &ErrorBody::new(ErrorCode::NotFound, "No."), now));
        let once = RequestId::new("b").unwrap();
        unanswered.push(once.clone(), "text".into(), now);
        unanswered.sent(1);
        assert!(!unanswered.refused(&once, &refusal(Duration::from_secs(1)), now));
    }
}
