//! Tickets: bought with a token, good once, for a moment, and for nothing but a WebSocket.

use std::time::Duration;

use serde_json::json;
use wireproof_client::{Connect, Credentials};
use wireproof_server::auth::Permissions;
use wireproof_testkit::{TestServer, TestUser, error, frame};

use crate::{
    front_door::{assert_refused, open},
    permissions::token_with,
};

async fn buy(user: &TestUser) -> String {
    let reply = user.post("/ws/ticket", json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json["ticket"].as_str().unwrap().to_owned()
}

fn with_ticket(server: &TestServer, ticket: &str) -> Connect {
    server.connect().credentials(Credentials::Ticket(ticket.to_owned()))
}

#[tokio::test]
async fn a_ticket_opens_one_connection_as_who_bought_it() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let reply = user.post("/ws/ticket", json!({})).await;
    assert_eq!(reply.json["expires_in"], 30.0);
    let ticket = reply.json["ticket"].as_str().unwrap();
    assert!(ticket.len() >= 43 && !ticket.contains(['.', '&', '=', '%', '+', '/']), "{ticket}");
    let ada = open(with_ticket(&server, ticket)).await;
    ada.expect(frame("connection_established").field("user_id", "ada")).await;
    assert_refused(&open(with_ticket(&server, ticket)).await, "unauthenticated").await;
    for bad in ["", "x", &"A".repeat(43), &user.token()] {
        assert_refused(&open(with_ticket(&server, bad)).await, "unauthenticated").await;
    }
    ada.barrier().await;
    // It is no token, and nobody without one buys one.
    let unused = buy(&user).await;
    assert_eq!(server.rest().token(&unused).get("/api/threads").await.status, 401);
    assert_eq!(server.rest().get(&format!("/api/threads?ticket={unused}")).await.status, 401);
    assert_eq!(server.rest().post("/ws/ticket", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_race_with_one_ticket_one_wins() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
    })
    .await;
    for _ in 0..5 {
        let ticket = buy(&server.user("ada")).await;
        let racing = (0..16).map(|_| open(with_ticket(&server, &ticket)));
        let clients = futures_util::future::join_all(racing).await;
        let mut won = 0;
        for client in &clients {
            let welcomed = client.try_expect("connection_established", wireproof_testkit::DEADLINE).await;
            won += usize::from(welcomed.is_ok());
            if welcomed.is_err() {
                assert_refused(client, "unauthenticated").await;
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn a_ticket_is_good_for_its_seconds_only() {
    let server = TestServer::start_with(|config| config.tickets.seconds = 0.3).await;
    let ticket = buy(&server.user("ada")).await;
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_refused(&open(with_ticket(&server, &ticket)).await, "unauthenticated").await;
}

/// The connection has the rights and the end of the token that bought the ticket, and may be renewed.
#[tokio::test]
async fn a_ticket_grants_what_its_token_does_and_no_longer() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 0.1).await;
    let read = Permissions::named(["threads:read"]);
    let buyer = server.rest().token(token_with(&server, "ada", read));
    let reply = buyer.post("/ws/ticket", json!({})).await;
    let ada = open(with_ticket(&server, reply.json["ticket"].as_str().unwrap())).await;
    ada.expect("connection_established").await;
    assert_eq!(ada.ask(json!({ "type": "create_thread" })).await["error_code"], "forbidden");
    let user = server.user("ada");
    let renewed = ada.ask(json!({ "type": "authenticate", "token": user.token() })).await;
    assert_eq!(renewed.kind(), "ack");
    assert_eq!(ada.ask(json!({ "type": "create_thread" })).await.kind(), "ack");

    let brief = server.rest().token(user.token_for(Duration::from_millis(1500)));
    let reply = brief.post("/ws/ticket", json!({})).await;
    let ends = open(with_ticket(&server, reply.json["ticket"].as_str().unwrap())).await;
    ends.expect("connection_established").await;
    ends.expect(error("token_expired")).await;
    assert_eq!(ends.expect_closed().await.code, Some(1008));
    // A ticket without the right to read opens nothing.
    let writes = server.rest().token(token_with(&server, "ada", Permissions::named(["chat"])));
    let reply = writes.post("/ws/ticket", json!({})).await;
    let refused = open(with_ticket(&server, reply.json["ticket"].as_str().unwrap())).await;
    assert_refused(&refused, "forbidden").await;
}

/// Header and subprotocol come before the ticket, which stays good then; a bad token is not made good by a ticket.
#[tokio::test]
async fn a_ticket_is_looked_at_after_the_headers() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada"), server.user("eve"));
    let ticket = buy(&ada).await;
    let header = with_ticket(&server, &ticket).header("authorization", format!("Bearer {}", eve.token()));
    open(header).await.expect(frame("connection_established").field("user_id", "eve")).await;
    let bad = with_ticket(&server, &ticket).header("sec-websocket-protocol", "wireproof.v1, jwt.a.b.c");
    assert_refused(&open(bad).await, "unauthenticated").await;
    let late = open(with_ticket(&server, &ticket)).await;
    late.expect(frame("connection_established").field("user_id", "ada")).await;
}

/// A user cannot fill the memory with tickets, nor keep others from buying. The refusal was counted nowhere, though
/// `/metrics` had a series for it, and this test met the rate of messages before the bound.
#[tokio::test]
async fn tickets_are_bounded_for_each_user() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let ada = server.user("ada");
    let mut refused = None;
    for _ in 0..200 {
        let reply = ada.post("/ws/ticket", json!({})).await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert_eq!((refused.status, refused.error_code()), (429, "rate_limited"));
    assert!(refused.header("retry-after").is_some());
    let metrics = server.rest().get("/metrics").await.body;
    assert!(metrics.contains("wireproof_limits_hit_total{limit=\"tickets\"} 1\n"), "{metrics}");
    buy(&server.user("eve")).await;
}

/// A token in the address is no credential at all, unless the settings say so: then it is the last that is looked at.
#[tokio::test]
async fn a_token_in_the_address_counts_only_where_the_settings_say_so() {
    let off = TestServer::start_with(|config| config.limits.authenticate_seconds = 0.1).await;
    let asked =
        |server: &TestServer| Connect::to(format!("{}?token={}", server.url(), server.user("ada").token()));
    assert_refused(&open(asked(&off)).await, "unauthenticated").await;
    let on = TestServer::start_with(|config| config.auth.query_token = true).await;
    open(asked(&on)).await.expect(frame("connection_established").field("user_id", "ada")).await;
    let eve = asked(&on).token(on.user("eve").token());
    open(eve).await.expect(frame("connection_established").field("user_id", "eve")).await;
    let bad = Connect::to(format!("{}?token=a.b.c", on.url()));
    assert_refused(&open(bad).await, "unauthenticated").await;
}
