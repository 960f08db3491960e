//! A connection that dies after any event whatever, and comes back: nothing missing, nothing twice, the same state.

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use wireproof_protocol::{Event, Position};
use wireproof_server::Config;
use wireproof_testkit::{Run, TestClient, TestServer, TestUser, event, matching};

/// Three tools at once and a streamed answer.
const MESSAGE: &str = "What is 17*23, how many words are in this sentence, and count from 1 to 40.";
/// More cuts than the run has events; the last ones cut nothing.
const CUTS: u64 = 75;

/// Clients that cut themselves at the event with the number of their place, from 1.
async fn clients_cut_everywhere(user: &TestUser) -> Vec<TestClient> {
    let clients = join_all((1..=CUTS).map(|_| user.connect())).await;
    for (k, client) in (1..).zip(&clients) {
        client.cut_on(event_number(k));
    }
    clients
}

fn event_number(seq: u64) -> wireproof_testkit::Matcher {
    matching("the event of a number", move |arrival| arrival.event().is_some_and(|event| event.seq == seq))
}

/// A client that saw everything and was never cut, and the run that it saw.
async fn witnessed_run(user: &TestUser) -> (TestClient, Run) {
    let witness = user.connect().await;
    let run = witness.chat(MESSAGE).await;
    let run = witness.expect_run_completed(run.run_id).await;
    assert!(run.final_response().unwrap().contains("38, 39, 40."));
    assert!(run.events.len() > 40 && (run.events.len() as u64) < CUTS, "{} events", run.events.len());
    witness.assert_exactly_once();
    (witness, run)
}

fn assert_same_as(witness: &TestClient, client: &TestClient, k: usize) {
    client.assert_exactly_once();
    assert_eq!(client.state(), witness.state(), "cut after event {k}:\n{}", client.table());
    let caught_up = client.frames().iter().filter(|arrival| arrival.kind() == "caught_up").count();
    let resumed = client.frames().iter().filter(|arrival| arrival["resumed"] == true).count();
    assert_eq!(caught_up, resumed, "caught_up once for each resume:\n{}", client.table());
}

/// Each client comes back in the middle of the run, when the log is `behind` events further. Gives how many merged
/// events they were served.
async fn cut_everywhere_and_back(behind: u64, change: impl FnOnce(&mut Config)) -> usize {
    let server = TestServer::builder()
        .config(|config| {
            config.limits.connections_per_user = 0;
            config.limits.other_frames_per_minute = 0;
        })
        .config(change)
        .start()
        .await;
    let user = server.user("ada");
    let clients = clients_cut_everywhere(&user).await;
    let (progress, _) = watch::channel(0);
    let returning = clients.into_iter().enumerate().map(|(index, mut client)| {
        let progress = progress.clone();
        tokio::spawn(async move {
            let k = index as u64 + 1;
            let cut_or_over = matching("the cut or the end", move |arrival| {
                arrival.kind() == "agent_completed" || arrival.event().is_some_and(|event| event.seq == k)
            });
            client.expect(cut_or_over).await;
            let cut = client.events().last().unwrap().seq == k;
            let over = client.frames().last().unwrap().kind() == "agent_completed";
            progress.send_modify(|head| *head = (*head).max(if over { u64::MAX } else { k }));
            if cut {
                client.expect_closed().await;
                progress.subscribe().wait_for(|head| *head >= k + behind).await.unwrap();
                client.resume().await;
            }
            (client, cut)
        })
    });
    let returning: Vec<_> = returning.collect();
    let (witness, run) = witnessed_run(&user).await;
    let head = witness.state().seq;
    let (mut cuts, mut merged) = (0, 0);
    for (index, returned) in join_all(returning).await.into_iter().enumerate() {
        let (client, cut) = returned.unwrap();
        client.barrier().await;
        assert_same_as(&witness, &client, index + 1);
        assert_eq!(client.run(run.run_id).check().map(|rules| rules.outcome()), Ok(run.outcome()));
        cuts += u64::from(cut);
        merged += client.events().iter().filter(|event| event.first_seq.is_some()).count();
    }
    assert_eq!(cuts, head, "one cut for every event of the log");
    merged
}

#[tokio::test]
async fn cut_after_every_event_and_resumed_in_the_middle_of_the_run() {
    cut_everywhere_and_back(0, |_| ()).await;
}

/// The log is folded again and again while the run writes to it and the clients read it.
#[tokio::test]
async fn cut_after_every_event_and_resumed_while_the_log_is_folded() {
    let merged = cut_everywhere_and_back(15, |config| config.retention.every_seconds = 0.2).await;
    assert!(merged > 0, "nobody was served a merged event");
}

/// Each client comes back when the run is over, the server was restarted and the deltas are merged: most positions
/// are inside a merged event.
#[tokio::test]
async fn cut_after_every_event_and_resumed_when_the_deltas_are_merged() {
    let mut server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
    })
    .await;
    let user = server.user("ada");
    let clients = clients_cut_everywhere(&user).await;
    let (witness, run) = witnessed_run(&user).await;
    server.restart().await;
    let start = Position { epoch: witness.welcome().epoch, seq: 0 };
    let whole = user.connect_at(start).await;
    whole.expect("caught_up").await;
    assert_eq!(whole.state(), witness.state());
    let events = whole.events();
    let merged: Vec<_> = events.iter().filter(|event| event.first_seq.is_some()).map(Event::range).collect();
    let mut inside = 0;
    for (k, mut client) in (1..=witness.state().seq).zip(clients) {
        client.expect_closed().await;
        client.resume().await;
        client.expect("caught_up").await;
        client.barrier().await;
        assert_same_as(&witness, &client, k as usize);
        assert_eq!(client.run(run.run_id).outcome(), run.outcome());
        if merged.iter().any(|(first, last)| (*first..*last).contains(&k)) {
            inside += 1;
            let rest = client.events().into_iter().find(|event| event.seq > k).unwrap();
            let begins = if rest.seq == k + 1 { None } else { Some(k + 1) };
            assert_eq!(rest.first_seq, begins, "the rest of a merged event begins behind the position");
        }
    }
    assert!(inside > 20, "{inside} positions were inside a merged event");
    assert_eq!(server.runs(), 0);
}

/// The same run, cut again and again: after each event that arrives, until it is over.
#[tokio::test]
async fn one_client_cut_after_every_event_it_receives() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let mut client = user.connect().await;
    client.cut_on(matching("any event", |arrival| arrival.event().is_some()));
    let run = witness.chat("What is 17*23, and count from 1 to 20.").await;
    loop {
        client.expect_closed().await;
        if client.run(run.run_id).outcome().is_some() {
            break;
        }
        client.resume().await;
    }
    witness.expect_run_completed(run.run_id).await;
    client.assert_exactly_once();
    assert_eq!(client.state(), witness.state());
    let connections = client.frames().last().unwrap().connection;
    assert!(connections > 10, "{connections} connections");
}

/// The log grows while clients read it from its beginning: replay and live join without a seam.
#[tokio::test]
async fn a_replay_that_is_overtaken_by_live_events_has_no_seam() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
        config.limits.concurrent_runs = 0;
    })
    .await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let first = witness.chat("count from 1 to 300 without a pause").await;
    witness.expect_run_completed(first.run_id).await;
    let start = Position { epoch: witness.welcome().epoch, seq: 0 };
    let mut readers = Vec::new();
    for index in 0..20 {
        let content = format!("count from {index} to 30 fast");
        witness.send(json!({ "type": "chat", "content": content })).await;
        readers.push(user.connect_at(start).await);
    }
    witness.barrier().await;
    server.idle().await;
    witness.barrier().await;
    for reader in &readers {
        reader.barrier().await;
        reader.expect("caught_up").await;
        reader.expect_none("caught_up").await;
        reader.assert_exactly_once();
        assert_eq!(reader.state(), witness.state());
    }
    witness.expect_none(event("agent_completed").field("outcome", "failed")).await;
}
