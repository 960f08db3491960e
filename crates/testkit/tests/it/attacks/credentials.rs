//! Credentials that were good, or are good for something else: tickets, logins, renewals, permissions, revocations.

use std::sync::Arc;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use wireproof_testkit::Reply;

use super::{
    row::{Row, Saw, asks, closed, http, refused, requests, socket, steps},
    site::{Site, unix_now},
};

const PASSWORD: &str = "correct horse battery staple";
const FORBIDDEN: (u16, &str) = (403, "forbidden");

fn outside() -> Saw {
    closed("unauthenticated", 1008)
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        // Tickets.
        steps("a ticket for the second time", outside(), ticket_again),
        steps("a ticket in twenty hands at once", outside(), ticket_race),
        steps("a ticket that was never sold", outside(), |s| async move { vec![with_ticket(&s, &"A".repeat(43)).await] }),
        steps("a ticket as a token", http(401, "unauthenticated"), ticket_as_token),
        steps("a ticket bought with a token that is revoked since", outside(), ticket_of_revoked),
        steps("a ticket without a token", http(401, "unauthenticated"), |s| async move { vec![saw(&s.server.rest().post("/ws/ticket", json!({})).await)] }),
        // Logins.
        steps("a refresh token for the second time", http(401, "unauthenticated"), refresh_again),
        steps("a refresh token as a token", http(401, "unauthenticated"), refresh_as_token),
        steps("a token as a refresh token", http(401, "unauthenticated"), token_as_refresh),
        steps("a token after the logout", http(401, "unauthenticated"), after_logout),
        steps("a registration that grants itself everything", http(403, "forbidden"), greedy),
        steps("a registration under a taken name", http(409, "name_taken"), taken),
        steps("wrong passwords and unknown names look alike", http(401, "unauthenticated"), alike),
        steps("a hundred passwords for one name", http(429, "rate_limited"), |s| async move { spray(&s, |_| "sprayed".into(), |n| format!("password {n}")).await }),
        steps("one password for a hundred names", http(429, "rate_limited"), |s| async move { spray(&s, |n| format!("name-{n}"), |_| "Winter2026!".into()).await }),
        // Permissions.
        steps("a connection without threads:read", closed("forbidden", 1008), |s| async move { vec![with_permissions(&s, json!(["chat"])).await] }),
        steps("a connection with nothing", closed("forbidden", 1008), |s| async move { vec![with_permissions(&s, json!([])).await] }),
        steps("permissions that are none", closed("forbidden", 1008), |s| async move { vec![with_permissions(&s, json!(["*", "admin", "root", ""])).await] }),
        steps("a chat without chat", refused("forbidden"), |s| async move { only_reads(&s, json!({ "type": "chat", "content": "hi" })).await }),
        steps("a new thread without threads:write", refused("forbidden"), |s| async move { only_reads(&s, json!({ "type": "create_thread" })).await }),
        steps("a cancel without runs:cancel", refused("forbidden"), |s| async move { only_reads(&s, json!({ "type": "cancel_run", "run_id": s.run_id })).await }),
        requests("a user asks who is connected", FORBIDDEN, |_| (Method::GET, "/api/admin/connections".into(), String::new())),
        requests("a user revokes another", FORBIDDEN, |_| (Method::POST, "/api/admin/revoke".into(), r#"{"user_id":"victim"}"#.into())),
        requests("a user drains the server", FORBIDDEN, |_| (Method::POST, "/api/admin/drain".into(), "{}".into())),
        requests("a user makes an account", FORBIDDEN, |_| (Method::POST, "/api/admin/users".into(), r#"{"user_id":"x","password":"long enough"}"#.into())),
        steps("another issuer's token that grants admin", http(403, "forbidden"), foreign_admin),
        // Renewals and revocations.
        asks("a renewal as another user", "forbidden", |s| json!({ "type": "authenticate", "token": s.good("victim") })),
        asks("a renewal with an expired token", "token_expired", |s| json!({ "type": "authenticate", "token": s.signed(json!({ "sub": "attacker", "exp": unix_now() - 1.0 })) })),
        asks("a renewal with a broken token", "unauthenticated", |_| json!({ "type": "authenticate", "token": "a.b.c" })),
        steps("a revoked token", outside(), revoked),
    ]
}

fn saw(reply: &Reply) -> Saw {
    Saw::http(reply.status, reply.error_code(), &reply.body)
}

async fn with_ticket(site: &Site, ticket: &str) -> Saw {
    socket(site, &format!("/ws?ticket={ticket}"), &[], &[]).await
}

async fn with_token(site: &Site, token: &str) -> Saw {
    socket(site, "/ws", &[format!("Authorization: Bearer {token}")], &[]).await
}

async fn buy(site: &Site, token: &str) -> String {
    let sold = site.server.rest().token(token).post("/ws/ticket", json!({})).await;
    sold.json["ticket"].as_str().unwrap_or_else(|| panic!("no ticket: {}", sold.body)).to_owned()
}

async fn ticket_again(site: Arc<Site>) -> Vec<Saw> {
    let ticket = buy(&site, &site.attacker.token()).await;
    let first = with_ticket(&site, &ticket).await;
    assert!(matches!(first, Saw::In(_)), "{first:?}");
    vec![with_ticket(&site, &ticket).await]
}

async fn ticket_race(site: Arc<Site>) -> Vec<Saw> {
    let ticket = buy(&site, &site.attacker.token()).await;
    let mut seen = join_all((0..20).map(|_| with_ticket(&site, &ticket))).await;
    let winner = seen.iter().position(|saw| matches!(saw, Saw::In(_))).expect("one gets in");
    seen.remove(winner);
    seen
}

async fn ticket_as_token(site: Arc<Site>) -> Vec<Saw> {
    let ticket = buy(&site, &site.attacker.token()).await;
    vec![saw(&site.server.rest().token(&ticket).get("/api/threads").await)]
}

async fn ticket_of_revoked(site: Arc<Site>) -> Vec<Saw> {
    let token = site.signed(json!({ "sub": "attacker", "jti": "bought and revoked" }));
    let ticket = buy(&site, &token).await;
    revoke(&site, json!({ "token_id": "bought and revoked" })).await;
    vec![with_ticket(&site, &ticket).await]
}

async fn revoked(site: Arc<Site>) -> Vec<Saw> {
    let token = site.signed(json!({ "sub": "attacker", "jti": "revoked" }));
    let before = with_token(&site, &token).await;
    assert!(matches!(before, Saw::In(_)), "{before:?}");
    revoke(&site, json!({ "token_id": "revoked" })).await;
    vec![with_token(&site, &token).await]
}

async fn revoke(site: &Site, what: Value) {
    let admin = site.granting("root", Some(vec!["admin:users".to_owned()]));
    let reply = site.server.rest().token(admin).post("/api/admin/revoke", what).await;
    assert!(reply.status < 300, "{}", reply.body);
}

/// A new account's tokens.
async fn account(site: &Site, name: &str) -> Value {
    let body = json!({ "user_id": name, "password": PASSWORD });
    let made = site.server.rest().post("/auth/register", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json
}

fn text(json: &Value, field: &str) -> String {
    json[field].as_str().unwrap_or_else(|| panic!("no {field}: {json}")).to_owned()
}

async fn refresh(site: &Site, token: &str) -> Reply {
    site.server.rest().post("/auth/refresh", json!({ "refresh_token": token })).await
}

/// The second use is refused, and so is all that came of the first: somebody has stolen one of them.
async fn refresh_again(site: Arc<Site>) -> Vec<Saw> {
    let old = text(&account(&site, "refreshed").await, "refresh_token");
    let first = refresh(&site, &old).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let again = saw(&refresh(&site, &old).await);
    let newer = saw(&refresh(&site, &text(&first.json, "refresh_token")).await);
    let access = site.server.rest().token(text(&first.json, "access_token")).get("/auth/me").await;
    vec![again, newer, saw(&access)]
}

async fn refresh_as_token(site: Arc<Site>) -> Vec<Saw> {
    let token = text(&account(&site, "confused").await, "refresh_token");
    vec![saw(&site.server.rest().token(token).get("/api/threads").await)]
}

async fn token_as_refresh(site: Arc<Site>) -> Vec<Saw> {
    vec![saw(&refresh(&site, &site.attacker.token()).await)]
}

async fn after_logout(site: Arc<Site>) -> Vec<Saw> {
    let tokens = account(&site, "leaving").await;
    let (access, refresh_token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let rest = site.server.rest().token(&access);
    let left = rest.post("/auth/logout", json!({})).await;
    assert!(left.status < 300, "{}", left.body);
    vec![saw(&rest.get("/auth/me").await), saw(&refresh(&site, &refresh_token).await)]
}

/// Fields that a registration does not have change nothing: the new account is a user like any other.
async fn greedy(site: Arc<Site>) -> Vec<Saw> {
    let body = json!({
        "user_id": "greedy", "password": PASSWORD, "permissions": ["admin:*"], "admin": true, "role": "admin",
    });
    let made = site.server.rest().post("/auth/register", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let rest = site.server.rest().token(text(&made.json, "access_token"));
    vec![saw(&rest.get("/api/admin/connections").await), saw(&rest.get("/api/admin/users").await)]
}

async fn taken(site: Arc<Site>) -> Vec<Saw> {
    account(&site, "taken").await;
    let body = json!({ "user_id": "taken", "password": "another password" });
    vec![saw(&site.server.rest().post("/auth/register", body).await)]
}

async fn login(site: &Site, name: &str, password: &str) -> Reply {
    site.server.rest().post("/auth/login", json!({ "user_id": name, "password": password })).await
}

/// Status, body and headers are the same but for the time.
async fn alike(site: Arc<Site>) -> Vec<Saw> {
    account(&site, "known").await;
    let (known, unknown) =
        (login(&site, "known", "a wrong one").await, login(&site, "unknown", "a wrong one").await);
    let told = |reply: &Reply| {
        let mut json = reply.json.clone();
        json["timestamp"].take();
        let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
        names.sort();
        (reply.status, json, names)
    };
    assert_eq!(told(&known), told(&unknown));
    vec![saw(&known), saw(&unknown)]
}

/// Tries until the server has enough of it; what it says then.
async fn spray(site: &Site, name: impl Fn(u32) -> String, password: impl Fn(u32) -> String) -> Vec<Saw> {
    for n in 0..100 {
        let reply = login(site, &name(n), &password(n)).await;
        match reply.status {
            401 => {}
            429 => {
                assert!(reply.header("retry-after").is_some(), "{reply:?}");
                return vec![saw(&reply)];
            }
            _ => return vec![saw(&reply)],
        }
    }
    vec![Saw::In("a hundred tries".to_owned())]
}

async fn with_permissions(site: &Site, permissions: Value) -> Saw {
    with_token(site, &site.signed(json!({ "sub": "attacker", "permissions": permissions }))).await
}

async fn only_reads(site: &Site, frame: Value) -> Vec<Saw> {
    let token = site.signed(json!({ "sub": "attacker", "permissions": ["threads:read"] }));
    let client = site.attacker.open(site.attacker.connection().token(token)).await;
    client.expect("connection_established").await;
    let answer = client.ask(frame).await;
    client.barrier().await;
    vec![match answer.kind() {
        "error" => refused(answer.text_of("error_code")),
        _ => Saw::In(answer.text.to_string()),
    }]
}

async fn foreign_admin(site: Arc<Site>) -> Vec<Saw> {
    let claims = site.claims(json!({ "sub": "attacker", "permissions": ["admin:*", "admin:read"] }));
    let tokens = [site.es256.sign_claims(&claims), site.rs256.sign_claims(&claims)];
    let mut seen = Vec::new();
    for token in tokens {
        seen.push(saw(&site.server.rest().token(token).get("/api/admin/connections").await));
    }
    seen
}
