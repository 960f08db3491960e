//! The store's part of a lost connection and of several nodes: what is asked again is stored once, and who lost a lease
//! stores nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use wireproof_protocol::{
    Event, EventBody, EventId, MessageId, Outcome, RequestId, RunId, RunPart, StatusUpdate, ThreadId, UserId,
};
use wireproof_server::store::{
    Answer, FinishRun, Lease, NodeId, RequestKey, StartRun, Started, Store, StoreError, embedded::Embedded,
};

fn ada() -> UserId {
    UserId::new("ada").unwrap()
}

fn start(node_id: NodeId, leased_until: f64) -> StartRun {
    StartRun {
        user_id: ada(),
        request: Some(RequestKey { id: RequestId::new("once").unwrap(), digest: [7; 32] }),
        thread_id: None,
        title: "title".to_owned(),
        message_id: MessageId::new(),
        content: "a question".to_owned(),
        run_id: RunId::new(),
        agent_name: "agent".to_owned(),
        first: EventBody::AgentStarted { message: "begins".to_owned() },
        node_id,
        leased_until,
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

async fn started(store: &Embedded, run: StartRun) -> Started {
    match store.start_run(run).await.unwrap().value {
        Answer::Done(started) => started,
        other => panic!("{other:?}"),
    }
}

/// Whoever lost the answer after the commit asks again, and finds the log as it would be without that.
#[tokio::test]
async fn what_is_asked_again_is_stored_once_and_published_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let run = start(NodeId::new(), 1e12);
    let (run_id, first) = (run.run_id, started(&store, run.clone()).await);
    let again = store.start_run(run).await.unwrap();
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

/// A node whose lease was over and taken may not write any more, whatever it holds itself for.
#[tokio::test]
async fn a_run_that_was_taken_over_is_written_by_its_new_node_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let (one, other) = (NodeId::new(), NodeId::new());
    assert!(store.take_over_runs(other, 5.0, 35.0).await.unwrap().is_empty());
    let run = start(one, 10.0);
    let (run_id, first) = (run.run_id, started(&store, run).await);
    assert!(store.take_over_runs(other, 5.0, 35.0).await.unwrap().is_empty(), "it is leased");
    store.renew_leases(one, 20.0).await.unwrap();
    assert!(store.take_over_runs(other, 15.0, 45.0).await.unwrap().is_empty(), "it was renewed");
    let taken = store.take_over_runs(other, 21.0, 51.0).await.unwrap();
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

/// What a dead process left is leased by nobody.
#[tokio::test]
async fn after_a_restart_of_the_store_no_lease_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let run = start(NodeId::new(), 1e12);
    let (run_id, first) = (run.run_id, started(&store, run).await);
    store.close().await;
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    let old = Lease { run_id, number: first.lease };
    let events = Arc::new(vec![said(run_id, &first.thread_id, 2)]);
    assert!(matches!(store.append_events(&ada(), Some(old), events).await, Err(StoreError::LeaseLost)));
    let taken = store.take_over_runs(NodeId::new(), 2.0, 32.0).await.unwrap();
    assert_eq!(taken.iter().map(|(run, _)| run.run_id).collect::<Vec<_>>(), [run_id]);
}
