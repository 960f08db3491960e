//! The client against words of a later server: the real server stands behind a proxy that says them in place of known
//! ones. Whatever the protocol may gain, a client goes on, and no request goes out twice for it.

use std::time::Duration;

use wireproof_client::{Backoff, Client, ClientError, Connect, Update};
use wireproof_faultproxy::{Fault, FaultProxy, Toxic};
use wireproof_protocol::{ClientFrame, ControlBody, ErrorCode, EventBody, Outcome, RequestId, UserState};
use wireproof_testkit::TestServer;

const WITHIN: Duration = Duration::from_secs(10);

/// A server, and a proxy before it that says `with` where the server says `find`.
async fn later_server(find: &str, with: &str) -> (TestServer, FaultProxy) {
    let server = TestServer::start().await;
    let proxy = FaultProxy::start(server.address(), 1).await.expect("a proxy");
    proxy.add(Toxic::to_client(Fault::Replace { find: find.to_owned(), with: with.to_owned() }));
    (server, proxy)
}

async fn client(server: &TestServer, proxy: &FaultProxy) -> Client {
    let token = server.user("ann").token();
    let backoff = Backoff { first: Duration::from_millis(20), ..Backoff::default() };
    Client::connect(Connect::to(proxy.url("/ws")).token(token), backoff).await.expect("a connection")
}

fn chat(content: &str) -> ClientFrame {
    ClientFrame::Chat { content: content.into(), thread_id: None, agent: None }
}

/// The answers and errors until the answer to a ping that is sent now.
async fn controls_until_pong(client: &mut Client) -> Vec<(Option<RequestId>, ControlBody)> {
    let ping = client.request(&ClientFrame::Ping).await.expect("a request");
    let mut controls = Vec::new();
    loop {
        match client.next(WITHIN).await.expect("the client goes on") {
            Update::Control(control) if control.id.as_ref() == Some(&ping) => return controls,
            Update::Control(control) => controls.push((control.id, control.body)),
            _ => {}
        }
    }
}

/// An error code of a later server failed the whole frame, and the request was sent again on every reconnect.
#[tokio::test]
async fn an_unknown_error_code_is_the_answer_of_its_request() {
    let (server, proxy) = later_server(r#""error_code":"not_found""#, r#""error_code":"moved_away""#).await;
    let mut client = client(&server, &proxy).await;
    let frame = ClientFrame::CancelRun { run_id: "01890000-0000-7000-8000-000000000000".into() };
    let id = client.request(&frame).await.unwrap();
    let answers = controls_until_pong(&mut client).await;
    let [(Some(answered), ControlBody::Error(error))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answered, error.error_code), (&id, ErrorCode::Unknown));
    client.cut();
    let after = controls_until_pong(&mut client).await;
    assert!(after.iter().all(|(id, _)| id.is_none()), "the request went out again: {after:?}");
}

/// An outcome of a later server ended the client's reading of the run.
#[tokio::test]
async fn an_unknown_outcome_ends_its_run() {
    let (server, proxy) = later_server(r#""outcome":"success""#, r#""outcome":"handed_over""#).await;
    let mut client = client(&server, &proxy).await;
    client.request(&chat("What is 2+2?")).await.unwrap();
    let outcome = loop {
        if let Update::Event(event) = client.next(WITHIN).await.unwrap()
            && let EventBody::AgentCompleted { outcome, .. } = event.body
        {
            break outcome;
        }
    };
    assert_eq!(outcome, Outcome::Unknown);
}

/// An event of an unknown type left a hole in the client's numbers: it resumed, met the event again, and gave up.
#[tokio::test]
async fn an_unknown_event_counts_and_is_shown_once() {
    let (server, proxy) = later_server(r#""type":"agent_thinking""#, r#""type":"agent_pondering""#).await;
    let mut client = client(&server, &proxy).await;
    let mut state = UserState::starting_at(client.welcome().seq);
    client.request(&chat("What is 2+2?")).await.unwrap();
    let mut unknown = 0;
    loop {
        match client.next(WITHIN).await.unwrap() {
            Update::Event(event) if matches!(event.body, EventBody::AgentCompleted { .. }) => break,
            Update::Unknown(frame) => {
                assert_eq!(frame["type"], "agent_pondering");
                let range = wireproof_protocol::event_range(&frame).expect("an event");
                state.pass(range).unwrap();
                unknown += 1;
                client.cut();
            }
            Update::Event(event) if unknown == 0 => state.apply(&event).unwrap(),
            Update::Lost { .. } | Update::Reconnected { .. } => {
                assert_eq!(unknown, 1, "one cut, by the test")
            }
            _ => {}
        }
    }
    assert_eq!(unknown, 1);
}

/// A request over the server's limit got a refusal without an id, and whoever waited for its answer waited for ever.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_before_it_is_sent() {
    let (server, proxy) = later_server("never said", "").await;
    let mut client = client(&server, &proxy).await;
    let error = client.request(&chat(&"x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { bytes: 70_001.., limit: 65_536 }), "{error}");
    let error = client.send(&chat(&"x".repeat(70_000))).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
    assert_eq!(controls_until_pong(&mut client).await, []);
}

/// The same where the limit shrank after the welcome: the refusal without an id counts for the oldest unanswered request.
#[tokio::test]
async fn a_refusal_without_an_id_answers_the_oldest_request() {
    let (server, proxy) = later_server(r#""message_bytes":65536"#, r#""message_bytes":0"#).await;
    let mut client = client(&server, &proxy).await;
    let id = client.request(&chat(&"x".repeat(70_000))).await.unwrap();
    let answers = controls_until_pong(&mut client).await;
    let [(answered, ControlBody::Error(error))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answered.as_ref(), error.error_code), (Some(&id), ErrorCode::MessageTooLarge));
    client.cut();
    let after = controls_until_pong(&mut client).await;
    assert!(after.iter().all(|(id, _)| id.is_none()), "the request went out again: {after:?}");
}

/// The welcome names what the server can do beyond the first version.
#[tokio::test]
async fn the_welcome_has_features() {
    let (server, proxy) = later_server("never said", "").await;
    let client = client(&server, &proxy).await;
    assert_eq!(client.welcome().features, wireproof_protocol::FEATURES);
    assert_eq!(client.welcome().limits.run_seconds, server.config().limits.run_seconds);
}
