//! The judge where it is easily wrong: with the users of others, beside another judge, and before a server that means it no
//! good.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use wireproof_judge::{
    check::{CheckContext, Credentials, Embedded, Judge, ProgressEvent, Target},
    profile::Profile,
    record::HistoryRecorder,
    report::{Report, Verdict, json},
};
use wireproof_server::auth::keys::KEY_FILE;
use wireproof_testkit::TestServer;

async fn judged(target: &Target, only: &[&str]) -> Report {
    let only = only.iter().map(|name| (*name).to_owned()).collect();
    Judge { only, quick: true, ..Judge::new(9) }.run(target, |_| {}).await
}

fn told(report: &Report, verdict: Verdict) -> Vec<String> {
    report.of(verdict).map(|check| format!("{}: {}", check.id, check.what)).collect()
}

/// All that a report and its history say.
fn written(report: &Report) -> String {
    let histories: Vec<_> = report.checks.iter().map(|check| &check.history).collect();
    format!("{}{}", json::write(report), serde_json::to_string(&histories).unwrap())
}

/// The judge as one who has the key of a server.
fn with_the_key(server: &TestServer) -> Target {
    let key = std::fs::read_to_string(server.data_dir().join(KEY_FILE)).unwrap();
    let key = key.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let key = key.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    Target::new(&server.url(), Profile::find("wireproof").unwrap(), Credentials::Secret(key)).unwrap()
}

/// Two judges of one seed were the same users: each found connections, runs and rates used up by the other, and both said
/// that a sound server was broken.
#[tokio::test]
async fn two_judges_of_one_seed_are_not_in_each_others_way() {
    let server = TestServer::start().await;
    let (one, other) = (with_the_key(&server), with_the_key(&server));
    let only = ["limits.connections", "limits.places_freed", "limits.rate", "resume.resent_request"];
    let (one, other) = tokio::join!(judged(&one, &only), judged(&other, &only));
    for report in [one, other] {
        assert_eq!(report.count(Verdict::Pass), only.len(), "{:?}", told(&report, Verdict::Fail));
    }
}

/// With the tokens of two users 56 checks failed against a sound server, as eight at once used up what these users may say.
#[tokio::test]
async fn given_users_who_may_say_no_more_break_no_promise() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 30).await;
    let users = ["alice", "bob"].map(|name| (name.to_owned(), server.user(name).token().to_owned()));
    let tokens: Vec<String> = users.iter().map(|(_, token)| token.clone()).collect();
    let profile = Profile::find("wireproof").unwrap();
    let target = Target::new(&server.url(), profile, Credentials::Tokens(users.to_vec())).unwrap();
    let report = judged(&target, &["auth.places", "auth.renewal", "events", "order"]).await;
    assert_eq!(told(&report, Verdict::Fail), Vec::<String>::new());
    assert!(report.count(Verdict::Pass) > 0, "{}", report.summary());
    let put_off = told(&report, Verdict::NotDone);
    assert!(
        put_off.iter().any(|why| why.contains("come later")),
        "nobody was told to come later: {put_off:?}"
    );

    // They renewed with these tokens, and showed them in the first frame.
    let written = written(&report);
    assert!(written.contains("[token]"), "no token was sent");
    assert!(tokens.iter().all(|token| !written.contains(token.as_str())), "a token stands in the report");
}

/// A history had the tokens that the judge signed for itself, good for an hour.
#[tokio::test]
async fn no_report_has_a_token_of_the_judges_own() {
    let server = TestServer::start().await;
    let report = judged(
        &with_the_key(&server),
        &["auth.places", "auth.renewal", "auth.refusal_silent", "race.renewal"],
    )
    .await;
    let written = written(&report);
    assert!(written.contains("[token]"), "no token was sent");
    assert!(!written.contains("eyJ"), "a token stands in the report");
}

/// A server that never stops talking took gigabytes of the judge within seconds.
#[tokio::test]
async fn a_server_that_floods_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let flooding = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
                let (mut say, _) = socket.split();
                let noise =
                    Message::text(format!("{{\"type\":\"noise\",\"of\":\"{}\"}}", "x".repeat(10_000)));
                while say.send(noise.clone()).await.is_ok() {}
            });
        }
    });
    let mut profile = Profile::find("echo").unwrap();
    profile.events.error = vec!["error".to_owned()];
    profile.timing.answer_seconds = 60.0;
    let target = Target::new(&url, profile, Credentials::None).unwrap();
    let report = judged(&target, &["errors.connection_survives"]).await;
    let failed = told(&report, Verdict::Fail);
    assert!(failed.iter().all(|why| why.contains("cut by the judge")), "{failed:?}");
    assert_eq!(failed.len(), 1, "{}", report.summary());
    let kept: usize = report.checks.iter().flat_map(|check| &check.history).map(|op| op.text.len()).sum();
    assert!(kept < 12 << 20, "{kept} bytes were kept");
    flooding.abort();
}

/// A server of a test's own: each connection is a WebSocket that `serve` has.
async fn serving<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + 'static,
) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let serve = std::sync::Arc::new(serve);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = serve.clone();
            tokio::spawn(async move {
                if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                    serve(socket).await;
                }
            });
        }
    });
    (url, accepting)
}

fn echo_at(url: &str) -> Target {
    Target::new(url, Profile::find("echo").unwrap(), Credentials::None).unwrap()
}

/// Small frames without end, read by hand, took 7.7 GB of the judge, who then died without a word.
#[tokio::test]
async fn small_frames_without_end_end_each_check_of_the_protocol() {
    let (url, flooding) = serving(async |socket: WebSocketStream<TcpStream>| {
        let (mut say, _) = socket.split();
        while say.send(Message::text("{}")).await.is_ok() {}
    })
    .await;
    let only = ["protocol.masks", "protocol.pong"];
    let judge = Judge { only: only.map(str::to_owned).to_vec(), users: 2, ..Judge::new(9) };
    let report = judge.run(&echo_at(&url), |_| {}).await;
    let told: Vec<&str> = report.checks.iter().map(|check| check.what.as_str()).collect();
    assert!(told.iter().all(|what| what.contains("cut by the judge")), "{told:?}");
    assert_eq!(report.count(Verdict::Pass), 0, "{}", report.summary());
    let kept: usize = report.checks.iter().map(|check| check.history.len()).sum();
    assert!(kept < 5000, "{kept} ops were kept");
    flooding.abort();
}

/// A server that closed every connection at once passed five checks of frames: each of them had been refused.
#[tokio::test]
async fn who_closes_every_connection_has_refused_nothing() {
    let (url, closing) = serving(async |mut socket: WebSocketStream<TcpStream>| {
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let report = judged(&echo_at(&url), &["protocol", "errors"]).await;
    let passed: Vec<&str> = report.of(Verdict::Pass).map(|check| check.id.as_str()).collect();
    // It shakes hands as it must.
    assert_eq!(passed, ["protocol.accept_key"]);
    let undone = told(&report, Verdict::NotDone);
    for id in ["masks", "reserved", "control_frames", "continuation", "utf8", "close", "close_codes"] {
        let id = format!("protocol.{id}: what is right is not served either");
        assert!(undone.iter().any(|why| why.starts_with(&id)), "{id} is not in {undone:?}");
    }
    closing.abort();
}

/// An echo that ends a connection with these bytes once something is wrong with a frame.
async fn refusing_with(close: &'static [u8]) -> (String, JoinHandle<()>) {
    serving(move |mut socket: WebSocketStream<TcpStream>| async move {
        loop {
            match socket.next().await {
                Some(Ok(message)) if message.is_text() => drop(socket.send(message).await),
                Some(Ok(_)) => {}
                Some(Err(_)) => {
                    let _ = socket.get_mut().write_all(close).await;
                    return;
                }
                None => return,
            }
        }
    })
    .await
}

/// Whatever a server closed with counted as a refusal, also a code that no close may carry, and the one that says that all
/// is well.
#[tokio::test]
async fn the_close_by_which_a_server_refuses_is_judged_as_well() {
    let cases: [(&[u8], Verdict, &str); 4] = [
        (&[0x88, 2, 0x03, 0xea], Verdict::Pass, "close 1002"),
        (&[0x88, 2, 0x03, 0xee], Verdict::Fail, "1006 may not be sent"),
        (&[0x88, 2, 0x03, 0xe8], Verdict::Fail, "as if all were well"),
        (&[0x88, 1, 0x03], Verdict::Fail, "one byte"),
    ];
    for (close, verdict, word) in cases {
        let (url, serving) = refusing_with(close).await;
        let report = judged(&echo_at(&url), &["protocol.masks"]).await;
        let check = &report.checks[0];
        assert!(check.verdict == verdict && check.what.contains(word), "{close:?}: {check:?}");
        serving.abort();
    }
}

/// Where the profile's question was always the same, a check that wanted several looked for another one for ever, and could
/// not even be stopped.
#[test]
fn a_question_that_is_always_the_same_is_not_waited_out() {
    let mut profile = Profile::find("wireproof").unwrap();
    profile.prompts.tool = Some("What is 6*7?".to_owned());
    profile.prompts.tool_answer = Some("42".to_owned());
    let target = Target::new("ws://127.0.0.1:1", profile, Credentials::None).unwrap();
    let context = CheckContext::new(&target, HistoryRecorder::new(), "events.answer", 1, 2);
    assert_eq!(context.sums(1).unwrap().len(), 1);
    let why = context.sums(3).unwrap_err().to_string();
    assert!(why.contains("{a} and {b}"), "{why}");
}

/// Somebody on another task hears of each check as it begins and ends, in values that outlive the run.
#[tokio::test]
async fn progress_is_told_through_a_channel() {
    let embedded = Embedded::start().await.unwrap();
    let only = ["health.answers", "connect.welcome_first"].map(str::to_owned).to_vec();
    let judge = Judge { only, ..Judge::new(3) };
    let (events, mut heard) = judge.progress_channel();
    let listener = tokio::spawn(async move {
        let (mut began, mut ended) = (Vec::new(), Vec::new());
        while let Some(event) = heard.recv().await {
            match event {
                ProgressEvent::Began(id) => began.push(id),
                ProgressEvent::Ended(result) => ended.push((result.id, result.verdict)),
            }
        }
        (began, ended)
    });
    let report = judge.run_and_tell(&embedded.target, events).await;
    let (mut began, mut ended) = listener.await.unwrap();
    let mut expected: Vec<_> = report.checks.iter().map(|check| (check.id.clone(), check.verdict)).collect();
    began.sort();
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!((ended, expected.len()), (expected.clone(), 2));
    assert_eq!(began, expected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
}
