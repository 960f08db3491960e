//! The fold of a log is the same live, replayed, from a snapshot, and from any position; what does not fit is refused.

use proptest::prelude::*;
use wireproof_protocol::*;

use crate::{samples::uuid, user_logs::user_log};

pub fn folded<'a>(mut state: UserState, events: impl IntoIterator<Item = &'a Event>) -> UserState {
    for event in events {
        state.apply(event).unwrap_or_else(|error| panic!("{error}: {event:?}"));
    }
    state
}

fn over_the_wire(event: &Event) -> Event {
    match parse_incoming(&serde_json::to_string(event).unwrap()).unwrap() {
        Incoming::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

/// What a server would tell of the state in a `snapshot`.
fn snapshot_of(state: &UserState) -> (Vec<SnapshotThread>, Vec<RunSnapshot>) {
    let threads = state.threads.iter().map(|(thread_id, thread)| SnapshotThread {
        thread_id: thread_id.clone(),
        title: thread.title.clone().unwrap(),
        metadata: thread.metadata.clone(),
        messages: thread.messages.iter().map(|message| message_of(thread_id, message)).collect(),
        truncated: false,
    });
    let active = state.runs.iter().filter(|(_, view)| view.outcome.is_none());
    let runs = active.map(|(run_id, view)| RunSnapshot {
        run_id: *run_id,
        thread_id: view.thread_id.clone().unwrap(),
        agent_name: view.agent_name.clone(),
        run_seq: view.rules.run_seq(),
        started: view.rules.is_running(),
        message_id: view.rules.text().0,
        text: view.rules.text().1.to_owned(),
        step_number: view.rules.step_number(),
        open_tool_calls: view
            .rules
            .open_tools()
            .map(|(tool_call_id, tool_name)| OpenToolCall { tool_call_id, tool_name: tool_name.to_owned() })
            .collect(),
        open_approvals: view.rules.open_approvals().map(|(approval_id, _)| approval_id).collect(),
    });
    (threads.collect(), runs.collect())
}

fn message_of(thread_id: &ThreadId, message: &MessageState) -> Message {
    Message {
        message_id: message.message_id,
        thread_id: thread_id.clone(),
        role: message.role,
        content: message.content.clone(),
        created_at: 0.0,
        run_id: None,
        incomplete: !message.complete,
    }
}

/// Fault: what a run said late, after its thread was deleted, went into a new thread of the same name.
#[test]
fn a_run_of_a_deleted_thread_says_nothing_in_a_new_one_of_its_name() {
    let run_id = RunId::from_bytes(uuid(3, 1));
    let message_id = MessageId::from_bytes(uuid(2, 1));
    let of_the_run =
        |run_seq| RunPart { run_id, run_seq, first_run_seq: None, agent_name: "builtin".to_owned() };
    let created = EventBody::ThreadCreated { title: "Plans".to_owned(), metadata: Default::default() };
    let deleted = EventBody::ThreadDeleted { title: "Plans".to_owned(), metadata: Default::default() };
    let bodies = [
        (None, created.clone()),
        (Some(of_the_run(1)), EventBody::AgentStarted { message: "working".to_owned() }),
        (None, deleted),
        (None, created),
        (Some(of_the_run(2)), EventBody::MessageDelta { message_id, delta: "late".to_owned() }),
    ];
    let events: Vec<Event> = (1..)
        .zip(bodies)
        .map(|(seq, (run, body))| Event {
            seq,
            first_seq: None,
            event_id: EventId::new(),
            user_id: "alice".parse().unwrap(),
            thread_id: "plans".parse().unwrap(),
            timestamp: 0.0,
            run,
            body,
        })
        .collect();
    let state = folded(UserState::default(), &events);
    assert_eq!(state.threads[&ThreadId::new("plans").unwrap()].messages, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn replay_joined_to_live_is_live_at_every_position(log in user_log()) {
        let live = folded(UserState::default(), &log);
        let replayed: Vec<Event> = log.iter().map(over_the_wire).collect();
        let mut before = UserState::default();
        for (event, at) in log.iter().zip(0..) {
            prop_assert_eq!(&folded(before.clone(), &replayed[at..]), &live);
            before.apply(event).unwrap();
        }
        prop_assert_eq!(before, live);
    }

    #[test]
    fn a_snapshot_and_the_tail_are_the_log_at_every_position(log in user_log()) {
        let live = folded(UserState::default(), &log);
        for at in 0..log.len() {
            let before = folded(UserState::default(), &log[..at]);
            let (threads, runs) = snapshot_of(&before);
            let resumed = folded(UserState::from_snapshot(at as u64, &threads, &runs), &log[at..]);
            prop_assert_eq!(&resumed.threads, &live.threads);
            prop_assert_eq!(resumed.seq, live.seq);
            for (run_id, view) in resumed.runs {
                prop_assert_eq!(view.outcome, live.runs[&run_id].outcome);
                prop_assert_eq!(view.rules.text(), live.runs[&run_id].rules.text());
            }
        }
    }

    /// Bug: a client that began at the head during a run could not follow that run.
    #[test]
    fn a_client_may_begin_at_any_head(log in user_log()) {
        for at in 0..log.len() {
            let state = folded(UserState::starting_at(at as u64), &log[at..]);
            prop_assert!(state.runs.values().all(|view| view.outcome.is_some()));
        }
    }

    #[test]
    fn an_event_lost_repeated_or_swapped_is_refused(log in user_log(), at: prop::sample::Index) {
        let at = at.index(log.len() - 1);
        let mut lost = log.clone();
        lost.remove(at);
        let mut repeated = log.clone();
        repeated.insert(at, log[at].clone());
        let mut swapped = log.clone();
        swapped.swap(at, at + 1);
        for broken in [lost, repeated, swapped] {
            let mut state = UserState::default();
            let refused = broken.iter().find_map(|event| state.apply(event).err());
            let refused = matches!(refused, Some(FoldError::Seq { .. }));
            prop_assert!(refused);
        }
    }

    /// Bug: a refused event of an unknown run left an empty run behind.
    #[test]
    fn a_refused_event_changes_nothing(log in user_log(), at: prop::sample::Index, harm in 0..5) {
        let at = at.index(log.len());
        let mut state = folded(UserState::default(), &log[..at]);
        let before = state.clone();
        let mut event = log[at].clone();
        match harm {
            0 => event.seq += 1,
            1 => event.seq -= 1,
            2 => event.first_seq = Some(event.seq + 1),
            3 => match &mut event.run {
                Some(run) => run.run_seq += 1,
                None => event.first_seq = Some(event.seq),
            },
            _ => match &mut event.run {
                Some(run) => run.run_id = RunId::from_bytes([9; 16]),
                None => event.seq += 7,
            },
        }
        let fits = matches!(&event.body, EventBody::AgentStarted { .. } | EventBody::StatusUpdate { .. });
        if state.apply(&event).is_err() {
            prop_assert_eq!(state, before);
        } else {
            prop_assert!(harm == 4 && fits, "{:?}", event);
        }
    }
}
