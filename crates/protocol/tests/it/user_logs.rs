//! Whole logs of one user: several threads, several runs at once, one gapless number line.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use serde_json::{Map, json};
use wireproof_protocol::*;

use crate::{
    legal_runs::legal_run,
    samples::{thread_id, uuid},
};

/// One event after the other takes its thread's and its run's place in the log.
struct Source {
    thread: u8,
    run: Option<u8>,
    bodies: VecDeque<EventBody>,
}

/// Up to three runs, each in one of two threads, their events in between each other in bursts.
pub fn user_log() -> impl Strategy<Value = Vec<Event>> {
    let run = |number| (0_u8..2, legal_run(number));
    let runs = (run(1), run(2), run(3), 0_usize..4).prop_map(|(a, b, c, count)| {
        let mut runs = vec![a, b, c];
        runs.truncate(count);
        runs
    });
    let deleted = prop::option::weighted(0.2, 0_u8..2);
    let bursts = prop::collection::vec((any::<u8>(), 1_usize..6), 1..12);
    (runs, deleted, bursts).prop_map(|(runs, deleted, bursts)| interleaved(sources(runs, deleted), &bursts))
}

fn sources(runs: Vec<(u8, Vec<EventBody>)>, deleted: Option<u8>) -> Vec<Source> {
    let title = |thread: u8| format!("Thread {thread}");
    let metadata = |thread: u8| json!({"thread": thread}).as_object().cloned().unwrap();
    let mut sources: Vec<Source> = (0..2)
        .map(|thread| {
            let mut bodies = VecDeque::from([
                EventBody::ThreadCreated { title: title(thread), metadata: Map::new() },
                EventBody::ThreadUpdated { title: title(thread + 2), metadata: metadata(thread) },
            ]);
            if deleted == Some(thread) {
                bodies.push_back(EventBody::ThreadDeleted { title: title(thread), metadata: Map::new() });
            }
            Source { thread, run: None, bodies }
        })
        .collect();
    for (number, (thread, mut bodies)) in (1..).zip(runs) {
        bodies.insert(
            0,
            EventBody::MessageCreated {
                message_id: MessageId::from_bytes(uuid(2, 100 + number)),
                role: Role::User,
                content: format!("Message {number}"),
            },
        );
        sources.push(Source { thread, run: Some(number), bodies: bodies.into() });
    }
    sources
}

fn interleaved(mut sources: Vec<Source>, bursts: &[(u8, usize)]) -> Vec<Event> {
    let mut log = Vec::new();
    let mut run_seqs = [0; 8];
    let mut deleted = BTreeSet::new();
    let mut bursts = bursts.iter().cycle();
    for source in &mut sources[..2] {
        let body = source.bodies.pop_front().unwrap();
        log.push(event(log.len(), source.thread, None, body));
    }
    while !sources.is_empty() {
        let (which, length) = bursts.next().unwrap();
        let which = usize::from(*which) % sources.len();
        let source = &mut sources[which];
        for _ in 0..*length {
            let Some(body) = source.bodies.pop_front() else { break };
            if matches!(body, EventBody::ThreadDeleted { .. }) {
                deleted.insert(source.thread);
            }
            // Nobody writes into a deleted thread.
            if matches!(body, EventBody::MessageCreated { .. }) && deleted.contains(&source.thread) {
                source.bodies.clear();
                break;
            }
            let run = source.run.filter(|_| body.is_of_a_run()).map(|run| {
                run_seqs[usize::from(run)] += 1;
                (run, run_seqs[usize::from(run)])
            });
            log.push(event(log.len(), source.thread, run, body));
        }
        if source.bodies.is_empty() {
            sources.remove(which);
        }
    }
    log
}

fn event(before: usize, thread: u8, run: Option<(u8, u64)>, body: EventBody) -> Event {
    Event {
        seq: before as u64 + 1,
        first_seq: None,
        event_id: EventId::from_bytes(uuid(5, before as u8)),
        user_id: "alice".parse().unwrap(),
        thread_id: thread_id(thread),
        timestamp: before as f64 / 2.0,
        run: run.map(|(number, run_seq)| RunPart {
            run_id: RunId::from_bytes(uuid(3, number)),
            run_seq,
            first_run_seq: None,
            agent_name: format!("agent_{number}"),
        }),
        body,
    }
}
