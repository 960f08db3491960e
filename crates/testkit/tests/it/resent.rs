//! A request that the client sends again on its next connection, and that a limit refuses there: it waits and goes out
//! once more, whatever became of it the first time.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio::time::timeout;
use wireproof_client::{Backoff, Client, ClientError, Connect, GiveUp, Update};
use wireproof_faultproxy::{Fault, FaultProxy, Toxic};
use wireproof_protocol::{ClientFrame, Control, ControlBody, ErrorCode, RequestId};
use wireproof_testkit::{TestClient, TestServer, TestUser};

use crate::acting::patient;

const WITHIN: Duration = Duration::from_secs(20);

/// A server that takes one message of a user every four seconds.
async fn slow_server() -> (TestServer, TestUser, TestClient) {
    let server = TestServer::start_with(|config| {
        (config.limits.messages_per_minute, config.limits.message_burst) = (15, 1);
    })
    .await;
    let user = server.user("ada");
    let observer = user.connect().await;
    (server, user, observer)
}

async fn open(connect: Connect) -> Client {
    let backoff = Backoff { first: Duration::from_millis(20), ..Backoff::default() };
    Client::connect(connect, backoff).await.expect("a connection")
}

fn chat() -> ClientFrame {
    ClientFrame::Chat { content: "What is 2+3?".into(), thread_id: None, agent: None }
}

async fn answer(client: &mut Client, id: &RequestId) -> Box<Control> {
    loop {
        match client.next(WITHIN).await.expect("the client goes on") {
            Update::Control(control) if control.id.as_ref() == Some(id) => return control,
            _ => {}
        }
    }
}

/// The request was refused on its second connection, and its answer is that it was accepted all the same.
async fn assert_accepted_after_a_refusal(server: &TestServer, client: &mut Client, id: &RequestId) {
    let answer = answer(client, id).await;
    assert!(matches!(answer.body, ControlBody::Accepted { .. }), "{answer:?}");
    assert!(has_refused(server, "rate_limited").await, "no resent request was refused");
}

/// True once the server has refused something with this code.
async fn has_refused(server: &TestServer, code: &str) -> bool {
    let metrics = server.rest().get("/metrics").await.body;
    let name = format!("wireproof_refusals_total{{error_code=\"{code}\"}} ");
    metrics.lines().filter_map(|line| line.strip_prefix(&name)).any(|count| count != "0")
}

/// The refusal was handed over as the answer of a request whose run was going on.
#[tokio::test]
async fn a_request_that_was_carried_out_is_not_answered_by_the_limit() {
    let (server, user, observer) = slow_server().await;
    let mut client = open(user.connection()).await;
    let id = client.request(&chat()).await.unwrap();
    observer.expect("message_created").await;
    client.cut();
    assert_accepted_after_a_refusal(&server, &mut client, &id).await;
    server.idle().await;
    observer.barrier().await;
    assert_eq!(observer.state().runs.len(), 1, "{}", observer.table());
}

/// The refusal was handed over, and nobody carried the request out.
#[tokio::test]
async fn a_request_that_got_lost_is_carried_out_when_the_limit_lets_it() {
    let (server, user, observer) = slow_server().await;
    let proxy = FaultProxy::start(server.address(), 1).await.expect("a proxy");
    let mut client = open(Connect::to(proxy.url("/ws")).token(user.token())).await;
    let lost = proxy.add(Toxic::to_server(Fault::Drop).times(1));
    let id = client.request(&chat()).await.unwrap();
    server
        .until("the request is lost", |_| proxy.journal().iter().any(|entry| entry.toxic == Some(lost)))
        .await;
    proxy.remove(lost);
    observer.chat("What is 1+1?").await;
    client.cut();
    assert_accepted_after_a_refusal(&server, &mut client, &id).await;
    server.idle().await;
    observer.barrier().await;
    assert_eq!(observer.state().runs.len(), 2, "{}", observer.table());
}

#[tokio::test]
async fn a_refusal_of_a_request_that_was_sent_once_is_its_answer() {
    let (_server, user, _observer) = slow_server().await;
    let mut client = open(user.connection()).await;
    let first = client.request(&chat()).await.unwrap();
    let second = client.request(&chat()).await.unwrap();
    assert!(matches!(answer(&mut client, &first).await.body, ControlBody::Accepted { .. }));
    let refused = answer(&mut client, &second).await;
    let ControlBody::Error(error) = &refused.body else { panic!("{refused:?}") };
    assert_eq!(error.error_code, ErrorCode::RateLimited);
    assert!(error.retry_after_ms.is_some_and(|wait| wait > 0), "{error:?}");
}

/// What stood behind a request that was refused and held back went through before it: a thread that was deleted last came back.
#[tokio::test]
async fn nothing_overtakes_a_request_that_is_held_back() {
    let server = TestServer::builder()
        .config(|config| (config.limits.concurrent_runs, config.limits.queued_runs) = (1, 1))
        .agents([patient()])
        .start()
        .await;
    let user = server.user("ada");
    let observer = user.connect().await;
    let full = [observer.chat_with("patient", "Run.").await, observer.chat_with("patient", "Wait.").await];
    observer.ask(json!({ "type": "create_thread", "thread_id": "plans" })).await;
    let proxy = FaultProxy::start(server.address(), 1).await.expect("a proxy");
    let mut client = open(Connect::to(proxy.url("/ws")).token(user.token())).await;
    let lost = proxy.add(Toxic::to_server(Fault::Drop).times(2));
    let thread_id = Some("plans".parse().unwrap());
    let chat = ClientFrame::Chat { content: "What is 2+3?".into(), thread_id, agent: None };
    let chat = client.request(&chat).await.unwrap();
    let delete = client.request(&ClientFrame::DeleteThread { thread_id: "plans".into() }).await.unwrap();
    let is_lost =
        |_: &TestServer| proxy.journal().iter().filter(|entry| entry.toxic == Some(lost)).count() == 2;
    server.until("both requests are lost", is_lost).await;
    proxy.remove(lost);
    client.cut();
    let (mut answers, mut is_full) = (Vec::new(), true);
    let answered = timeout(WITHIN, async {
        while answers.len() < 2 {
            match client.next(Duration::from_millis(50)).await {
                Ok(Update::Control(control)) => match control.id {
                    Some(id) if id == chat || id == delete => answers.push((id, control.body)),
                    _ => {}
                },
                // What is held back shows nothing.
                Ok(_) | Err(ClientError::Timeout(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if is_full && has_refused(&server, "too_many_runs").await {
                is_full = false;
                for run in &full {
                    observer.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
                }
            }
        }
    });
    answered.await.expect("both answers");
    let [(first, ControlBody::Accepted { .. }), (second, ControlBody::Ack { .. })] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!((first, second), (&chat, &delete));
    assert!(!is_full, "no resent request was refused");
    let threads = user.get("/api/threads").await;
    assert!(!threads.body.contains("\"plans\""), "{}", threads.body);
}

/// A call that was dropped while the socket took no more had its request sent again on the same connection.
#[tokio::test]
async fn a_call_that_is_dropped_sends_its_request_once() {
    let server = TestServer::start_with(|config| {
        let limits = &mut config.limits;
        (limits.message_bytes, limits.message_hard_bytes) = (2 << 20, 4 << 20);
        (limits.bytes_per_minute, limits.other_frames_per_minute, limits.failed_tokens_per_minute) =
            (0, 0, 0);
    })
    .await;
    let proxy = FaultProxy::start(server.address(), 1).await.expect("a proxy");
    let mut client = open(Connect::to(proxy.url("/ws")).token(server.user("ada").token())).await;
    let stalled = proxy.add(Toxic::to_server(Fault::Stall { for_ms: None }));
    // No good token, so that each is answered with an error and does nothing.
    let frame = ClientFrame::Authenticate { token: "x".repeat(1 << 20) };
    let mut requests = 1;
    while timeout(Duration::from_millis(300), client.request(&frame)).await.is_ok() {
        requests += 1;
        assert!(requests < 100, "the socket takes whatever comes");
    }
    for _ in 0..3 {
        let dropped = timeout(Duration::from_millis(50), client.next(WITHIN)).await;
        assert!(dropped.is_err(), "the socket takes more: {dropped:?}");
    }
    proxy.remove(stalled);
    let mut answers = BTreeMap::new();
    let mut ping = None;
    loop {
        if answers.len() == requests && ping.is_none() {
            ping = Some(client.request(&ClientFrame::Ping).await.unwrap());
        }
        match client.next(WITHIN).await.expect("the client goes on") {
            Update::Control(control) if control.id.is_some() && control.id == ping => break,
            Update::Control(control) if control.id.is_some() => *answers.entry(control.id).or_insert(0) += 1,
            Update::Lost { ended, .. } => panic!("{ended}"),
            _ => {}
        }
    }
    assert_eq!(answers.len(), requests, "{answers:?}");
    assert!(answers.values().all(|count| *count == 1), "{answers:?}");
}

/// The client ended for good when its old token did, though it had a new one that the server had not read yet.
#[tokio::test]
async fn a_renewal_that_comes_late_is_shown_on_the_next_connection() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 0.1).await;
    let user = server.user("ada");
    let proxy = FaultProxy::start(server.address(), 1).await.expect("a proxy");
    let brief = user.token_for(Duration::from_secs(2));
    let mut client = open(Connect::to(proxy.url("/ws")).token(brief)).await;
    proxy.add(Toxic::to_server(Fault::Drop).times(1));
    let id = client.renew(user.token()).await.unwrap();
    let reply = loop {
        match client.next(WITHIN).await.expect("the client goes on") {
            Update::Lost { ended, .. } => {
                assert_eq!(ended.code, Some(1008), "{ended}");
                proxy.clear();
            }
            Update::Control(control) if control.id.as_ref() == Some(&id) => break control,
            _ => {}
        }
    };
    assert!(matches!(reply.body, ControlBody::Ack { .. }), "{reply:?}");
}

/// A new token is tried once: when the server turns it away as well, the client ends.
#[tokio::test]
async fn a_renewal_with_a_bad_token_ends_with_the_old_one() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 0.1).await;
    let brief = server.user("ada").token_for(Duration::from_secs(2));
    let mut client = open(Connect::to(server.url()).token(brief)).await;
    client.renew("nonsense").await.unwrap();
    let mut losses = 0;
    let error = loop {
        match client.next(WITHIN).await {
            Ok(Update::Lost { .. }) => losses += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ClientError::Over { why: GiveUp::Told(1008), .. }), "{error}");
    assert_eq!(losses, 1);
}
