//! A request that the client sends again on its next connection, and that a limit refuses there: it waits and goes out
//! once more, whatever became of it the first time.

use std::time::Duration;

use wireproof_client::{Backoff, Client, Connect, Update};
use wireproof_faultproxy::{Fault, FaultProxy, Toxic};
use wireproof_protocol::{ClientFrame, Control, ControlBody, ErrorCode, RequestId};
use wireproof_testkit::{TestClient, TestServer, TestUser};

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
    let metrics = server.rest().get("/metrics").await.body;
    let refusals = metrics
        .lines()
        .find_map(|line| line.strip_prefix("wireproof_refusals_total{error_code=\"rate_limited\"} "));
    assert!(refusals.is_some_and(|count| count != "0"), "no resent request was refused: {refusals:?}");
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
