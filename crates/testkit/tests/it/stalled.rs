//! Clients that do not read: they cost a bounded amount of memory, slow nobody down, are sent away, and lose nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_agents::Agent;
use wireproof_protocol::{Event, Position, ToolCallId};
use wireproof_server::Config;
use wireproof_testkit::{TestClient, TestServer, TestUser, event};

use crate::{
    acting::{acting, answer, completed_with, executing, work},
    wire::{CLOSE, Wire},
};

/// Bytes of events that wait for a slow client before it is served from the log.
const SOFT: usize = 16 << 10;
/// Bytes that a slow client may be behind before it is sent away.
const HARD: usize = 64 << 10;

/// Says about `pieces` times 3 KiB, with a moment between.
fn chatty(name: &'static str, pieces: usize, pause_ms: u64) -> Arc<dyn Agent> {
    acting(name, move |context| async move {
        for _ in 0..pieces {
            let call = ToolCallId::new();
            context.emit(executing(call, "print")).await?;
            context.emit(completed_with(call, "print", Ok(Value::String("x".repeat(2600))))).await?;
            work(pause_ms).await;
        }
        answer("done")
    })
}

/// A run that says more than others may.
fn unbounded_runs(config: &mut Config) {
    (config.limits.run_bytes, config.limits.run_events, config.limits.run_tools) = (0, 0, 0);
}

async fn slow_consumers(server: &TestServer) -> u64 {
    let metrics = server.rest().get("/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("wireproof_slow_consumers_total "));
    line.unwrap_or_else(|| panic!("no such counter in\n{metrics}")).parse().unwrap()
}

/// Reads all that a slow client still gets: its events, and the code of the close if one comes.
async fn read_out(wire: &mut Wire) -> (Vec<Event>, Option<u16>) {
    let (mut events, mut text) = (Vec::new(), Vec::new());
    while let Some(frame) = wire.frame().await {
        if frame.opcode == CLOSE {
            return (events, frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
        }
        text.extend(&frame.payload);
        // A frame that is not the last fragment does not parse alone.
        if let Ok(event) = serde_json::from_slice::<Event>(&text) {
            events.push(event);
            text.clear();
        } else if serde_json::from_slice::<Value>(&text).is_ok() {
            text.clear();
        }
    }
    (events, None)
}

/// Resumes where a slow client stopped and checks that both parts together are the whole log.
async fn resumes_completely(user: &TestUser, witness: &TestClient, read: &[Event]) {
    let last = read.last().map_or(0, |event| event.seq);
    let numbers: Vec<u64> = read.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "what was read has no hole");
    let resumed = user.connect_at(Position { epoch: witness.welcome().epoch, seq: last }).await;
    let caught_up = resumed.expect("caught_up").await;
    resumed.barrier().await;
    witness.barrier().await;
    resumed.assert_exactly_once();
    let rest: Vec<_> = witness.events().into_iter().filter(|event| event.seq > last).collect();
    assert!(caught_up["seq"].as_u64() >= Some(last));
    assert_eq!(resumed.events(), rest, "the rest of the log");
}

/// Bug: the kernel took 2.6 MB for a client that never read, and only what came after that counted as waiting.
/// One slow client, in full: sent away with 4008, told so when it reads again, and served the rest when it is back.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed_with_4008_and_resumes_completely() {
    let server = TestServer::builder()
        .agents([chatty("chatty", 400, 0)])
        .config(unbounded_runs)
        .config(|config| {
            config.limits.queue_soft_bytes = SOFT;
            config.limits.queue_hard_bytes = HARD;
        })
        .start()
        .await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let mut slow = Wire::dial_narrow(server.address()).await;
    slow.open(&user.token()).await;
    let run = witness.chat_with("chatty", "go").await;
    server.until("the slow one is sent away", |server| server.connections() == 1).await;
    assert_eq!(slow_consumers(&server).await, 1);
    let (read, code) = read_out(&mut slow).await;
    assert_eq!(code, Some(4008));
    witness.expect_run_completed(run.run_id).await;
    let on_its_way: usize = read.iter().map(|event| serde_json::to_string(event).unwrap().len()).sum();
    assert!(on_its_way < 256 << 10, "{on_its_way} bytes were out before the client counted as slow");
    resumes_completely(&user, &witness, &read).await;
    witness.assert_exactly_once();
}

/// A client that is behind but reads again in time is never closed and misses nothing: it is served from the log.
#[tokio::test]
async fn a_client_that_reads_again_in_time_catches_up_from_the_log() {
    let server = TestServer::builder()
        .agents([chatty("chatty", 400, 0)])
        .config(unbounded_runs)
        .config(|config| config.limits.queue_soft_bytes = SOFT)
        .config(|config| config.limits.queue_hard_bytes = 64 << 20)
        .start()
        .await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let mut slow = Wire::dial_narrow(server.address()).await;
    slow.open(&user.token()).await;
    let run = witness.chat_with("chatty", "go").await;
    witness.expect_run_completed(run.run_id).await;
    let all = witness.events();
    let mut last = 0;
    while last < all.last().unwrap().seq {
        let frame = slow.frame().await.expect("the connection lives");
        if let Ok(event) = serde_json::from_slice::<Event>(&frame.payload) {
            assert_eq!(event.seq, last + 1);
            last = event.seq;
        }
    }
    assert_eq!((slow_consumers(&server).await, server.connections()), (0, 2));
}

/// Bug: the clock of a stall was read only when something else happened to the connection, and nothing did.
/// A client that takes nothing at all for too long is sent away, however little waits for it.
#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_closed_with_4008() {
    let server = TestServer::builder()
        .agents([chatty("chatty", 400, 0)])
        .config(unbounded_runs)
        .config(|config| {
            config.limits.queue_hard_bytes = 64 << 20;
            // Longer than a busy machine keeps the witness from reading.
            config.limits.stall_seconds = 1.0;
        })
        .start()
        .await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let mut slow = Wire::dial_narrow(server.address()).await;
    slow.open(&user.token()).await;
    let run = witness.chat_with("chatty", "go").await;
    witness.expect_run_completed(run.run_id).await;
    server.until("the slow one is sent away", |server| server.connections() == 1).await;
    let (read, code) = read_out(&mut slow).await;
    assert_eq!(code, Some(4008));
    resumes_completely(&user, &witness, &read).await;
}

/// The process's memory in bytes: of the server, and of the test beside it.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const USERS: usize = 100;
const STALLED_PER_USER: usize = 10;
/// What a stalled connection may cost: its queue, a page of the log, the socket's buffers, and as much again for its
/// task and what the allocator keeps.
const BOUND_PER_CONNECTION: usize = 2 * (SOFT + (16 << 10));

/// Runs of a user who reads, one after the other for as long as the others work; their times, sorted.
async fn latencies(reader: &TestClient, until: impl Fn() -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !until() || times.len() < 100 {
        let began = Instant::now();
        let run = reader.chat("What is 17*23?").await;
        reader.expect(event("agent_completed").of_run(run.run_id)).await;
        times.push(began.elapsed());
    }
    times.sort();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// All users' agents at work while a reader is served: the reader's times, and the most memory meanwhile.
async fn busy_phase(server: &TestServer, users: &[TestUser], reader: &TestClient) -> (Vec<Duration>, usize) {
    let set_to_work = users.iter().map(|user| async {
        let thread = user.post("/api/threads", json!({})).await;
        let path = format!("/api/threads/{}/messages", thread.json["thread_id"].as_str().unwrap());
        let accepted = user.post(&path, json!({ "content": "go", "agent": "chatty" })).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
    });
    join_all(set_to_work).await;
    let most = std::sync::atomic::AtomicUsize::new(0);
    let over = || {
        most.fetch_max(resident(), std::sync::atomic::Ordering::Relaxed);
        // The reader's own run is over when it asks.
        server.runs() == 0
    };
    let times = latencies(reader, over).await;
    (times, most.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_thousand_clients_that_never_read() {
    let server = TestServer::builder()
        .agents([chatty("chatty", 100, 30)])
        .config(|config| {
            config.limits.messages_per_minute = 0;
            config.limits.other_frames_per_minute = 0;
            config.limits.queue_soft_bytes = SOFT;
            config.limits.queue_hard_bytes = HARD;
        })
        .start()
        .await;
    let users: Vec<_> = (0..USERS).map(|number| server.user(&format!("user-{number}"))).collect();
    let reader = server.user("reader").connect().await;
    // Once to warm up, then without and with the stalled.
    busy_phase(&server, &users[..10], &reader).await;
    let (without, without_memory) = busy_phase(&server, &users, &reader).await;
    let mut stalled = Vec::new();
    for user in &users {
        let token = user.token();
        for _ in 0..STALLED_PER_USER {
            let mut wire = Wire::dial_narrow(server.address()).await;
            wire.open(&token).await;
            stalled.push(wire);
        }
    }
    assert_eq!(server.connections(), 1 + USERS * STALLED_PER_USER);
    let before = resident();
    let (with, with_memory) = busy_phase(&server, &users, &reader).await;
    server.until("all stalled are sent away", |server| server.connections() == 1).await;
    let closed = slow_consumers(&server).await;
    let bound = USERS * STALLED_PER_USER * BOUND_PER_CONNECTION;
    let grown = with_memory.saturating_sub(before);
    println!(
        "a reader's run without stalled clients: p50 {:?} p99 {:?} of {}, with {}: p50 {:?} p99 {:?} of {}; \
         memory {} MiB before, {} MiB at most without, grown by {} MiB with them (bound {} MiB); {closed} sent away",
        percentile(&without, 50),
        percentile(&without, 99),
        without.len(),
        stalled.len(),
        percentile(&with, 50),
        percentile(&with, 99),
        with.len(),
        before >> 20,
        without_memory >> 20,
        grown >> 20,
        bound >> 20,
    );
    assert_eq!(closed as usize, USERS * STALLED_PER_USER);
    assert!(grown < bound, "{grown} bytes more, {bound} allowed");
    let guard = 5 * percentile(&without, 99) + Duration::from_millis(100);
    assert!(
        percentile(&with, 99) < guard,
        "p99 {:?} with stalled clients, {guard:?} allowed",
        percentile(&with, 99)
    );
    reader.barrier().await;
    reader.assert_exactly_once();
    // Each of them gets what was on its way, and the rest when it comes back.
    for (number, user) in users.iter().enumerate().step_by(10) {
        let (read, _) = read_out(&mut stalled[number * STALLED_PER_USER]).await;
        let first = read.first().map(|event| event.seq).expect("some events were on their way");
        let witness =
            user.connect_at(Position { epoch: user.connect().await.welcome().epoch, seq: first - 1 }).await;
        witness.expect("caught_up").await;
        let last = read.last().map_or(0, |event| event.seq);
        let again = user.connect_at(Position { epoch: witness.welcome().epoch, seq: last }).await;
        again.expect("caught_up").await;
        let whole: Vec<_> = read.into_iter().chain(again.events()).collect();
        assert_eq!(whole, witness.events(), "what was read and what was resumed are the whole log");
    }
}
