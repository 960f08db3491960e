//! Numbers that are as they should be raise nothing; each way of being wrong raises its own promise and no other.

use std::time::Instant;

use super::*;
use crate::profile::Profile;

fn events(ranges: &[(u64, u64)]) -> Vec<Arc<ReceivedFrame>> {
    let profile = Profile::find("wireproof").unwrap();
    let frame = |(index, (first, last)): (usize, &(u64, u64))| {
        let text = format!(r#"{{"type":"message_delta","first_seq":{first},"seq":{last}}}"#);
        Arc::new(ReceivedFrame::read(&profile, index, Instant::now(), &text))
    };
    ranges.iter().enumerate().map(frame).collect()
}

/// How many notes each promise makes: gapless, increasing, once.
fn judged(ranges: &[(u64, u64)], begin: Option<u64>, end: u64) -> (usize, usize, usize) {
    let (events, known) = (events(ranges), Known { begin, end });
    (gaps(&events, known).len(), steps_back(&events, known).len(), repeats(&events, known).len())
}

#[test]
fn good_numbers_raise_nothing() {
    assert_eq!(judged(&[], Some(7), 7), (0, 0, 0));
    assert_eq!(judged(&[(8, 8), (9, 9), (10, 10)], Some(7), 10), (0, 0, 0));
    // Merged ones account for all that they stand for; where a connection begins in the middle, that is its beginning.
    assert_eq!(judged(&[(8, 8), (9, 12), (13, 13)], None, 0), (0, 0, 0));
}

#[test]
fn what_never_came_is_a_gap() {
    assert_eq!(judged(&[(8, 8), (10, 10)], Some(7), 10), (1, 0, 0));
    assert_eq!(judged(&[(9, 9), (10, 10)], Some(7), 10), (1, 0, 0), "the first");
    assert_eq!(judged(&[(8, 8), (9, 9)], Some(7), 10), (1, 0, 0), "the last");
    assert_eq!(judged(&[(8, 9), (12, 14)], Some(7), 14), (1, 0, 0), "beside merged ones");
}

#[test]
fn what_came_late_is_a_step_back() {
    assert_eq!(judged(&[(8, 8), (10, 10), (9, 9), (11, 11)], Some(7), 11), (0, 1, 0));
}

#[test]
fn what_came_again_is_a_repeat() {
    assert_eq!(judged(&[(8, 8), (9, 9), (9, 9), (10, 10)], Some(7), 10), (0, 0, 1));
    let (_, _, repeats) = judged(&[(8, 8), (9, 12), (11, 11)], Some(7), 12);
    assert_eq!(repeats, 1, "a part of a merged one");
}
