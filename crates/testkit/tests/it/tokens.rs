//! Tokens: bad ones in every way, good ones that end, and those that are renewed in time.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use wireproof_client::Credentials;
use wireproof_protocol::UserId;
use wireproof_server::auth::{Claims, Keys};
use wireproof_testkit::{TestServer, error, frame};

use crate::front_door::{assert_refused, open};

#[tokio::test]
async fn a_bad_token_is_one_error_and_a_close_whatever_is_wrong_with_it() {
    let server = TestServer::start().await;
    let elsewhere = TestServer::start().await;
    let user = server.user("ada");
    let good = user.token();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let claims = |sub: &str, exp: f64, iat: f64| Claims {
        sub: sub.to_owned(),
        exp,
        iat: Some(iat),
        ..Claims::default()
    };
    let signed = |claims: &Claims| server.keys().sign_claims(claims);
    let (head, tail) = good.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let body = tail.split('.').next().unwrap();
    let mut flipped = good.clone().into_bytes();
    let at = good.find('.').unwrap() + 5;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let bad = [
        ("unauthenticated", "nonsense".to_owned()),
        ("unauthenticated", "a.b.c".to_owned()),
        ("unauthenticated", format!("{head}.{body}.")),
        ("unauthenticated", format!("{none}.{body}.")),
        ("unauthenticated", String::from_utf8(flipped).unwrap()),
        ("unauthenticated", elsewhere.user("ada").token()),
        ("unauthenticated", signed(&claims("", now + 60.0, now))),
        ("unauthenticated", signed(&claims(&"x".repeat(129), now + 60.0, now))),
        ("unauthenticated", signed(&claims("ada", now + 600.0, now + 120.0))),
        ("token_expired", signed(&claims("ada", now - 1.0, now - 60.0))),
    ];
    for (code, token) in &bad {
        assert_refused(&open(server.connect().token(token)).await, code).await;
        assert_refused(
            &open(server.connect().credentials(Credentials::FirstFrame(token.clone()))).await,
            code,
        )
        .await;
    }
    for (code, token) in bad.iter().filter(|(_, token)| !token.is_empty()) {
        let subprotocol = open(server.connect().credentials(Credentials::Subprotocol(token.clone()))).await;
        assert_refused(&subprotocol, code).await;
        let reply = server.rest().token(token).get("/api/threads").await;
        assert_eq!((reply.status, reply.error_code()), (401, *code));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(server.connections(), 0);
    user.connect().await;
}

/// A bad token in the header is not made good by a good one in the subprotocol: the first found decides.
#[tokio::test]
async fn the_first_credentials_found_decide() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada"), server.user("eve"));
    let offered = format!("wireproof.v1, jwt.{}", eve.token());
    let both = open(ada.connection().header("sec-websocket-protocol", &offered)).await;
    both.expect(frame("connection_established").field("user_id", "ada")).await;
    let bad = open(server.connect().token("bad").header("sec-websocket-protocol", &offered)).await;
    assert_refused(&bad, "unauthenticated").await;
}

#[tokio::test]
async fn a_token_is_renewed_in_band_by_its_user_only_and_ends_the_connection_when_it_is_not() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 0.3).await;
    let (user, eve) = (server.user("ada"), server.user("eve"));
    let brief = Duration::from_millis(2600);
    let ends = user.open(user.connection().token(user.token_for(brief))).await;
    let renews = user.open(user.connection().token(user.token_for(brief))).await;
    renews.expect("connection_established").await;
    let refused = renews.ask(json!({ "type": "authenticate", "token": eve.token() })).await;
    assert_eq!(refused["error_code"], "forbidden");
    let bad = renews.ask(json!({ "type": "authenticate", "token": "bad" })).await;
    assert_eq!(bad["error_code"], "unauthenticated");
    let renewed = renews.ask(json!({ "type": "authenticate", "token": user.token() })).await;
    assert_eq!(renewed.kind(), "ack");
    ends.expect(error("token_expired")).await;
    assert_eq!(ends.expect_closed().await.code, Some(1008));
    renews.barrier().await;
}

/// A connection without the settings' issuer and audience in its token stays outside, one with them gets in.
#[tokio::test]
async fn issuer_and_audience_are_checked_when_they_are_set() {
    let secret = "0123456789abcdef0123456789abcdef";
    let server = TestServer::start_with(|config| {
        config.jwt.secret = secret.to_owned();
        config.jwt.issuer = "us".to_owned();
        config.jwt.audience = "wireproof".to_owned();
    })
    .await;
    server.user("ada").connect().await;
    let mut bare = server.config().jwt.clone();
    (bare.issuer, bare.audience) = (String::new(), String::new());
    let keys = Keys::from_config(&bare, server.data_dir()).unwrap();
    let token = keys.sign(&UserId::new("ada").unwrap(), Duration::from_secs(60));
    assert_refused(&open(server.connect().token(token)).await, "unauthenticated").await;
}

/// A minute before its token ends a connection is told when, once.
#[tokio::test]
async fn a_connection_is_told_that_its_token_expires_soon() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.open(user.connection().token(user.token_for(Duration::from_millis(61_300)))).await;
    let warning = ada.expect("token_expiring").await;
    let left = warning["expires_at"].as_f64().unwrap() - warning["timestamp"].as_f64().unwrap();
    assert!((59.0..61.5).contains(&left), "{left} s are left");
    let renewed = ada.ask(json!({ "type": "authenticate", "token": user.token() })).await;
    assert_eq!(renewed.kind(), "ack");
    ada.expect_none("token_expiring").await;
}
