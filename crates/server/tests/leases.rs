//! The store's part of a lost connection and of several nodes: what is asked again is stored once, and who lost a lease
//! stores nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use wireproof_protocol::{
    Event, EventBody, EventId, MessageId, Outcome, RequestId, RunId, RunPart, StatusUpdate, ThreadId, UserId,
};
use wireproof_server::store::{
    Answer, FinishRun, Lease, LeaseTerm, NodeId, RequestKey, StartRun, Started, Store, StoreError,
    embedded::Embedded,
};

fn ada() -> UserId {
    UserId::new("ada").unwrap()
}

fn term(node_id: NodeId, until: f64) -> LeaseTerm {
    LeaseTerm { node_id, until }
}

fn start() -> StartRun {
    StartRun {
        user_id: ada(),
        request: Some(RequestKey { id: RequestId::new("once").unwrap(), digest: [7; 32] }),
        thread_id: ThreadId::generate(),
        end: None,
        title: "title".to_owned(),
        message_id: MessageId::new(),
        content: "a question".to_owned(),
        run_id: RunId::new(),
        agent_name: "agent".to_owned(),
        first: EventBody::AgentStarted { message: "begins".to_owned() },
        now: 1.0,
    }
}

fn said(run_id: RunId, thread_id: &ThreadId, run_seq: u64) -> Event {
    Event {
        seq: 0,
        first_seq: None,
        event_id: EventId::new(),
        user_id: ada(),
        thread_id: thread_id.clone(),
        timestamp: 1.0,
        run: Some(RunPart { run_id, run_seq, first_run_seq: None, agent_name: "agent".to_owned() }),
        body: EventBody::StatusUpdate(StatusUpdate { status: "works".to_owned(), detail: None }),
    }
}

async fn started(store: &Embedded, run: StartRun, term: LeaseTerm) -> Started {
    match store.start_run(Arc::new(run), term).await.unwrap().value {
        Answer::Done(started) => started,
        other => panic!("{other:?}"),
    }
}

/// Whoever lost the answer after the commit asks again, and finds the log as it would be without that.
#[tokio::test]
async fn what_is_asked_again_is_stored_once_and_published_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let (run, term) = (start(), term(NodeId::new(), 1e12));
    let (run_id, first) = (run.run_id, started(&store, run.clone(), term).await);
    let again = store.start_run(Arc::new(run), term).await.unwrap();
    assert!(matches!(&again.value, Answer::Done(started) if *started == first), "{again:?}");
    let told = again.committed.unwrap();
    assert!(told.seq == 3 && told.events.is_none(), "those who listen are told to read: {told:?}");

    let lease = Lease { run_id, number: first.lease };
    let events: Vec<_> = (2..5).map(|run_seq| said(run_id, &first.thread_id, run_seq)).collect();
    let user = ada();
    let append = |from: usize| store.append_events(&user, Some(lease), Arc::new(events[from..].to_vec()));
    assert_eq!(append(0).await.unwrap().value, 6);
    let again = append(0).await.unwrap();
    assert_eq!((again.value, again.committed.unwrap().seq), (6, 6));
    // Some that were stored with some that were not.
    let more = vec![events[2].clone(), said(run_id, &first.thread_id, 5)];
    assert_eq!(store.append_events(&ada(), Some(lease), Arc::new(more.clone())).await.unwrap().value, 7);
    // An earlier try that nobody waited for any more, and that was under way until now.
    assert_eq!(append(0).await.unwrap().value, 7);

    // The last append was not answered, so the end brings its events once more.
    let finish = FinishRun {
        user_id: ada(),
        lease,
        events: vec![more[1].clone(), said(run_id, &first.thread_id, 6)],
        outcome: Outcome::Success,
        answer: Some((MessageId::new(), "an answer".to_owned())),
        now: 9.5,
    };
    assert_eq!(store.finish_run(Arc::new(finish.clone())).await.unwrap().value, 8);
    assert_eq!(store.finish_run(Arc::new(finish.clone())).await.unwrap().value, 8);
    let other = FinishRun { now: 9.6, ..finish };
    assert!(matches!(store.finish_run(Arc::new(other)).await, Err(StoreError::NotFound)));
    assert_eq!(store.head(&ada()).await.unwrap().seq, 8);
    assert_eq!(store.messages(&ada(), &first.thread_id, 10, None).await.unwrap().0.len(), 2);
    let page = store.read(&ada(), 0, 1 << 20).await.unwrap();
    let numbers: Vec<_> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

/// A run that is over when it is stored: its end stands in the same transaction, and who asks again finds both.
#[tokio::test]
async fn a_start_with_its_end_is_stored_once_and_published_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let term = term(NodeId::new(), 1e12);
    let over = |run: StartRun| {
        let (run_id, thread_id) = (run.run_id, &run.thread_id);
        let end = FinishRun {
            user_id: ada(),
            lease: Lease { run_id, number: 0 },
            events: vec![said(run_id, thread_id, 2), said(run_id, thread_id, 3)],
            outcome: Outcome::Success,
            answer: Some((MessageId::new(), "an answer".to_owned())),
            now: 1.5,
        };
        StartRun { end: Some(Arc::new(end)), ..run }
    };
    // With a request's id and without one, in a thread of its own and in one that is there.
    let first = over(start());
    let second = over(StartRun { request: None, thread_id: first.thread_id.clone(), now: 2.0, ..start() });
    let third = over(StartRun { request: None, now: 3.0, ..start() });
    for (run, seq, head) in [(first, 1, 5), (second, 6, 9), (third, 10, 14)] {
        let (run_id, thread_id) = (run.run_id, run.thread_id.clone());
        let stored = started(&store, run.clone(), term).await;
        assert_eq!(stored, Started { thread_id, seq, lease: 1, ended: true });
        let again = store.start_run(Arc::new(run), term).await.unwrap();
        assert!(matches!(&again.value, Answer::Done(started) if *started == stored), "{again:?}");
        let told = again.committed.unwrap();
        assert!(told.seq == head && told.events.is_none(), "{told:?}");
        let record = store.run(&ada(), run_id).await.unwrap();
        assert_eq!((record.outcome, record.last_seq), (Some(Outcome::Success), Some(head)));
        let late = store.append_events(&ada(), Some(Lease { run_id, number: 1 }), Arc::new(Vec::new())).await;
        assert!(matches!(late, Err(StoreError::LeaseLost)), "it is over");
    }
    assert!(store.take_over_runs(term, &[], 1e13, 10).await.unwrap().is_empty(), "nobody has to end one");
    let page = store.read(&ada(), 0, 1 << 20).await.unwrap();
    let numbers: Vec<_> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=14).collect::<Vec<_>>());
}

/// A node whose lease was over and taken may not write any more, whatever it holds itself for.
#[tokio::test]
async fn a_run_that_was_taken_over_is_written_by_its_new_node_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let (one, other) = (NodeId::new(), NodeId::new());
    let take = async |now| store.take_over_runs(term(other, now + 30.0), &[], now, 10).await.unwrap();
    assert!(take(5.0).await.is_empty());
    let run = start();
    let (run_id, first) = (run.run_id, started(&store, run, term(one, 10.0)).await);
    assert!(take(5.0).await.is_empty(), "it is leased");
    store.renew_leases(term(one, 20.0), &[run_id]).await.unwrap();
    assert!(take(15.0).await.is_empty(), "it was renewed");
    let taken = take(21.0).await;
    assert_eq!(taken.len(), 1);
    let (old, new) = (Lease { run_id, number: first.lease }, taken[0].1);
    assert!(new.number > old.number);
    let append = async |lease, run_seq| {
        let events = Arc::new(vec![said(run_id, &first.thread_id, run_seq)]);
        store.append_events(&ada(), Some(lease), events).await.map(|written| written.value)
    };
    assert!(matches!(append(old, 2).await, Err(StoreError::LeaseLost)));
    assert_eq!(append(new, 2).await.unwrap(), 4);
    let finish = |lease, now| FinishRun {
        user_id: ada(),
        lease,
        events: vec![said(run_id, &first.thread_id, 3)],
        outcome: Outcome::Failed,
        answer: None,
        now,
    };
    assert!(matches!(store.finish_run(Arc::new(finish(old, 22.0))).await, Err(StoreError::LeaseLost)));
    drop(store.finish_run(Arc::new(finish(new, 23.0))).await.unwrap());
    assert!(matches!(append(new, 4).await, Err(StoreError::LeaseLost)), "it is over");
    assert_eq!(store.head(&ada()).await.unwrap().seq, 5);
}

/// Bug: a renewal was of all leases of a node, also of runs that it did not drive and so would never end.
#[tokio::test]
async fn a_renewal_is_of_the_runs_that_it_names_and_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let (one, other) = (NodeId::new(), NodeId::new());
    let runs: Vec<_> = [one, one, other].into_iter().map(|node_id| (start(), node_id)).collect();
    let ids: Vec<_> = runs.iter().map(|(run, _)| run.run_id).collect();
    for (run, node_id) in runs {
        started(&store, StartRun { request: None, ..run }, term(node_id, 10.0)).await;
    }
    store.renew_leases(term(one, 20.0), &[ids[0], ids[2], RunId::new()]).await.unwrap();
    let taken = store.take_over_runs(term(NodeId::new(), 45.0), &[], 15.0, 10).await.unwrap();
    let taken: Vec<_> = taken.iter().map(|(run, _)| run.run_id).collect();
    assert_eq!(taken, ids[1..]);
}

/// Many runs that a dead process left are taken over in portions, each of them once.
#[tokio::test]
async fn runs_are_taken_over_in_portions() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let mut left = Vec::new();
    for _ in 0..5 {
        let run = StartRun { request: None, ..start() };
        left.push(run.run_id);
        started(&store, run, term(NodeId::new(), 10.0)).await;
    }
    store.close().await;
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    let node_id = NodeId::new();
    let mut taken = Vec::new();
    for expected in [2, 2, 1, 0] {
        let portion = store.take_over_runs(term(node_id, 32.0), &[], 2.0, 2).await.unwrap();
        assert_eq!(portion.len(), expected);
        taken.extend(portion.iter().map(|(run, _)| run.run_id));
    }
    assert_eq!(taken, left);
    // Once their leases are over they are free again.
    assert_eq!(store.take_over_runs(term(node_id, 90.0), &[], 40.0, 3).await.unwrap().len(), 3);
    assert_eq!(store.take_over_runs(term(node_id, 90.0), &[], 40.0, 3).await.unwrap().len(), 2);
}

/// What a dead process left is leased by nobody.
#[tokio::test]
async fn after_a_restart_of_the_store_no_lease_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let run = start();
    let (run_id, first) = (run.run_id, started(&store, run, term(NodeId::new(), 1e12)).await);
    store.close().await;
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    let old = Lease { run_id, number: first.lease };
    let events = Arc::new(vec![said(run_id, &first.thread_id, 2)]);
    assert!(matches!(store.append_events(&ada(), Some(old), events).await, Err(StoreError::LeaseLost)));
    let taken = store.take_over_runs(term(NodeId::new(), 32.0), &[], 2.0, 10).await.unwrap();
    assert_eq!(taken.iter().map(|(run, _)| run.run_id).collect::<Vec<_>>(), [run_id]);
}
