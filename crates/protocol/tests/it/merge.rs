//! Merged deltas say what their parts said, and a position inside a merged one gets exactly the rest.

use proptest::prelude::*;
use wireproof_protocol::*;

use crate::{
    fold::folded,
    samples::{events, uuid},
    user_logs::user_log,
};

fn accounts_for_each_once(events: &[Event], from: u64, to: u64) -> bool {
    let mut due = from;
    events.iter().all(|event| {
        let (first, last) = event.range();
        let good = first == due && last >= first;
        due = last + 1;
        good
    }) && due == to + 1
}

fn parts_of(merged: &[Merged]) -> Vec<Event> {
    merged.iter().map(|merged| merged.event.clone()).collect()
}

/// The tail of a merged log after a position.
fn tail(merged: &[Merged], after: u64) -> Vec<Event> {
    merged.iter().filter_map(|merged| split_after(merged.event.clone(), &merged.parts, after)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_merged_log_folds_to_the_same(log in user_log()) {
        let merged = merge(log.clone());
        let events = parts_of(&merged);
        prop_assert!(accounts_for_each_once(&events, 1, log.len() as u64));
        prop_assert_eq!(folded(UserState::default(), &events), folded(UserState::default(), &log));
        for pair in events.windows(2) {
            prop_assert!(!mergeable(&pair[0], &pair[1]), "left apart: {:?}", pair);
        }
        for Merged { event, parts } in &merged {
            let (first, last) = event.range();
            let seqs: Vec<u64> = parts.iter().map(|part| part.seq).collect();
            let due: Vec<u64> = if first == last { vec![] } else { (first..=last).collect() };
            prop_assert_eq!(seqs, due);
        }
    }

    #[test]
    fn every_position_gets_exactly_the_rest(log in user_log()) {
        let merged = merge(log.clone());
        let all = folded(UserState::default(), &log);
        let mut before = UserState::default();
        for after in 0..=log.len() {
            let rest = tail(&merged, after as u64);
            prop_assert!(accounts_for_each_once(&rest, after as u64 + 1, log.len() as u64));
            prop_assert_eq!(&folded(before.clone(), &rest), &all);
            if let Some(event) = log.get(after) {
                before.apply(event).unwrap();
            }
        }
    }

    #[test]
    fn merging_a_tail_again_changes_nothing_that_folds(log in user_log(), at: prop::sample::Index) {
        let at = at.index(log.len());
        let rest = tail(&merge(log.clone()), at as u64);
        let again = parts_of(&merge(rest));
        prop_assert!(accounts_for_each_once(&again, at as u64 + 1, log.len() as u64));
        let before = folded(UserState::default(), &log[..at]);
        prop_assert_eq!(folded(before, &again), folded(UserState::default(), &log));
    }
}

fn delta(seq: u64, text: &str) -> Event {
    let mut event = events().into_iter().find(|event| event.body.name() == "message_delta").unwrap();
    event.seq = seq;
    event.event_id = EventId::from_bytes(uuid(5, seq as u8));
    event.run.as_mut().unwrap().run_seq = seq - 10;
    event.body =
        EventBody::MessageDelta { message_id: MessageId::from_bytes(uuid(2, 2)), delta: text.to_owned() };
    event
}

fn text(event: &Event) -> &str {
    event.body.delta().unwrap()
}

#[test]
fn three_deltas_become_one_and_come_apart() {
    let merged = merge([delta(11, "é"), delta(12, ""), delta(13, "𝄞!")]);
    let [Merged { event, parts }] = &merged[..] else { panic!("{merged:?}") };
    assert_eq!((event.range(), text(event)), ((11, 13), "é𝄞!"));
    assert_eq!(
        parts.iter().map(|part| (part.seq, part.end)).collect::<Vec<_>>(),
        [(11, 2), (12, 2), (13, 7)]
    );
    let run = event.run.as_ref().unwrap();
    assert_eq!((run.first_run_seq, run.run_seq), (Some(1), 3));

    let after = |after| split_after(event.clone(), parts, after);
    assert_eq!(after(10).as_ref(), Some(event));
    let two = after(11).unwrap();
    assert_eq!((two.range(), text(&two)), ((12, 13), "𝄞!"));
    assert_eq!(two.run.unwrap().first_run_seq, Some(2));
    let one = after(12).unwrap();
    assert_eq!((one.first_seq, one.seq, text(&one)), (None, 13, "𝄞!"));
    assert_eq!(one.run.unwrap().first_run_seq, None);
    assert_eq!(after(13), None);
    assert_eq!(after(99), None);
}

#[test]
fn what_stands_between_keeps_deltas_apart() {
    let other_run = |mut event: Event| {
        event.run.as_mut().unwrap().run_id = RunId::from_bytes(uuid(3, 9));
        event
    };
    let other_message = |mut event: Event| {
        event.body =
            EventBody::MessageDelta { message_id: MessageId::from_bytes(uuid(2, 9)), delta: "x".to_owned() };
        event
    };
    let thought = |mut event: Event| {
        event.body =
            EventBody::ThinkingDelta { message_id: MessageId::from_bytes(uuid(2, 2)), delta: "x".to_owned() };
        event
    };
    for next in [
        delta(13, "a gap"),
        delta(11, "twice"),
        other_run(delta(12, "x")),
        other_message(delta(12, "x")),
        thought(delta(12, "x")),
    ] {
        assert_eq!(merge([delta(11, "x"), next]).len(), 2);
    }
}

/// Bug: an event that came merged was merged on without the ends of its own parts, and a position inside it then got
/// nothing at all.
#[test]
fn what_came_merged_is_not_merged_again() {
    let first = parts_of(&merge([delta(11, "a"), delta(12, "b")])).remove(0);
    let merged = merge([first.clone(), delta(13, "c"), delta(14, "d")]);
    let ranges: Vec<_> = merged.iter().map(|merged| merged.event.range()).collect();
    assert_eq!(ranges, [(11, 12), (13, 14)]);
    assert_eq!(split_after(first.clone(), &[], 11), Some(first), "the whole rather than nothing");
}

/// Bug: a range on what is no delta, or one that the run's numbers do not bear out, was folded as if nothing missed.
#[test]
fn a_range_that_hides_events_is_refused() {
    let state = UserState::starting_at(10);
    let refused = |event: &Event| state.clone().apply(event).unwrap_err();
    let mut backwards = delta(11, "x");
    (backwards.first_seq, backwards.seq) = (Some(11), 9);
    let mut wide = delta(15, "x");
    wide.first_seq = Some(11);
    wide.run.as_mut().unwrap().first_run_seq = Some(4);
    let mut half = delta(15, "x");
    half.first_seq = Some(11);
    let mut of_a_thread = events().remove(0);
    (of_a_thread.first_seq, of_a_thread.seq) = (Some(11), 15);
    let mut no_delta = wide.clone();
    no_delta.body = EventBody::StatusUpdate(StatusUpdate { status: "retrying".to_owned(), detail: None });
    no_delta.run.as_mut().unwrap().first_run_seq = Some(1);
    for event in [backwards, wide, half, of_a_thread, no_delta] {
        assert_eq!(refused(&event), FoldError::Range { seq: event.seq }, "{event:?}");
    }
    let mut of_no_run = delta(11, "x");
    of_no_run.run = None;
    assert_eq!(refused(&of_no_run), FoldError::NoRun { seq: 11 });
    folded(UserState::starting_at(11), &[delta(12, "x")]);
}
