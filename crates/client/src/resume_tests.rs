//! What `resume` promises, for any delivery that is at least once: with duplicates, merges, breaks and reconnects.

use proptest::prelude::*;
use wireproof_protocol::{
    EventBody, EventId, MessageId, RunId, RunPart, ThreadId, UserId, UserState, merge, split_after,
};

use super::*;

const EPOCH: u64 = 7;

/// A log of one run: a start, `deltas` pieces of an answer, each its own number as text.
fn log(deltas: u64) -> Vec<Event> {
    let (run_id, thread_id, message_id) = (RunId::new(), ThreadId::generate(), MessageId::new());
    let body = |seq| match seq {
        1 => EventBody::AgentStarted { message: "on it".into() },
        _ => EventBody::MessageDelta { message_id, delta: format!("{seq},") },
    };
    (1..=deltas + 1)
        .map(|seq| Event {
            seq,
            first_seq: None,
            event_id: EventId::new(),
            user_id: UserId::new("ann").unwrap(),
            thread_id: thread_id.clone(),
            timestamp: seq as f64,
            run: Some(RunPart { run_id, run_seq: seq, first_run_seq: None, agent_name: "a".into() }),
            body: body(seq),
        })
        .collect()
}

/// What a server sends after a position: alone, or merged in pieces of `piece` events.
fn replay(log: &[Event], after: u64, piece: usize) -> Vec<Event> {
    let mut sent = Vec::new();
    for events in log.chunks(piece) {
        for merged in merge(events.to_vec()) {
            sent.extend(split_after(merged.event, &merged.parts, after));
        }
    }
    sent
}

fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> UserState {
    let mut state = UserState::default();
    for event in events {
        state.apply(event).unwrap();
    }
    state
}

proptest! {
    #[test]
    fn any_delivery_at_least_once_is_shown_exactly_once(
        deltas in 1u64..60,
        connections in prop::collection::vec((1usize..9, 0u64..5, 0usize..30), 0..8),
    ) {
        let log = log(deltas);
        let mut resume = Resume::at(Position { epoch: Epoch::new(EPOCH), seq: 0 });
        let mut shown = Vec::new();
        // Each connection serves from some events too early, in pieces of its own, and dies after some; the last does not.
        for (piece, early, dies_after) in connections.into_iter().chain([(3, 0, usize::MAX)]) {
            let position = resume.position().unwrap();
            let start = resume.welcome(position.epoch, log.len() as u64, true);
            prop_assert_eq!(start, Start::Resumed);
            let after = position.seq.saturating_sub(early);
            for event in replay(&log, after, piece).iter().take(dies_after) {
                match resume.take(event) {
                    Ok(true) => shown.push(event.clone()),
                    Ok(false) => prop_assert!(event.seq <= resume.position().unwrap().seq),
                    // A range that overlaps what was seen: the client comes back and asks for the rest.
                    Err(at) => {
                        prop_assert!(!at.is_gap());
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(resume.caught_up(log.len() as u64), Ok(()));
        let (run, whole) = (fold(&shown), fold(&log));
        prop_assert_eq!(run, whole);
    }

    #[test]
    fn a_missing_event_is_never_passed_over(deltas in 2u64..60, missing in 0usize..60, piece in 1usize..9) {
        let log = log(deltas);
        let mut sent = replay(&log, 0, piece);
        let missing = missing % sent.len();
        let lost = sent.remove(missing);
        let mut resume = Resume::at(Position { epoch: Epoch::new(EPOCH), seq: 0 });
        let first_break = sent.iter().find_map(|event| resume.take(event).err());
        match first_break {
            Some(at) => {
                prop_assert!(at.is_gap());
                prop_assert_eq!(at.expected, lost.range().0);
            }
            // The last one is missing: only the end of the replay can tell.
            None => prop_assert!(resume.caught_up(log.len() as u64).is_err()),
        }
        prop_assert_eq!(resume.position().unwrap().seq + 1, lost.range().0);
    }
}

#[test]
fn without_a_position_a_client_starts_at_the_head() {
    let mut resume = Resume::new();
    let log = log(5);
    assert!(resume.take(&log[0]).is_err(), "nothing can come before the welcome");
    assert_eq!(resume.welcome(Epoch::new(EPOCH), 4, false), Start::Head);
    assert_eq!(resume.take(&log[3]), Ok(false));
    assert_eq!(resume.take(&log[4]), Ok(true));
}

#[test]
fn another_epoch_or_a_refused_position_restarts_at_the_head_and_a_snapshot_sets_the_place() {
    let mut resume = Resume::at(Position { epoch: Epoch::new(EPOCH), seq: 40 });
    assert_eq!(resume.welcome(Epoch::new(EPOCH + 1), 3, true), Start::Restarted);
    // Bug: a client cut between the welcome and the snapshot came back to the head, and never saw the state.
    assert_eq!(resume.position(), Some(Position { epoch: Epoch::new(EPOCH), seq: 40 }));
    resume.snapshot(Epoch::new(EPOCH + 1), 2);
    assert_eq!(resume.take(&log(5)[2]), Ok(true));
    assert_eq!(resume.position(), Some(Position { epoch: Epoch::new(EPOCH + 1), seq: 3 }));
}
