//! Who gets in, by which door, and what is said to those who do not.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use wireproof_client::{Connect, Credentials};
use wireproof_testkit::{TestClient, TestServer, error, frame};

use crate::wire::{Wire, handshake};

pub async fn open(connect: Connect) -> TestClient {
    TestClient::open(connect).await.unwrap()
}

/// One error with the code, then a close with 1008, and nothing else.
pub async fn assert_refused(client: &TestClient, error_code: &str) {
    assert_eq!(client.expect_closed().await.code, Some(1008), "{}", client.table());
    let frames = client.frames();
    assert_eq!(frames.len(), 1, "{}", client.table());
    assert_eq!(
        (frames[0].kind(), frames[0].text_of("error_code")),
        ("error", error_code),
        "{}",
        client.table()
    );
    assert_eq!(frames[0]["error"], frames[0]["message"]);
}

#[tokio::test]
async fn the_first_frame_is_the_welcome_with_all_its_fields() {
    let server = TestServer::start().await;
    for path in ["/ws", "/websocket"] {
        let url = format!("ws://{}{path}", server.address());
        let user = server.user("ada");
        let ada = user.open(Connect::to(url).token(user.token())).await;
        let welcome = ada.expect("connection_established").await;
        assert_eq!(welcome.index, 0);
        for (name, value) in [
            ("user_id", json!("ada")),
            ("seq", json!(0)),
            ("resumed", json!(false)),
            ("active_runs", json!([])),
        ] {
            assert_eq!(welcome[name], value, "{name}");
        }
        assert_eq!(welcome["limits"]["message_bytes"], 65536);
        assert_eq!(welcome["limits"]["concurrent_runs"], 4);
        assert_eq!(welcome.text_of("epoch").len(), 16);
        assert_eq!(welcome.text_of("connection_id").len(), 36);
        assert!(welcome["server_time"].is_f64() && welcome["timestamp"].is_f64());
        assert!(welcome.json.get("insecure_no_auth").is_none());
        ada.barrier().await;
    }
}

#[tokio::test]
async fn each_way_to_show_a_token_opens_the_door() {
    let server = TestServer::start().await;
    let token = server.user("ada").token();
    let wrapped = URL_SAFE_NO_PAD.encode(&token);
    for credentials in [
        Credentials::Header(token.clone()),
        Credentials::Subprotocol(token.clone()),
        Credentials::Subprotocol(wrapped),
        Credentials::FirstFrame(token.clone()),
    ] {
        let ada = open(server.connect().credentials(credentials)).await;
        ada.expect(frame("connection_established").field("user_id", "ada")).await;
        assert_eq!(ada.frames()[0].kind(), "connection_established");
    }
}

#[tokio::test]
async fn the_selected_subprotocol_is_one_that_was_offered() {
    let server = TestServer::start().await;
    let token = server.user("ada").token();
    let raw = format!("jwt.{token}");
    let wrapped = format!("jwt.{}", URL_SAFE_NO_PAD.encode(&token));
    for (offered, selected) in [
        (format!("wireproof.v1, {raw}"), "wireproof.v1"),
        (format!("{raw}, wireproof.v1"), "wireproof.v1"),
        (format!("{wrapped},wireproof.v1"), "wireproof.v1"),
        (format!("jwt-auth, {raw}"), "jwt-auth"),
        (raw.clone(), raw.as_str()),
        (wrapped.clone(), wrapped.as_str()),
    ] {
        let mut wire = Wire::dial(server.address()).await;
        let line = format!("Sec-WebSocket-Protocol: {offered}");
        wire.write(handshake("/ws", &[&line]).as_bytes()).await;
        let head = wire.head().await;
        assert_eq!((head.status, head.header("sec-websocket-protocol")), (101, Some(selected)));
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(wire.text_of_type("connection_established").await["user_id"], "ada");
    }
    let mut wire = Wire::dial(server.address()).await;
    let line = format!("Authorization: Bearer {token}");
    wire.write(handshake("/ws", &[&line]).as_bytes()).await;
    assert_eq!(wire.head().await.header("sec-websocket-protocol"), None);
}

/// Bug: who said something before it had shown a token heard what was wrong with the frame, not what was missing.
#[tokio::test]
async fn silence_and_anything_but_authenticate_end_an_unauthenticated_connection() {
    let server = TestServer::start_with(|config| config.limits.authenticate_seconds = 0.2).await;
    let silent = open(server.connect()).await;
    assert_refused(&silent, "unauthenticated").await;
    let at = silent.frames()[0].at;
    assert!(at >= Duration::from_millis(150), "refused after {at:?}");
    for (text, code) in [
        (r#"{"type":"ping"}"#, "unauthenticated"),
        (r#"{"type":"chat","content":"What is 1+1?"}"#, "unauthenticated"),
        (r#"{"type":"authenticate"}"#, "missing_field"),
        (r#"{"type":"authenticate","token":7}"#, "invalid_frame"),
        (r#"{"type":"authenticate","token":"x","id":7}"#, "invalid_frame"),
        ("not json", "unauthenticated"),
        ("{", "unauthenticated"),
        ("[]", "unauthenticated"),
        ("{}", "unauthenticated"),
        (r#"{"type":7}"#, "unauthenticated"),
        (r#"{"type":"chat"}"#, "unauthenticated"),
        (r#"{"type":"hello","payload":7}"#, "unauthenticated"),
        (r#"{"type":"authentication","token":"x"}"#, "unauthenticated"),
    ] {
        let client = open(server.connect()).await;
        client.send_raw(text).await;
        assert_refused(&client, code).await;
    }
    let binary = open(server.connect()).await;
    binary.send_binary([1, 2, 3]).await;
    assert_eq!(binary.expect_closed().await.code, Some(1003));
    assert_eq!((server.runs(), server.connections()), (0, 0));
}

/// Neither a token in the query nor any header or origin of a test rig stands in for credentials.
#[tokio::test]
async fn nothing_else_stands_in_for_credentials() {
    let server = TestServer::start_with(|config| config.limits.authenticate_seconds = 0.1).await;
    let token = server.user("ada").token();
    for name in ["token", "access_token", "jwt", "ticket", "authorization"] {
        let client = open(Connect::to(format!("{}?{name}={token}", server.url()))).await;
        assert_refused(&client, "unauthenticated").await;
    }
    for (name, value) in [
        ("x-test-type", "e2e"),
        ("x-e2e-test", "true"),
        ("x-testing", "1"),
        ("x-bypass-auth", "true"),
        ("x-user-id", "ada"),
        ("x-forwarded-user", "ada"),
        ("x-mock-user", "ada"),
        ("cookie", "token=ada"),
        ("user-agent", "e2e-test"),
        ("authorization", "Basic YWRhOmFkYQ=="),
    ] {
        let client = open(server.connect().header(name, value)).await;
        assert_refused(&client, "unauthenticated").await;
        let reply = server.rest().get("/api/threads?user_id=ada").await;
        assert_eq!(reply.status, 401);
    }
}

#[tokio::test]
async fn the_eleventh_connection_of_a_user_is_sent_away_and_the_others_live() {
    let server = TestServer::start_with(|config| config.limits.connections_per_user = 3).await;
    let user = server.user("ada");
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(user.connect().await);
    }
    let late = user.open(user.connection()).await;
    late.expect(error("too_many_connections").field("retryable", true)).await;
    assert_eq!(late.expect_closed().await.code, Some(1013));
    server.user("eve").connect().await;
    open[0].drop_connection().await;
    server.until("the place is free", |server| server.connections() <= 3).await;
    let next = user.connect().await;
    for client in open[1..].iter().chain([&next]) {
        client.barrier().await;
    }
}
