//! Accounts through the front door: logging in, refreshing, leaving, and what ends with them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use wireproof_testkit::{Reply, TestAccount, TestClient, TestServer, error};

use crate::acting::commits;

mod admin;
mod at_once;
mod delays;
mod registration;
mod timing;

const PASSWORD: &str = "correct horse battery";

fn open(config: &mut wireproof_server::Config) {
    config.accounts.registration = true;
}

#[track_caller]
fn assert_error(reply: &Reply, status: u16, error_code: &str, what: &str) {
    assert_eq!((reply.status, reply.error_code()), (status, error_code), "{what}: {}", reply.body);
    assert_eq!(reply.json["error"], reply.json["message"], "{what}");
}

async fn login(server: &TestServer, name: &str, password: &str) -> Reply {
    server.rest().post("/auth/login", json!({ "user_id": name, "password": password })).await
}

/// The login is over: no token of it is good for anything.
async fn assert_over(account: &TestAccount) {
    assert_error(&account.rest().get("/api/threads").await, 401, "unauthenticated", "the access token");
    assert_error(&account.try_refresh().await, 401, "unauthenticated", "the refresh token");
}

/// Told why, and closed within a second of what ended it.
async fn assert_closed(client: &TestClient, since: Instant) {
    client.expect(error("unauthenticated")).await;
    assert_eq!(client.expect_closed().await.code, Some(1008));
    assert!(since.elapsed() < Duration::from_secs(1), "took {:?}", since.elapsed());
}

#[tokio::test]
async fn a_login_gives_tokens_for_everything_a_user_does() {
    let server = TestServer::start().await;
    let ada = server.account("ada", PASSWORD).await;
    let tokens = ada.tokens();
    assert_eq!(tokens["user_id"], "ada");
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900.0)));
    assert_eq!(tokens["refresh_expires_in"], json!(2_592_000.0));
    assert_eq!(tokens["permissions"], json!(["chat", "threads:read", "threads:write", "runs:cancel"]));
    let client = ada.connect().await;
    let run = client.chat("What is 6*7?").await;
    assert!(client.expect_run_completed(run.run_id).await.final_response().unwrap().contains("42"));
    let reply = ada.try_login().await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    let me = ada.rest().get("/auth/me").await;
    assert_eq!((me.status, me.header("cache-control")), (200, Some("no-store")));
    assert_eq!((&me.json["user_id"], &me.json["permissions"]), (&json!("ada"), &tokens["permissions"]));
    assert_eq!(
        (&me.json["account"]["user_id"], &me.json["account"]["disabled"]),
        (&json!("ada"), &json!(false))
    );
    assert!(me.json["session_id"].is_string() && !me.body.contains("argon2"), "{}", me.body);
    // A token from elsewhere has neither an account nor a login.
    let eve = server.user("eve").get("/auth/me").await;
    assert_eq!(
        (&eve.json["user_id"], &eve.json["account"], &eve.json["session_id"]),
        (&json!("eve"), &Value::Null, &Value::Null)
    );
    assert_error(&server.rest().get("/auth/me").await, 401, "unauthenticated", "nobody");
}

#[tokio::test]
async fn registration_is_closed_unless_it_is_opened_and_takes_no_name_twice() {
    let closed = TestServer::start().await;
    let body = json!({ "user_id": "ada", "password": PASSWORD });
    let refused = closed.rest().post("/auth/register", body.clone()).await;
    assert_error(&refused, 403, "forbidden", "closed");
    assert!(refused.json["message"].as_str().unwrap().contains("closed"));
    assert_eq!(closed.admin().get("/api/admin/users").await.json["total"], 0);

    let server = TestServer::start_with(open).await;
    let made = server.rest().post("/auth/register", body.clone()).await;
    assert_eq!((made.status, made.header("cache-control")), (201, Some("no-store")));
    let access = made.json["access_token"].as_str().unwrap();
    assert_eq!(server.rest().token(access).get("/api/threads").await.status, 200);
    assert_error(&server.rest().post("/auth/register", body).await, 409, "name_taken", "a second time");
    assert_eq!(login(&server, "ada", PASSWORD).await.status, 200);
    // The log of a user whose tokens come from elsewhere is nobody's to take.
    assert_eq!(server.user("bob").post("/api/threads", json!({ "title": "bob's" })).await.status, 201);
    let body = json!({ "user_id": "bob", "password": PASSWORD });
    assert_error(&server.rest().post("/auth/register", body).await, 409, "name_taken", "a user's name");
    for name in ["", "Ada", "a b", "\u{430}da", "a/b", "a\nb", &"x".repeat(129)] {
        let body = json!({ "user_id": name, "password": PASSWORD });
        let reply = server.rest().post("/auth/register", body).await;
        assert_error(&reply, 422, "invalid_frame", name);
        assert_eq!(reply.json["details"]["field"], "user_id", "{name}");
    }
    for password in ["", "1234567", &"x".repeat(1025)] {
        let body = json!({ "user_id": "eve", "password": password });
        let reply = server.rest().post("/auth/register", body).await;
        assert_error(&reply, 422, "invalid_frame", password);
        assert_eq!(reply.json["details"]["field"], "password");
    }
    let greedy = json!({ "user_id": "greedy", "password": PASSWORD, "permissions": ["admin:*"], "fresh": 7 });
    let made = server.rest().post("/auth/register", greedy).await;
    assert_eq!(made.json["permissions"], json!(["chat", "threads:read", "threads:write", "runs:cancel"]));
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_on_every_route() {
    let server = TestServer::start_with(open).await;
    let large = format!("{{\"user_id\":\"ada\",\"password\":\"{}\"}}", "x".repeat(20_000));
    for route in ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"] {
        for (body, status, code) in [
            ("{", 400, "invalid_json"),
            ("nonsense", 400, "invalid_json"),
            ("[]", 422, "invalid_frame"),
            ("{\"user_id\":7,\"password\":7,\"refresh_token\":7}", 422, "invalid_frame"),
            (large.as_str(), 413, "message_too_large"),
        ] {
            let reply = server.rest().send(Method::POST, route, body.to_owned()).await;
            assert_error(&reply, status, code, &format!("{route} {body:.30}"));
        }
        assert_eq!(server.rest().get(route).await.status, 405);
    }
    for route in ["/auth/register", "/auth/login", "/auth/refresh"] {
        assert_error(&server.rest().post(route, json!({})).await, 422, "missing_field", route);
    }
    assert_error(&server.rest().post("/auth/logout", json!({})).await, 401, "unauthenticated", "nobody");
    assert_eq!(server.rest().post("/auth/me", json!({})).await.status, 405);
}

/// Whether there is an account, and whether it is disabled, is nobody's business who does not know its password.
#[tokio::test]
async fn a_refused_login_reads_the_same_whatever_is_wrong() {
    let server = TestServer::start().await;
    server.account("ada", PASSWORD).await;
    server.account("gone", PASSWORD).await;
    let disabled = server.admin().patch("/api/admin/users/gone", json!({ "disabled": true })).await;
    assert_eq!(disabled.status, 200);
    let mut told = Vec::new();
    for (name, password) in [
        ("ada", "wrong password"),
        ("ada", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\nb", PASSWORD),
        ("gone", PASSWORD),
        ("gone", "wrong password"),
    ] {
        let reply = login(&server, name, password).await;
        assert_error(&reply, 401, "unauthenticated", &format!("{name:?} {password:?}"));
        let mut headers: Vec<_> = reply.headers.iter().filter(|(name, _)| *name != "date").collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        told.push((reply.body.clone(), format!("{headers:?}")));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
}

#[tokio::test]
async fn a_refresh_gives_the_next_tokens_and_keeps_what_is_open() {
    let server = TestServer::start().await;
    let first = server.account("ada", PASSWORD).await;
    let client = first.connect().await;
    let mut latest = first.clone();
    for _ in 0..5 {
        let reply = latest.try_refresh().await;
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
        let next = latest.with(&reply);
        assert_ne!(next.refresh_token(), latest.refresh_token());
        assert_ne!(next.access_token(), latest.access_token());
        latest = next;
    }
    let me = |account: TestAccount| async move { account.rest().get("/auth/me").await.json };
    assert_eq!(me(first.clone()).await["session_id"], me(latest.clone()).await["session_id"]);
    let renewed = client.ask(json!({ "type": "authenticate", "token": latest.access_token() })).await;
    assert_eq!(renewed.kind(), "ack");
    for token in ["", "nonsense", &"A".repeat(64), first.access_token()] {
        let reply = server.rest().post("/auth/refresh", json!({ "refresh_token": token })).await;
        assert_error(&reply, 401, "unauthenticated", token);
    }
    client.barrier().await;
}

#[tokio::test]
async fn a_refresh_token_that_was_used_ends_its_login_and_no_other() {
    let server = TestServer::start().await;
    let stolen = server.account("ada", PASSWORD).await;
    let other = server.account("ada", PASSWORD).await;
    let second = stolen.with(&stolen.try_refresh().await);
    let third = second.with(&second.try_refresh().await);
    let (old, new, others) = (stolen.connect().await, third.connect().await, other.connect().await);
    let since = Instant::now();
    assert_error(&stolen.try_refresh().await, 401, "unauthenticated", "used long ago");
    assert_closed(&old, since).await;
    assert_closed(&new, since).await;
    for account in [&stolen, &second, &third] {
        assert_over(account).await;
    }
    others.barrier().await;
    assert_eq!(other.try_refresh().await.status, 200);
    old.drop_connection().await;
    assert_eq!(login(&server, "ada", PASSWORD).await.status, 200);
}

/// Of many refreshes with one token one succeeds; the others show that the token is in two hands, and end the login.
#[tokio::test]
async fn of_refreshes_at_once_exactly_one_succeeds_and_the_login_is_over() {
    let server = TestServer::start().await;
    let ada = server.account("ada", PASSWORD).await;
    let client = ada.connect().await;
    let since = Instant::now();
    let replies = join_all((0..8).map(|_| ada.try_refresh())).await;
    let good: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(good.len(), 1, "{replies:?}");
    assert!(replies.iter().all(|reply| [200, 401].contains(&reply.status)), "{replies:?}");
    assert_over(&ada.with(good[0])).await;
    assert_closed(&client, since).await;
}

#[tokio::test]
async fn leaving_ends_the_login_with_either_token() {
    let server = TestServer::start().await;
    let stays = server.account("ada", PASSWORD).await;
    let still = stays.connect().await;
    for with_refresh_token in [false, true] {
        let leaves = server.account("ada", PASSWORD).await;
        let client = leaves.connect().await;
        let since = Instant::now();
        let reply = match with_refresh_token {
            false => leaves.rest().post("/auth/logout", json!({})).await,
            true => {
                let body = json!({ "refresh_token": leaves.refresh_token() });
                server.rest().post("/auth/logout", body).await
            }
        };
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
        assert_closed(&client, since).await;
        assert_over(&leaves).await;
    }
    // A token that is none tells nothing about those that are.
    let unknown = server.rest().post("/auth/logout", json!({ "refresh_token": "A".repeat(64) })).await;
    assert_eq!(unknown.status, 204);
    // A token that no login gave is revoked alone.
    let (token, others) = (server.user("ada").token(), server.user("ada").connect().await);
    assert_eq!(server.rest().token(&token).post("/auth/logout", json!({})).await.status, 204);
    assert_eq!(server.rest().token(&token).get("/api/threads").await.status, 401);
    still.barrier().await;
    others.barrier().await;
}

#[tokio::test]
async fn accounts_logins_and_what_was_ended_outlive_a_restart() {
    let mut server = TestServer::start().await;
    let (ada, left) = (server.account("ada", PASSWORD).await, server.account("ada", PASSWORD).await);
    assert_eq!(left.rest().post("/auth/logout", json!({})).await.status, 204);
    server.restart().await;
    assert_eq!(ada.rest().get("/auth/me").await.status, 200);
    assert_over(&left).await;
    let next = ada.with(&ada.try_refresh().await);
    next.connect().await.barrier().await;
    assert_error(&ada.try_refresh().await, 401, "unauthenticated", "used before the restart");
    assert_over(&next).await;
    assert_eq!(login(&server, "ada", PASSWORD).await.status, 200);
}

/// Bug: a restart forgot a logout before the leeway of the login's access token was over, and the token counted again.
#[tokio::test]
async fn a_logout_outlives_a_restart_for_as_long_as_its_token_would_count() {
    let mut server = TestServer::start_with(|config| {
        config.accounts.access_seconds = 0.5;
        config.jwt.leeway_seconds = 60.0;
    })
    .await;
    let ada = server.account("ada", PASSWORD).await;
    let body = json!({ "refresh_token": ada.refresh_token() });
    assert_eq!(server.rest().post("/auth/logout", body).await.status, 204);
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.restart().await;
    assert_over(&ada).await;
    drop(server);
}

/// Bug: a made-up refresh token took a turn of the store's one writer, so that anybody could slow everybody down.
#[tokio::test]
async fn made_up_refresh_tokens_cost_no_commit() {
    let server = TestServer::start().await;
    let before = commits(&server).await;
    for n in 0..50 {
        let body = json!({ "refresh_token": format!("{n:064}") });
        let reply = server.rest().post("/auth/refresh", body).await;
        assert_error(&reply, 401, "unauthenticated", "made up");
    }
    // Some for what the server does by itself.
    assert!(commits(&server).await < before + 10);
}

#[tokio::test]
async fn tokens_live_as_long_as_the_settings_say() {
    let server = TestServer::start_with(|config| {
        config.accounts.access_seconds = 1.0;
        config.accounts.refresh_seconds = 2.5;
        config.limits.token_grace_seconds = 0.0;
    })
    .await;
    let ada = server.account("ada", PASSWORD).await;
    let client = ada.connect().await;
    client.expect(error("token_expired")).await;
    assert_error(&ada.rest().get("/auth/me").await, 401, "token_expired", "after its life");
    let next = ada.with(&ada.try_refresh().await);
    let refreshed = Instant::now();
    assert_eq!(next.rest().get("/auth/me").await.status, 200);
    // The life of the second refresh token, which began before its answer came.
    tokio::time::sleep_until((refreshed + Duration::from_millis(2500)).into()).await;
    assert_error(&next.try_refresh().await, 401, "unauthenticated", "after the login's life");
}
