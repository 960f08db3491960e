//! Autobahn's 517 cases, by kosoku, against echoes on the very code that serves: the server's handshake, socket and
//! codec settings, and the client's connection. What is above them, such as the refusal of bytes, is `rfc6455`'s.

mod echo_client;
mod echo_server;

use std::{collections::BTreeMap, env, path::Path, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

/// Longer than all cases take together.
const WITHIN: Duration = Duration::from_secs(500);

/// What an echo sends back for a message.
type Answer = fn(Message) -> Message;

/// What the judge says about all cases.
#[derive(Debug, Deserialize)]
struct Verdicts {
    failed: bool,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    behavior: String,
    close: String,
    passed: bool,
    /// For whoever reads a failure.
    #[expect(dead_code, reason = "it is printed")]
    why: String,
}

/// Starts the judge on one side.
fn judge(words: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let python = env::var_os("WIREPROOF_PYTHON").expect("WIREPROOF_PYTHON is set by cargo");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/judge.py")).args(words);
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut judge = command.spawn().expect("`cargo xtask setup` installs what this test needs");
    let stdout = judge.stdout.take().unwrap();
    (judge, BufReader::new(stdout))
}

async fn verdicts(judge: &mut Child, mut stdout: BufReader<ChildStdout>) -> Verdicts {
    let mut text = String::new();
    let ended = timeout(WITHIN, async {
        stdout.read_to_string(&mut text).await.unwrap();
        judge.wait().await.unwrap()
    });
    let status = ended.await.expect("the judge ends in time");
    assert!(
        status.success(),
        "the judge ended with {status} (`cargo xtask setup` installs what it needs): {text}"
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn of_server(answer: Answer, cases: &[&str]) -> Verdicts {
    let address = echo_server::start(answer).await;
    let url = format!("ws://{address}");
    let (mut judge, stdout) = judge(&[&["server", url.as_str()], cases].concat());
    verdicts(&mut judge, stdout).await
}

async fn of_client(answer: Answer, cases: &[&str]) -> Verdicts {
    let (mut judge, mut stdout) = judge(&[&["client"], cases].concat());
    let mut address = String::new();
    timeout(WITHIN, stdout.read_line(&mut address)).await.expect("the judge serves in time").unwrap();
    let (_, verdicts) = tokio::join!(echo_client::run(address.trim(), answer), verdicts(&mut judge, stdout));
    verdicts
}

/// How many cases got which verdict: every case passed, or is about compression, which is never agreed on, and was
/// seen to be closed in order.
fn acceptable(verdicts: &Verdicts) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for case in &verdicts.cases {
        *counts.entry(case.behavior.as_str()).or_default() += 1;
        let compresses = case.id.starts_with("12.") || case.id.starts_with("13.");
        let unimplemented = compresses && case.behavior == "UNIMPLEMENTED" && case.close == "OK";
        assert!(case.passed || unimplemented, "{case:?}");
    }
    assert_eq!(verdicts.cases.len(), 517);
    format!("{counts:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_every_case_of_autobahn_against_the_server() {
    println!("server: {}", acceptable(&of_server(|message| message, &[]).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_every_case_of_autobahn_against_the_client() {
    println!("client: {}", acceptable(&of_client(|message| message, &[]).await));
}

/// The judge is no friend: an echo that is none fails, on either side, where a right one passes.
#[tokio::test(flavor = "multi_thread")]
async fn the_judge_fails_who_answers_wrongly() {
    let right = |message| message;
    for verdicts in [of_server(right, &["1.1.2"]).await, of_client(right, &["1.1.2"]).await] {
        assert!(!verdicts.failed && verdicts.cases.len() == 1, "{verdicts:?}");
    }
    let wrong = |_| Message::text("something else");
    for verdicts in [of_server(wrong, &["1.1.2"]).await, of_client(wrong, &["1.1.2"]).await] {
        let [case] = verdicts.cases.as_slice() else { panic!("{verdicts:?}") };
        assert!(verdicts.failed && !case.passed && case.behavior == "FAILED", "{verdicts:?}");
    }
}
