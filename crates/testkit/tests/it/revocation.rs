//! What is revoked ends at once, for good, and takes nobody else along.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wireproof_server::{
    Config, Server,
    auth::{Claims, Permissions},
    store::{AccountStore, Revocation, Revoked, Store, embedded::Embedded},
};
use wireproof_testkit::{Rest, TestClient, TestServer, error};

use crate::{
    front_door::{assert_refused, open},
    permissions::token_with,
};

fn claims(server: &TestServer, name: &str) -> Claims {
    server.keys().claims(server.user(name).id(), Duration::from_secs(600))
}

fn admin(server: &TestServer) -> Rest {
    server.rest().token(token_with(server, "root", Permissions::all()))
}

async fn revoke(server: &TestServer, what: Value) -> u64 {
    let reply = admin(server).post("/api/admin/revoke", what).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json["disconnected"].as_u64().unwrap()
}

async fn welcomed(server: &TestServer, token: &str) -> TestClient {
    let client = open(server.connect().token(token)).await;
    client.expect("connection_established").await;
    client
}

/// The connection hears why and ends within the second.
async fn assert_ended(client: &TestClient, since: Instant) {
    let told = client.expect(error("unauthenticated")).await;
    assert_eq!(told["error"], "The token was revoked.");
    assert_eq!(client.expect_closed().await.code, Some(1008));
    assert!(since.elapsed() < Duration::from_secs(1), "took {:?}", since.elapsed());
}

async fn assert_revoked(server: &TestServer, token: &str) {
    assert_refused(&open(server.connect().token(token)).await, "unauthenticated").await;
    let reply = server.rest().token(token).get("/api/threads").await;
    assert_eq!((reply.status, reply.error_code()), (401, "unauthenticated"));
}

#[tokio::test]
async fn a_token_ends_alone_and_stays_ended_over_a_restart() {
    let mut server = TestServer::start().await;
    let mut marked = claims(&server, "ada");
    marked.jti = Some("stolen".into());
    let (stolen, other) = (server.keys().sign_claims(&marked), server.user("ada").token());
    let (ends, stays) = (welcomed(&server, &stolen).await, welcomed(&server, &other).await);
    let since = Instant::now();
    assert_eq!(revoke(&server, json!({ "token_id": "stolen" })).await, 1);
    assert_ended(&ends, since).await;
    assert_revoked(&server, &stolen).await;
    stays.barrier().await;
    server.restart().await;
    assert_revoked(&server, &stolen).await;
    welcomed(&server, &other).await;
}

#[tokio::test]
async fn a_session_ends_with_all_its_tokens() {
    let server = TestServer::start().await;
    let of_session = |session: &str| {
        let claims = Claims { sid: Some(session.into()), ..claims(&server, "ada") };
        server.keys().sign_claims(&claims)
    };
    let (first, second, other) = (of_session("s1"), of_session("s1"), of_session("s2"));
    let ending = [welcomed(&server, &first).await, welcomed(&server, &second).await];
    let stays = welcomed(&server, &other).await;
    let since = Instant::now();
    assert_eq!(revoke(&server, json!({ "session_id": "s1" })).await, 2);
    for client in &ending {
        assert_ended(client, since).await;
    }
    assert_revoked(&server, &first).await;
    assert_revoked(&server, &of_session("s1")).await;
    stays.barrier().await;
}

/// All tokens of the user so far, those without `iat` too; a login a moment later is a new one.
#[tokio::test]
async fn a_user_ends_with_all_tokens_so_far_and_may_log_in_again() {
    let server = TestServer::start().await;
    let bare = server.keys().sign_claims(&Claims { iat: None, ..claims(&server, "ada") });
    let whole = server
        .keys()
        .sign_claims(&Claims { iat: claims(&server, "ada").iat.map(f64::floor), ..claims(&server, "ada") });
    let old = server.user("ada").token();
    let mut ending = Vec::new();
    for token in [&bare, &whole, &old] {
        ending.push(welcomed(&server, token).await);
    }
    let eve = server.user("eve").connect().await;
    let since = Instant::now();
    assert_eq!(revoke(&server, json!({ "user_id": "ada" })).await, 3);
    for client in &ending {
        assert_ended(client, since).await;
    }
    for token in [&bare, &whole, &old] {
        assert_revoked(&server, token).await;
    }
    server.user("ada").connect().await.barrier().await;
    eve.barrier().await;
}

/// A renewal moves the connection to another token: it lives and dies with that one.
#[tokio::test]
async fn a_renewed_connection_ends_with_its_latest_token() {
    let server = TestServer::start().await;
    let named = |id: &str| {
        let claims = Claims { jti: Some(id.into()), ..claims(&server, "ada") };
        server.keys().sign_claims(&claims)
    };
    let ada = welcomed(&server, &named("first")).await;
    assert_eq!(ada.ask(json!({ "type": "authenticate", "token": named("second") })).await.kind(), "ack");
    assert_eq!(revoke(&server, json!({ "token_id": "first" })).await, 0);
    // One that is revoked already renews nothing, and takes nothing away.
    let refused = ada.ask(json!({ "type": "authenticate", "token": named("first") })).await;
    assert_eq!(refused["error_code"], "unauthenticated");
    ada.barrier().await;
    let since = Instant::now();
    assert_eq!(revoke(&server, json!({ "token_id": "second" })).await, 1);
    assert_ended(&ada, since).await;
}

#[tokio::test]
async fn a_ticket_ends_with_the_token_that_bought_it() {
    let server = TestServer::start().await;
    let claims = Claims { jti: Some("buyer".into()), ..claims(&server, "ada") };
    let buyer = server.rest().token(server.keys().sign_claims(&claims));
    let ticket = buyer.post("/ws/ticket", json!({})).await.json["ticket"].as_str().unwrap().to_owned();
    revoke(&server, json!({ "token_id": "buyer" })).await;
    let shown = wireproof_client::Credentials::Ticket(ticket);
    assert_refused(&open(server.connect().credentials(shown)).await, "unauthenticated").await;
}

/// Connections that are being opened while their token is revoked do not survive, whichever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_slips_through_while_its_token_is_revoked() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
    })
    .await;
    for round in 0..20 {
        let claims = Claims { jti: Some(format!("r{round}").into()), ..claims(&server, "ada") };
        let token = server.keys().sign_claims(&claims);
        let opening = futures_util::future::join_all((0..8).map(|_| open(server.connect().token(&token))));
        let (clients, _) = tokio::join!(opening, revoke(&server, json!({ "token_id": format!("r{round}") })));
        for client in &clients {
            assert_eq!(client.expect_closed().await.code, Some(1008), "{}", client.table());
        }
    }
    server.until("nobody is left", |server| server.connections() == 0).await;
}

/// What waits for a client that reads nothing stays unsaid, and it does not hold its place.
#[tokio::test]
async fn a_client_that_does_not_read_is_ended_all_the_same() {
    let server = TestServer::start().await;
    let mut wire = crate::wire::Wire::dial_narrow(server.address()).await;
    wire.open(&server.user("ada").token()).await;
    let writer = server.user("ada").connect().await;
    for _ in 0..4 {
        let frame = json!({ "type": "create_thread", "metadata": { "x": "y".repeat(16_000) } });
        assert_eq!(writer.ask(frame).await.kind(), "ack");
    }
    let since = Instant::now();
    assert_eq!(revoke(&server, json!({ "user_id": "ada" })).await, 2);
    server.until("nobody is left", |server| server.connections() == 0).await;
    assert!(since.elapsed() < Duration::from_secs(1), "took {:?}", since.elapsed());
}

/// Bug: what an administrator revoked was kept until the end of the world, in the store and in memory.
#[tokio::test]
async fn a_revocation_is_kept_for_as_long_as_a_token_can_live() {
    let mut server = TestServer::start_with(|config| config.jwt.max_life_seconds = 3600.0).await;
    let before = claims(&server, "ada").iat.unwrap();
    server.account("eve", "correct horse battery").await;
    let disabled = admin(&server).patch("/api/admin/users/eve", json!({ "disabled": true })).await;
    assert_eq!(disabled.status, 200);
    for what in [json!({ "token_id": "t" }), json!({ "session_id": "s" }), json!({ "user_id": "ada" })] {
        revoke(&server, what).await;
    }
    // One whose own end is far off, when it is logged out.
    let endless = server.user("bob").token_for(Duration::from_secs(1 << 30));
    assert_eq!(server.rest().token(&endless).post("/auth/logout", json!({})).await.status, 204);
    server.shutdown().await;
    let folder = server.data_dir();
    let store = Embedded::open(folder).unwrap();
    let kept = store.revocations(0.0).await.unwrap();
    assert_eq!(kept.len(), 5, "{kept:?}");
    for revocation in &kept {
        let life = revocation.until - before;
        assert!((3600.0..3600.0 + 600.0).contains(&life), "kept for {life} s: {revocation:?}");
    }
    // What an earlier version kept for ever ends in its time after the next start.
    let old = Revocation { what: Revoked::Token("old".into()), at: before, until: 1e12 };
    store.revoke(old).await.unwrap();
    store.close().await;
    drop(store);
    let config = Config { data_dir: folder.to_owned(), ..Config::default() };
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
    Server::start(config).await.unwrap().shutdown().await;
    let store = Embedded::open(folder).unwrap();
    let kept = store.revocations(0.0).await.unwrap();
    let old = kept.iter().find(|revocation| revocation.what == Revoked::Token("old".into())).unwrap();
    assert!(old.until < before + 401.0 * 86_400.0, "{old:?}");
}

/// Bug: nothing bounded how many tokens one administrator revoked, each kept in memory.
#[tokio::test]
async fn so_many_tokens_are_revoked_and_a_user_always_can_be() {
    let server = TestServer::start_with(|config| config.limits.revocations = 3).await;
    for n in 0..3 {
        revoke(&server, json!({ "token_id": format!("t{n}") })).await;
    }
    for what in [json!({ "token_id": "t3" }), json!({ "session_id": "s" })] {
        let reply = admin(&server).post("/api/admin/revoke", what).await;
        assert_eq!((reply.status, reply.error_code()), (429, "rate_limited"));
        assert_eq!(reply.json["details"]["limit"], "revocations");
    }
    let token = server.user("ada").token();
    assert_eq!(server.rest().token(&token).post("/auth/logout", json!({})).await.status, 429);
    revoke(&server, json!({ "user_id": "ada" })).await;
    assert_revoked(&server, &token).await;
}

/// A thousand sockets of one user end within the second; prints how long it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_thousand_sockets_end_within_the_second() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
        config.limits.connections_per_address = 0;
    })
    .await;
    let token = server.user("ada").token();
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(welcomed(&server, &token).await);
    }
    let since = Instant::now();
    let ending = futures_util::future::join_all(clients.iter().map(|client| async {
        assert_eq!(client.expect_closed().await.code, Some(1008));
        since.elapsed()
    }));
    let revoking = async {
        assert_eq!(revoke(&server, json!({ "user_id": "ada" })).await, 1000);
        since.elapsed()
    };
    let (mut ended, answered) = tokio::join!(ending, revoking);
    ended.sort();
    println!("answered after {answered:?}; ended: p50 {:?}, last {:?}", ended[500], ended[999]);
    assert!(ended[999] < Duration::from_secs(1), "{:?}", ended[999]);
    server.until("nobody is left", |server| server.connections() == 0).await;
}
