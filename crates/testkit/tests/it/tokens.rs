//! Tokens: bad ones in every way, good ones that end, and those that are renewed in time.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use wireproof_client::Credentials;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config,
    auth::{Claims, Keys},
};
use wireproof_testkit::{Issuer, TestServer, error, frame};

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

/// Bug: a token signed with the shared secret that said it was for a refresh opened a socket.
#[tokio::test]
async fn a_token_that_is_for_something_else_opens_nothing() {
    let secret = "0123456789abcdef0123456789abcdef";
    let server = TestServer::start_with(|config| config.jwt.secret = secret.to_owned()).await;
    let shared = Issuer::hs256("x", secret).nameless();
    let token = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = Issuer::claims("ada");
        change(&mut claims);
        shared.sign_claims(&claims)
    };
    for good in [
        token(&|_| {}),
        token(&|claims| claims["type"] = json!("access")),
        token(&|claims| claims["token_type"] = json!("Bearer")),
        token(&|claims| claims["token_use"] = json!(["access"])),
    ] {
        assert_eq!(server.rest().token(&good).get("/api/threads").await.status, 200);
    }
    let ours = server.account("eve", "correct horse battery").await;
    let ticket =
        server.user("eve").post("/ws/ticket", json!({})).await.json["ticket"].as_str().unwrap().to_owned();
    for bad in [
        token(&|claims| claims["type"] = json!("refresh")),
        token(&|claims| claims["typ"] = json!("Refresh")),
        token(&|claims| claims["token_use"] = json!("id")),
        token(&|claims| claims["token_type"] = json!(["access", "refresh"])),
        token(&|claims| claims["tokenType"] = json!({ "access": true })),
        token(&|claims| claims["purpose"] = json!("password_reset")),
        token(&|claims| claims["jti"] = json!(["a"])),
        token(&|claims| claims["jti"] = json!(7)),
        shared.sign(&json!({ "alg": "HS256", "typ": "refresh+jwt" }), &Issuer::claims("ada")),
        ours.refresh_token().to_owned(),
        ticket,
    ] {
        let shown = [
            Credentials::Header(bad.clone()),
            Credentials::Subprotocol(bad.clone()),
            Credentials::FirstFrame(bad.clone()),
        ];
        for credentials in shown {
            assert_refused(&open(server.connect().credentials(credentials)).await, "unauthenticated").await;
        }
        for route in ["/api/threads", "/auth/me"] {
            let reply = server.rest().token(&bad).get(route).await;
            assert_eq!((reply.status, reply.error_code()), (401, "unauthenticated"), "{bad}");
        }
        assert_eq!(server.rest().token(&bad).post("/ws/ticket", json!({})).await.status, 401);
    }
}

/// Bug: of several entries the first was refused for the environment in it, whatever stood behind.
#[tokio::test]
async fn the_first_subprotocol_entry_with_a_whole_token_opens_the_door() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada").token(), server.user("eve").token());
    let cut = ada.rsplit_once('.').unwrap().0;
    for offered in [
        format!("jwt.staging.{ada}, jwt.{eve}"),
        format!("jwt.{cut}, jwt-auth.{ada}, jwt.{eve}"),
        format!("jwt.production, bearer.{ada}"),
        format!("jwt.{}, jwt.{eve}", URL_SAFE_NO_PAD.encode(&ada)),
        format!("jwt-auth.{ada}, jwt-auth"),
    ] {
        let client = open(server.connect().header("sec-websocket-protocol", &offered)).await;
        client.expect(frame("connection_established").field("user_id", "ada")).await;
    }
    let refused =
        open(server.connect().header("sec-websocket-protocol", format!("bearer.{cut}, jwt.x"))).await;
    assert_refused(&refused, "unauthenticated").await;
}

/// The example of the manual for tokens that grant `read` and `write` does what it says, as it stands there.
#[tokio::test]
async fn the_manuals_map_of_read_and_write_grants_what_it_says() {
    let manual = include_str!("../../../../docs/tokens.md");
    let blocks = manual.split("```toml\n").skip(1).filter_map(|block| block.split_once("```"));
    let example = blocks.map(|(block, _)| block).find(|block| block.contains("read = [")).unwrap();
    let example: Config = toml::from_str(example).unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let server = TestServer::start_with(|config| {
        config.jwt.permission_map = example.jwt.permission_map;
        config.jwt.secret = secret.to_owned();
    })
    .await;
    let granting = |names: serde_json::Value| {
        let mut claims = Issuer::claims("ada");
        claims["permissions"] = names;
        Issuer::hs256("x", secret).nameless().sign_claims(&claims)
    };
    let both = open(server.connect().token(granting(json!(["read", "write"])))).await;
    let run = both.chat("What is 6*7?").await;
    assert!(both.expect_run_completed(run.run_id).await.final_response().unwrap().contains("42"));
    let reads = open(server.connect().token(granting(json!(["read"])))).await;
    let refused = reads.ask(json!({ "type": "chat", "content": "What is 6*7?" })).await;
    assert_eq!(refused["error_code"], "forbidden");
    assert_eq!(server.rest().token(granting(json!(["write"]))).get("/api/threads").await.status, 200);
    assert_refused(&open(server.connect().token(granting(json!(["other"])))).await, "forbidden").await;
}

/// A token that claims to live for longer than any does ends when the longest life is over.
#[tokio::test]
async fn no_token_lives_longer_than_the_settings_allow() {
    let server = TestServer::start_with(|config| config.jwt.max_life_seconds = 3600.0).await;
    let user = server.user("ada");
    let me = server.rest().token(user.token_for(Duration::from_secs(1 << 30))).get("/auth/me").await;
    let left = me.json["expires_at"].as_f64().unwrap() - user.claims()["iat"].as_f64().unwrap();
    assert!((3500.0..=3600.0).contains(&left), "{left} s are left");
    // One that does not say when it was made counts for that long from now.
    let mut claims = user.claims();
    let made = claims.as_object_mut().unwrap().remove("iat").unwrap().as_f64().unwrap();
    claims["exp"] = json!(1e300);
    let me = server.rest().token(user.issuer().sign_claims(&claims)).get("/auth/me").await;
    let left = me.json["expires_at"].as_f64().unwrap() - made;
    assert!((3500.0..=3700.0).contains(&left), "{left} s are left");
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
