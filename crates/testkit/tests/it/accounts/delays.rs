//! Guessing passwords: each failure past the first few makes the next try wait.

use std::time::Duration;

use serde_json::json;
use wireproof_testkit::{Reply, Rest, TestServer};

use super::{PASSWORD, assert_error, open};

/// A server behind a proxy that says whose request it brings, so that a test has many addresses.
async fn behind_a_proxy() -> TestServer {
    TestServer::start_with(|config| {
        open(config);
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await
}

fn from(server: &TestServer, address: u32) -> Rest {
    server.rest().header("x-forwarded-for", std::net::Ipv4Addr::from(0x0a00_0000 + address).to_string())
}

async fn login(rest: &Rest, name: &str, password: &str) -> Reply {
    rest.post("/auth/login", json!({ "user_id": name, "password": password })).await
}

#[track_caller]
fn assert_waits(reply: &Reply, seconds: f64, what: &str) {
    assert_error(reply, 429, "rate_limited", what);
    let wait = reply.json["retry_after_ms"].as_f64().unwrap() / 1e3;
    assert!(wait > 0.0 && wait <= seconds, "{what}: {wait} s");
    let header: f64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(header >= wait && header < wait + 1.0, "{what}: {header} s for {wait} s");
}

/// Known and unknown names wait alike, and while they wait the right password waits too: a guess learns nothing.
#[tokio::test]
async fn an_account_waits_longer_after_each_failure_whether_it_is_there_or_not() {
    let server = behind_a_proxy().await;
    server.account("ada", PASSWORD).await;
    for (number, name) in (0..).zip(["ada", "nobody"]) {
        for n in 0..5 {
            let reply = login(&from(&server, 10 * number + n), name, "wrong password").await;
            assert_error(&reply, 401, "unauthenticated", name);
        }
        let elsewhere = from(&server, 100 + number);
        assert_waits(&login(&elsewhere, name, "wrong password").await, 1.0, name);
        let right = login(&elsewhere, name, PASSWORD).await;
        assert_waits(&right, 1.0, name);
        // As long as the answer says, and not a moment longer.
        tokio::time::sleep(Duration::from_millis(right.json["retry_after_ms"].as_u64().unwrap())).await;
        assert_error(&login(&elsewhere, name, "wrong password").await, 401, "unauthenticated", name);
        let longer = login(&elsewhere, name, "wrong password").await;
        assert_waits(&longer, 2.0, name);
        assert!(longer.json["retry_after_ms"].as_u64().unwrap() > 1000, "{name}: it has grown");
    }
    let reply = login(&from(&server, 200), "ada", PASSWORD).await;
    tokio::time::sleep(Duration::from_millis(reply.json["retry_after_ms"].as_u64().unwrap())).await;
    assert_eq!(login(&from(&server, 200), "ada", PASSWORD).await.status, 200);
    assert_error(&login(&from(&server, 200), "ada", "wrong password").await, 401, "unauthenticated", "anew");
}

/// One password tried with many names: the address waits, and an account of its own does not help.
#[tokio::test]
async fn an_address_waits_however_many_names_it_tries() {
    let server = behind_a_proxy().await;
    server.account("eve", PASSWORD).await;
    let here = from(&server, 1);
    for n in 0..20 {
        let reply = login(&here, &format!("user{n}"), "Summer2026!").await;
        assert_error(&reply, 401, "unauthenticated", &format!("user{n}"));
        if n < 19 {
            assert_eq!(login(&here, "eve", PASSWORD).await.status, 200, "after {n}");
        }
    }
    assert_waits(&login(&here, "user99", "Summer2026!").await, 1.0, "spraying");
    assert_waits(&login(&here, "eve", PASSWORD).await, 1.0, "the own account");
    let body = json!({ "user_id": "new", "password": PASSWORD });
    assert_waits(&here.post("/auth/register", body.clone()).await, 1.0, "registering");
    assert_eq!(login(&from(&server, 2), "eve", PASSWORD).await.status, 200, "another address");
    assert_eq!(from(&server, 2).post("/auth/register", body).await.status, 201);
}

/// A burst guesses no more often than the same guesses in a row.
#[tokio::test]
async fn guesses_at_once_are_counted_one_by_one() {
    let server = behind_a_proxy().await;
    server.account("ada", PASSWORD).await;
    let guesses = (0..40).map(|n| {
        let rest = from(&server, n);
        async move { login(&rest, "ada", "wrong password").await.status }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(401), count(429)), (5, 35), "{statuses:?}");
}

/// A name that is looked for by registering costs as much as one that is looked for by logging in.
#[tokio::test]
async fn names_that_are_taken_count_as_failures_of_the_address() {
    let server = behind_a_proxy().await;
    server.account("ada", PASSWORD).await;
    let here = from(&server, 1);
    let body = json!({ "user_id": "ada", "password": PASSWORD });
    for _ in 0..20 {
        assert_error(&here.post("/auth/register", body.clone()).await, 409, "name_taken", "taken");
    }
    assert_waits(&here.post("/auth/register", body).await, 1.0, "looking for names");
}
