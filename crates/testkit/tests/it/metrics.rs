//! The numbers are true: known traffic in, exactly that in `/metrics` and `/ws/health`, and no series is added by what
//! clients send.

use std::collections::BTreeMap;

use serde_json::json;
use wireproof_client::Connect;
use wireproof_protocol::{Outcome, Position, ToolCallId};
use wireproof_testkit::{TestClient, TestServer, error, frame};

use crate::{
    acting::{acting, answer, completed, executing, patient},
    runs::ended,
};

/// The samples of `/metrics`, by their names with labels.
async fn samples(server: &TestServer) -> BTreeMap<String, f64> {
    let text = server.rest().get("/metrics").await.body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.trim_start_matches("wireproof_").to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// No pings of the clock's between what a test counts, and no rate that stops it.
async fn quiet() -> TestServer {
    TestServer::builder()
        .config(|config| {
            (config.limits.heartbeat_seconds, config.limits.dead_seconds) = (600.0, 1200.0);
            (config.limits.messages_per_minute, config.limits.other_frames_per_minute) = (0, 0);
        })
        .agents([acting("odd", |context| async move {
            for number in 0..200 {
                let call = ToolCallId::new();
                context.emit(executing(call, &format!("odd tool {number}"))).await?;
                context.emit(completed(call, &format!("odd tool {number}"))).await?;
            }
            answer("done")
        })])
        .start()
        .await
}

/// Bytes that frames take on the wire from the server: two or four before each text below 64 KiB.
fn wire_bytes(client: &TestClient) -> usize {
    client.frames().iter().map(|frame| frame.text.len() + if frame.text.len() < 126 { 2 } else { 4 }).sum()
}

fn kinds(clients: &[&TestClient], kind: &str) -> f64 {
    clients.iter().flat_map(|client| client.frames()).filter(|frame| frame.kind() == kind).count() as f64
}

#[tokio::test]
async fn the_counters_agree_with_what_clients_sent_and_got() {
    let server = quiet().await;
    let (ada, phone) = (server.user("ada").connect().await, server.user("ada").connect().await);
    let bob = server.user("bob").connect().await;
    for client in [&ada, &ada, &bob] {
        let run = client.chat("What is 17*23?").await;
        assert_eq!(ended(&server, client, run.run_id).await.outcome(), Some(Outcome::Success));
    }
    let run = ada.chat("Wait 40 seconds.").await;
    ada.expect("tool_executing").await;
    ada.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
    assert_eq!(ended(&server, &ada, run.run_id).await.outcome(), Some(Outcome::Cancelled));
    for _ in 0..5 {
        ada.ask(json!({ "type": "ping" })).await;
    }
    for _ in 0..3 {
        bob.send(json!({ "type": "no such type" })).await;
        bob.expect(error("unknown_type")).await;
    }
    for bad in ["{", "not json"] {
        bob.send_raw(bad).await;
        bob.expect(error("invalid_json")).await;
    }
    bob.ask(json!({ "type": "chat", "content": "hi", "agent": "nobody" })).await;
    let past = Position { epoch: ada.welcome().epoch, seq: 0 };
    let late = server.user("ada").connect_at(past).await;
    late.expect("caught_up").await;
    assert_eq!(server.rest().get("/ws").await.status, 426);
    let clients = [&ada, &phone, &bob, &late];
    for client in clients {
        client.barrier().await;
    }
    let found = samples(&server).await;
    let head =
        |client: &TestClient| client.frames().iter().filter_map(|f| f.event()).map(|e| e.seq).max().unwrap();
    let appended = (head(&ada) + head(&bob)) as f64;
    let delivered: usize = clients.iter().map(|client| client.events().len()).sum();
    let replayed = late.events().len() as f64;
    let bytes: usize = clients.iter().map(|client| wire_bytes(client)).sum();
    let expected = [
        ("connections{state=\"open\"}", 4.0),
        ("connections{state=\"opening\"}", 0.0),
        ("users", 2.0),
        ("handshakes_total{result=\"accepted\"}", 4.0),
        ("handshakes_total{result=\"bad_request\"}", 1.0),
        ("runs_total{outcome=\"success\"}", 3.0),
        ("runs_total{outcome=\"cancelled\"}", 1.0),
        ("runs_total{outcome=\"failed\"}", 0.0),
        ("runs_alive{state=\"running\"}", 0.0),
        ("run_duration_seconds_count{agent=\"builtin\"}", 4.0),
        ("run_start_seconds_count{agent=\"builtin\"}", 4.0),
        ("run_first_delta_seconds_count{agent=\"builtin\"}", 3.0),
        ("tool_calls_total{tool=\"calculate\",outcome=\"ok\"}", 3.0),
        ("tool_calls_total{tool=\"timer\",outcome=\"failed\"}", 1.0),
        ("tool_duration_seconds_count{tool=\"calculate\"}", 3.0),
        ("events_appended_total", appended),
        ("events_published_total", appended),
        ("commit_events_sum", appended),
        ("events_delivered_total", delivered as f64),
        ("events_replayed_total", replayed),
        ("delivery_latency_seconds_count", delivered as f64 - replayed),
        ("sent_bytes_total", bytes as f64),
        ("resumes_total{result=\"replayed\"}", 1.0),
        ("frames_total{type=\"chat\",outcome=\"carried_out\"}", 4.0),
        ("frames_total{type=\"chat\",outcome=\"refused\"}", 1.0),
        ("frames_total{type=\"cancel_run\",outcome=\"carried_out\"}", 1.0),
        ("frames_total{type=\"ping\",outcome=\"answered\"}", kinds(&clients, "pong")),
        ("frames_total{type=\"unknown\",outcome=\"refused\"}", 3.0),
        ("frames_total{type=\"invalid\",outcome=\"refused\"}", 2.0),
        ("refusals_total{error_code=\"unknown_type\"}", 3.0),
        ("refusals_total{error_code=\"invalid_json\"}", 2.0),
        ("refusals_total{error_code=\"not_found\"}", 1.0),
        ("queue_bytes", 0.0),
        ("commits_failed_total", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    assert_eq!(found["commit_jobs_count"], found["commit_duration_seconds_count"]);
    assert!(found["store_file_bytes"] > 0.0 && found["process_resident_memory_bytes"] > 1e6);
    let health = server.rest().get("/ws/health").await.json;
    for (name, value) in [
        ("connections", 4.0),
        ("users", 2.0),
        ("handshakes_accepted", 4.0),
        ("handshakes_refused", 1.0),
        ("errors", 6.0),
        ("events_appended", appended),
        ("events_delivered", delivered as f64),
        ("runs_active", 0.0),
        ("runs_succeeded", 3.0),
        ("runs_cancelled", 1.0),
    ] {
        assert_eq!(health["metrics"][name].as_f64(), Some(value), "{name}");
    }
    assert_eq!(ada.close(1000).await.code, Some(1000));
    server.until("a connection is closed", |server| server.connections() == 3).await;
}

#[tokio::test]
async fn what_clients_and_agents_say_adds_no_series() {
    let server = quiet().await;
    let before = samples(&server).await;
    let ada = server.user("ada").connect().await;
    for number in 0..10_000 {
        ada.send(json!({ "type": format!("odd-{number}") })).await;
    }
    let run = ada.chat_with("odd", "go").await;
    assert_eq!(ended(&server, &ada, run.run_id).await.outcome(), Some(Outcome::Success));
    for number in 0..100 {
        ada.ask(json!({ "type": "chat", "content": "hi", "agent": format!("odd-{number}") })).await;
    }
    let after = samples(&server).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert_eq!(after["frames_total{type=\"unknown\",outcome=\"refused\"}"], 10_000.0);
    assert_eq!(after["tool_calls_total{tool=\"other\",outcome=\"ok\"}"], 200.0);
}

#[tokio::test]
async fn numbers_are_for_the_networks_of_the_setting_alone() {
    let server =
        TestServer::start_with(|config| config.metrics.allow = vec!["192.0.2.0/24".to_owned()]).await;
    let refused = server.rest().get("/metrics").await;
    assert_eq!((refused.status, refused.error_code()), (403, "forbidden"));
    let health = server.rest().get("/ws/health").await;
    assert_eq!((health.status, health.json["status"].as_str()), (200, Some("healthy")));
    assert!(health.json.get("metrics").is_none() && health.json.get("config").is_none(), "{}", health.body);
}

#[tokio::test]
async fn health_tells_the_limits_in_force_and_no_secret() {
    let secret = "a secret that nobody may ever see in any answer";
    let server = TestServer::start_with(|config| {
        config.jwt.secret = secret.to_owned();
        config.limits.connections_per_user = 3;
        config.limits.heartbeat_seconds = 24.0;
    })
    .await;
    let health = server.rest().get("/ws/health").await;
    assert_eq!(health.json["config"]["limits"]["connections_per_user"], 3);
    assert_eq!(health.json["config"]["heartbeat_seconds"], 24.0);
    assert!(health.json["timestamp"].is_f64() && health.json["version"].is_string());
    assert_eq!(health.json["service"], "wireproof");
    assert!(!health.body.contains(secret));
}

#[tokio::test]
async fn connections_are_counted_to_their_end() {
    let server = quiet().await;
    let ada = server.user("ada").connect().await;
    ada.expect(frame("connection_established")).await;
    ada.drop_connection().await;
    server.until("the connection is gone", |server| server.connections() == 0).await;
    let bad = TestClient::open(server.connect().token("no token")).await.unwrap();
    assert_eq!(bad.expect_closed().await.code, Some(1008));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let found = loop {
        let found = samples(&server).await;
        if found["connection_duration_seconds_count"] == 2.0 || tokio::time::Instant::now() > deadline {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    for (name, value) in [
        ("connection_duration_seconds_count", 2.0),
        ("connections{state=\"open\"}", 0.0),
        ("connections{state=\"closing\"}", 0.0),
        ("handshakes_total{result=\"unauthenticated\"}", 1.0),
        ("connections_closed_total{code=\"1008\"}", 1.0),
        ("connections_closed_total{code=\"none\"}", 1.0),
    ] {
        assert_eq!(found[name], value, "{name}");
    }
}

/// Bug: the listening socket was closed as the drain began, so no probe ever saw that the server goes away.
#[tokio::test]
async fn a_server_that_goes_away_says_so_in_its_health_and_still_counts() {
    let mut server =
        TestServer::builder().agents([patient()]).config(|config| config.drain.seconds = 5.0).start().await;
    let ada = server.user("ada").connect().await;
    ada.chat_with("patient", "go").await;
    ada.expect("agent_started").await;
    let (rest, token, url) = (server.rest(), server.user("ada").token(), server.url());
    let going = tokio::spawn(async move { server.shutdown().await });
    ada.expect("go_away").await;
    let health = rest.get("/ws/health").await;
    assert_eq!((health.status, health.json["status"].as_str()), (503, Some("unhealthy")), "{}", health.body);
    assert_eq!(health.json["reasons"], json!(["draining"]));
    assert_eq!(rest.get("/ready").await.status, 503);
    assert!(TestClient::open(Connect::to(url).token(token)).await.is_err());
    let metrics = rest.get("/metrics").await;
    assert!(metrics.body.contains("wireproof_handshakes_total{result=\"draining\"} 1\n"), "{}", metrics.body);
    going.await.unwrap();
}
