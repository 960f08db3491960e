//! Through every fault that a network can cause, a client that resumes gets everything exactly once.

use serde_json::json;
use wireproof_client::Connect;
use wireproof_faultproxy::{Afterwards, Connections, Cut, Fault, FaultProxy, Toxic, Trigger};
use wireproof_protocol::Outcome;
use wireproof_testkit::{TestClient, TestServer};

/// Connections that are hit, one after the other; the next one is sound.
const HIT: u64 = 3;

/// Asks once and resumes as often as it takes to have the whole run; then looks at all that came.
async fn survives(server: &TestServer, seed: u64, toxic: Toxic) -> FaultProxy {
    let proxy = FaultProxy::start(server.address(), seed).await.unwrap();
    let connect = Connect::to(proxy.url("/ws")).token(server.user(&format!("user-{seed}")).token());
    let mut client = TestClient::open(connect).await.unwrap().named("the client");
    client.expect("connection_established").await;
    // From here on: the fault must not hit before there is a position to come back with.
    let shown = format!("{toxic:?}");
    proxy.add(toxic.on(Connections::Range { first: 1, last: HIT }));
    client.send(json!({ "type": "chat", "content": "Größe: what is 17*23? 🦀", "id": "once" })).await;
    for _ in 0..=HIT {
        if client.try_expect("agent_completed", wireproof_testkit::DEADLINE).await.is_ok() {
            break;
        }
        client.resume().await;
    }
    client.assert_exactly_once();
    let state = client.state();
    let runs: Vec<_> = state.runs.values().map(|run| run.outcome).collect();
    assert_eq!(runs, [Some(Outcome::Success)], "{shown}\n{}", client.table());
    proxy
}

#[tokio::test]
async fn slow_and_odd_but_whole_streams_change_nothing() {
    let server = TestServer::start().await;
    for (seed, fault) in [
        Fault::Latency { ms: 15, jitter_ms: 25 },
        Fault::Bandwidth { bytes_per_second: 20_000 },
        Fault::Slice { bytes: 1, pause_ms: 0 },
        Fault::Slice { bytes: 3, pause_ms: 1 },
        Fault::Coalesce { bytes: 4000, within_ms: 60 },
        Fault::Stall { for_ms: Some(80) },
        Fault::BlackHole { for_ms: Some(80), then: Afterwards::GoOn },
        Fault::Fragment { frames: 7 },
        Fault::Pings { count: 40 },
        Fault::Pongs { count: 40 },
        Fault::DelayMessage { ms: 10 },
    ]
    .into_iter()
    .enumerate()
    {
        let name = fault.name();
        let proxy = survives(&server, seed as u64, Toxic::new(fault)).await;
        assert!(proxy.journal().iter().any(|entry| entry.what == name), "{name} was not done");
        assert_eq!(proxy.connections().len(), 1, "{name} ended a connection");
    }
}

#[tokio::test]
async fn cuts_of_every_kind_lose_and_double_nothing() {
    let server = TestServer::start().await;
    for (seed, fault) in [
        Fault::Cut(Cut::Reset),
        Fault::Cut(Cut::Fin),
        Fault::BlackHole { for_ms: Some(20), then: Afterwards::Reset },
        Fault::BlackHole { for_ms: Some(20), then: Afterwards::Fin },
        Fault::CutInHeader(Cut::Reset),
        Fault::CutInHeader(Cut::Fin),
        Fault::CutInCharacter(Cut::Reset),
        Fault::CloseWithoutCode,
    ]
    .into_iter()
    .enumerate()
    {
        let name = fault.name();
        // The answer's first wide character comes when it comes.
        let when = if name == "cut_in_character" { Trigger::Now } else { Trigger::AfterMessage(4) };
        let toxic = Toxic::to_client(fault).when(when);
        let proxy = survives(&server, 100 + seed as u64, toxic).await;
        assert!(proxy.journal().iter().any(|entry| entry.what == name), "{name} was not done");
        assert!(proxy.connections().len() > 1, "{name} ended no connection");
    }
}

#[tokio::test]
async fn a_limit_of_bytes_at_any_place_loses_and_doubles_nothing() {
    let server = TestServer::start().await;
    for step in 0..12 {
        // The welcome with its head is some 800 bytes; from there on into the run.
        let cut = Fault::Cut(if step % 2 == 0 { Cut::Reset } else { Cut::Fin });
        let toxic = Toxic::to_client(cut).when(Trigger::AfterBytes(900 + 173 * step));
        let proxy = survives(&server, 200 + step, toxic).await;
        assert!(!proxy.journal().is_empty());
    }
}

/// All clients are cut at once, again and again, in the middle of their runs.
#[tokio::test]
async fn a_storm_of_resets_loses_and_doubles_nothing() {
    let server = TestServer::start().await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    let mut clients = Vec::new();
    for number in 0..10 {
        let token = server.user(&format!("user-{number}")).token();
        let client = TestClient::open(Connect::to(proxy.url("/ws")).token(token)).await.unwrap();
        client.expect("connection_established").await;
        clients.push(client);
    }
    // Once it is accepted; what a reset swallows on its way to the server, the server cannot know of.
    for client in &clients {
        client.chat("Count from 1 to 20.").await;
    }
    for _ in 0..3 {
        assert_eq!(proxy.cut_all(Cut::Reset), 10);
        for client in &mut clients {
            client.expect_closed().await;
            client.resume().await;
        }
    }
    for client in &clients {
        client.expect("agent_completed").await;
        client.assert_exactly_once();
    }
    let resets = proxy.journal().iter().filter(|entry| entry.what == "ordered_reset").count();
    assert_eq!(resets, 30);
}
