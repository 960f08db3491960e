//! One account does the worst of everything at once, beside a user who does nothing wrong.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_agents::{Emission, StatusUpdate, ToolArgumentsDelta};
use wireproof_client::Connection;
use wireproof_protocol::{EventBody, Outcome, Position, RunId, ToolCallId};
use wireproof_testkit::{ScriptedAgent, TestServer, TestUser};

use crate::wire::Wire;

/// The most that one message may store with default settings, and the most memory that one run may take.
const STORED: usize = 2 << 20;
const MEMORY_KIB: usize = 20 << 10;
/// What the agents of this test hold themselves while one speaks: a text of 4 MiB, or two of 2 MiB, and its copy in what it
/// is saying.
const AGENT_KIB: usize = 8 << 10;
/// Messages that a user may send at once, and runs that may go on at once.
const BURST: usize = 20;
const AT_ONCE: usize = 4;
/// How often the bad user reads the one thread into which a quarter of the messages go. With 8 handshakes and 20 reads over
/// HTTP this is about what the limits let pass at once.
const READS: usize = 30;
const READ: &str = "read";

fn large(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// Agents that say the worst in each way there is.
fn worst() -> Vec<ScriptedAgent> {
    let deep = (0..500).fold(json!(1), |inner, _| json!({ "a": [inner] }));
    let call = ToolCallId::new();
    let status = Emission::Status(StatusUpdate { status: "s".to_owned(), detail: Some(large(1_000)) });
    vec![
        ScriptedAgent::named("results")
            .tool("t", json!({ "a": large(2 << 20) }), json!([large(2 << 20)]))
            .times(100),
        ScriptedAgent::named("thinks").thinks(&large(200_000)).times(1_000),
        ScriptedAgent::named("streams").says(&"\u{1}".repeat(10_000)).times(1_000),
        ScriptedAgent::named("argues")
            .emits(Emission::ToolArgumentsDelta(ToolArgumentsDelta { tool_call_id: call, delta: large(999) }))
            .times(99_999),
        ScriptedAgent::named("floods").floods(status),
        ScriptedAgent::named("deep").tool("t", json!({ "deep": deep }), deep.clone()).times(1_000),
        ScriptedAgent::named("answers").answers(&large(4 << 20)),
        ScriptedAgent::named("fails").fails(&large(1 << 20), &large(4 << 20)),
    ]
}

/// Messages that were costly to the builtin agent.
fn messages() -> [String; 4] {
    [
        "Count from 1 to 1000 without pause. ".repeat(16),
        format!("{} {}", "`{` ".repeat(7_500), "get $.a, ".repeat(3_000)),
        "Search my threads for x. ".repeat(16),
        format!("How many words are in this message? {}", "a b. ".repeat(13_000)),
    ]
}

/// The most memory that this process took so far, in KiB.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What of a frame the bad user looks at. It keeps none of them: what the process takes is the server's.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    run_id: Option<RunId>,
}

/// Sends everything at once on one connection, and reads nothing on seven more. Returns the runs that were taken, when all
/// have ended and every read of a thread was answered.
async fn misbehave(server: &TestServer, bad: &TestUser, connection: &mut Connection) -> Vec<RunId> {
    let mut silent = Vec::new();
    for _ in 0..7 {
        let mut wire = Wire::dial_narrow(server.address()).await;
        wire.open(&bad.token()).await;
        silent.push(wire);
    }
    let by_agent = worst()
        .into_iter()
        .map(|agent| json!({ "agent": wireproof_agents::Agent::name(&agent), "content": large(60_000) }));
    let by_rule = messages().map(|content| json!({ "agent": "builtin", "content": content }));
    let mut frames: Vec<Value> = by_agent.chain(by_rule).cycle().take(BURST).collect();
    for (number, frame) in frames.iter_mut().enumerate() {
        (frame["type"], frame["id"]) = (json!("chat"), json!(format!("worst-{number}")));
        if number % 4 == 0 {
            frame["thread_id"] = json!(READ);
        }
        connection.send_text(frame.to_string()).await.unwrap();
    }
    for number in 0..READS {
        let read = json!({
            "type": "get_thread_history", "thread_id": READ, "limit": 100, "id": format!("read-{number}")
        });
        connection.send_text(read.to_string()).await.unwrap();
    }
    for _ in 0..READS {
        connection.send_text("{\"type\":").await.unwrap();
    }
    let rest = bad.rest();
    let listed = join_all((0..20).map(|_| rest.get("/api/threads?limit=100"))).await;
    assert!(listed.iter().any(|listed| listed.status == 200));
    let (mut answers, mut reads, mut runs, mut ended) = (0, 0, Vec::new(), HashSet::new());
    while answers < BURST || reads < READS || !runs.iter().all(|run| ended.contains(run)) {
        let text = connection.recv_text(Duration::from_secs(60)).await.unwrap();
        let head: Head = serde_json::from_str(&text).unwrap();
        if head.id.as_ref().is_some_and(|id| id.starts_with("worst-")) {
            answers += 1;
            runs.extend(head.run_id);
        } else if head.id.is_some_and(|id| id.starts_with("read-")) {
            assert_eq!(head.kind, "thread_history", "{}", wireproof_protocol::cut_chars(&text, 300));
            reads += 1;
        } else if head.kind == "agent_completed" {
            ended.extend(head.run_id);
        }
    }
    drop(silent);
    runs
}

/// One message stored up to 244 MB and took up to 680 MB of memory; another user's write waited 6.5 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn heavy_one_account_does_the_worst_and_the_other_user_does_not_notice() {
    let agents = worst().into_iter().map(|script| std::sync::Arc::new(script) as _).collect::<Vec<_>>();
    // No connection is closed for being far behind: the one that reads must hear every answer, and those that read nothing
    // stay a burden to the end. It is no memory of the server: what is behind is read from the log.
    let server = TestServer::builder()
        .agents(agents)
        .config(|config| config.limits.queue_hard_bytes = 1 << 30)
        .start()
        .await;
    let (bad, good) = (server.user("bad"), server.user("good"));
    let (mut worst, welcome) = server.connect().token(bad.token()).open_welcomed().await.unwrap();
    let quiet = good.connect().await.with_deadline(Duration::from_secs(60));
    let before = peak_kib();

    let behave = async {
        let mut slowest = Duration::ZERO;
        for number in 0..10 {
            let began = Instant::now();
            let run = quiet.chat(&format!("What is {number}+3?")).await;
            let run = quiet.expect_run_completed(run.run_id).await;
            assert_eq!(run.outcome(), Some(Outcome::Success));
            assert!(run.final_response().unwrap().contains(&format!("= {}.", number + 3)));
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (runs, slowest) = tokio::join!(misbehave(&server, &bad, &mut worst), behave);
    server.idle().await;

    assert!(slowest < Duration::from_secs(5), "a run of the good user took {slowest:?}");
    // One message alone took 680 MB.
    let took = peak_kib() - before;
    let most = AT_ONCE * (MEMORY_KIB + AGENT_KIB);
    assert!(took < most, "{took} KiB of memory, at most {most}");
    assert!((AT_ONCE..=BURST).contains(&runs.len()), "{} runs", runs.len());
    let log = server.user("bad").connect_at(Position { epoch: welcome.epoch, seq: 0 }).await;
    log.barrier().await;
    for run_id in runs {
        let run = log.run(run_id);
        run.check().unwrap();
        let bytes: usize = run.events.iter().map(|event| serde_json::to_string(event).unwrap().len()).sum();
        assert!(bytes < STORED, "{bytes} bytes of {:?}", run.kinds().last());
        let ends = run.events.iter().filter(|event| matches!(event.body, EventBody::AgentCompleted { .. }));
        assert_eq!(ends.count(), 1);
    }
    assert!(files_bytes(server.data_dir()) < BURST * STORED + (48 << 20));
}

/// The bytes of all files of the store.
fn files_bytes(folder: &std::path::Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len() as usize).sum()
}
