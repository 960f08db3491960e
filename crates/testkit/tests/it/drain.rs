//! Going away without a storm: closes that are spread, runs that keep their streams, and health to the last.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use wireproof_client::{Connect, OpenError};
use wireproof_protocol::Outcome;
use wireproof_testkit::{Rest, TestServer};

use crate::acting::patient;

const SPREAD: Duration = Duration::from_secs(5);
const BIN: Duration = Duration::from_millis(500);

/// Each tenth of the time sees its share of closes, and everybody is back on the next server without a loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_thousand_connections_are_closed_evenly_and_all_come_back() {
    let mut server = TestServer::start_with(|config| {
        config.drain.spread_seconds = SPREAD.as_secs_f64();
        // They come all at once, to be sent away one by one.
        (config.limits.handshakes_per_second, config.limits.handshakes_in_progress) = (0, 0);
    })
    .await;
    let users: Vec<_> = (0..100).map(|number| server.user(&format!("user-{number}"))).collect();
    let mut clients = join_all(users.iter().flat_map(|user| (0..10).map(|_| user.connect()))).await;
    let runs = join_all(clients.iter().step_by(50).map(|client| client.chat("What is 17*23?"))).await;
    for (client, run) in clients.iter().step_by(50).zip(&runs) {
        client.expect_run_completed(run.run_id).await;
    }
    let begun = Instant::now();
    let restarting = tokio::spawn(async move {
        server.restart().await;
        server
    });
    let closed = join_all(clients.iter().map(|client| async {
        let go_away = client.expect("go_away").await;
        assert!(go_away["reconnect_after_ms"].as_u64().unwrap() <= SPREAD.as_millis() as u64);
        assert_eq!(client.expect_closed().await.code, Some(1012));
        begun.elapsed()
    }))
    .await;
    let server = restarting.await.unwrap();
    let mut bins = [0u32; 10];
    for time in &closed {
        bins[((time.as_secs_f64() / BIN.as_secs_f64()) as usize).min(9)] += 1;
    }
    let expected = clients.len() as f64 / bins.len() as f64;
    let chi_square: f64 = bins.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    eprintln!("closes in each {BIN:?}: {bins:?}, chi-square {chi_square:.1}");
    // Nine degrees of freedom: 27.9 is passed by chance once in a thousand times; a busy machine gets some more.
    assert!(chi_square < 120.0 && bins.iter().all(|count| *count < 200), "{bins:?}");
    join_all(clients.iter_mut().map(|client| client.resume())).await;
    for client in &clients {
        client.expect("caught_up").await;
        client.assert_exactly_once();
    }
    assert_eq!(server.connections(), clients.len());
}

/// While it drains, what watches the server still gets through, a WebSocket does not; whoever has a run going keeps
/// its stream, and the others need not wait for it.
#[tokio::test]
async fn health_answers_and_a_run_keeps_its_stream_while_others_are_sent_away() {
    let mut server = TestServer::builder()
        .agents([patient()])
        .config(|config| (config.drain.seconds, config.drain.spread_seconds) = (4.0, 0.1))
        .start()
        .await;
    let (address, user) = (server.address(), server.user("ada"));
    let (busy, idle) = (user.connect().await, server.user("eve").connect().await);
    let run = busy.chat_with("patient", "go").await;
    let token = user.token();
    let going = tokio::spawn(async move { server.shutdown().await });
    busy.expect("go_away").await;
    assert_eq!(idle.expect_closed().await.code, Some(1012));
    assert_eq!(busy.close_code(), None, "a run's stream was cut");
    let ready = Rest::to(address).get("/ready").await.json;
    assert_eq!(ready["runs"], 1, "an idle one waited for another's run: {ready}");
    for (path, status) in [("/health", 200), ("/ready", 503), ("/metrics", 200)] {
        assert_eq!(Rest::to(address).get(path).await.status, status, "{path}");
    }
    let late = Connect::to(format!("ws://{address}/ws")).token(token).open_welcomed().await;
    let Err(OpenError::Refused { status: 503, retry_after: Some(wait), .. }) = late else {
        panic!("a WebSocket in a drain: {:?}", late.map(|_| ()))
    };
    assert!(wait >= Duration::from_secs(1));
    let run = busy.expect_run_completed(run.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    assert_eq!(busy.expect_closed().await.code, Some(1012));
    busy.assert_exactly_once();
    going.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

/// Bug: a server that was dropped without a shutdown left its connections open to the end of the runtime.
#[tokio::test]
async fn a_dropped_server_closes_what_is_open() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    drop(server);
    assert_eq!(ada.expect_closed().await.code, Some(1012));
    sleep(Duration::from_millis(1)).await;
}
