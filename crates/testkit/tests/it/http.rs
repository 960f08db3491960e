//! Malformed HTTP on every route: each its status and its error in the one shape, and nothing is changed by it.

use http::Method;
use serde_json::json;
use wireproof_protocol::{RunId, ThreadId};
use wireproof_testkit::{Reply, TestServer};

use crate::wire::Wire;

#[track_caller]
fn assert_error(reply: &Reply, status: u16, error_code: &str, what: &str) {
    assert_eq!((reply.status, reply.error_code()), (status, error_code), "{what}: {}", reply.body);
    assert_eq!(reply.json["error"], reply.json["message"], "{what}");
    assert!(reply.json["retryable"].is_boolean(), "{what}");
    let kind = reply.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{what}: {kind}");
}

const BODIES: [(&str, u16, &str); 12] = [
    ("{", 400, "invalid_json"),
    ("nonsense", 400, "invalid_json"),
    ("{\"title\":\"a\",}", 400, "invalid_json"),
    ("{}{}", 400, "invalid_json"),
    ("{\"title\":\"\u{1}\"}", 400, "invalid_json"),
    ("{\"title\":\"\\ud800\"}", 400, "invalid_json"),
    (" ", 400, "invalid_json"),
    ("[]", 422, "invalid_frame"),
    ("\"text\"", 422, "invalid_frame"),
    ("7", 422, "invalid_frame"),
    ("null", 422, "invalid_frame"),
    ("true", 422, "invalid_frame"),
];

#[tokio::test]
async fn a_malformed_body_is_refused_on_every_route_that_takes_one() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let thread = user.post("/api/threads", json!({ "title": "plans" })).await.json;
    let path = format!("/api/threads/{}", thread["thread_id"].as_str().unwrap());
    let messages = format!("{path}/messages");
    let routes = [(Method::POST, "/api/threads"), (Method::PATCH, &path), (Method::POST, &messages)];
    for (method, route) in &routes {
        for (body, status, code) in BODIES {
            let reply = user.send(method.clone(), route, body).await;
            assert_error(&reply, status, code, &format!("{method} {route} {body:?}"));
        }
        let reply = user.rest().send(method.clone(), route, &b"{\"title\":\"\xff\"}"[..]).await;
        assert_error(&reply, 400, "invalid_json", "not UTF-8");
        let large = format!("{{\"content\":\"a\",\"title\":\"{}\"}}", "x".repeat(2 << 20));
        let reply = user.send(method.clone(), route, &large).await;
        assert_error(&reply, 413, "message_too_large", &format!("{method} {route} 2 MiB"));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let reply = user.send(method.clone(), route, &format!("{{\"metadata\":{deep}}}")).await;
        assert_error(&reply, 400, "invalid_json", &format!("{method} {route} very deep"));
    }
    for (method, route) in &routes[..2] {
        for body in [
            json!({ "title": 7 }),
            json!({ "title": ["a"] }),
            json!({ "title": "x".repeat(201) }),
            json!({ "metadata": [] }),
            json!({ "metadata": "text" }),
            json!({ "metadata": { "big": "x".repeat(17_000) } }),
        ] {
            let reply = user.send(method.clone(), route, &body.to_string()).await;
            assert_error(&reply, 422, "invalid_frame", &format!("{method} {route}"));
        }
    }
    assert_error(&user.patch(&path, json!({ "title": "  " })).await, 422, "invalid_frame", "an empty title");
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({ "content": "" }), "invalid_frame"),
        (json!({ "content": " \n" }), "invalid_frame"),
        (json!({ "content": 7 }), "invalid_frame"),
        (json!({ "content": "hi", "id": "" }), "invalid_frame"),
        (json!({ "content": "hi", "id": "x".repeat(129) }), "invalid_frame"),
        (json!({ "content": "hi", "id": 7 }), "invalid_frame"),
        (json!({ "content": "hi", "agent": 7 }), "invalid_frame"),
    ] {
        assert_error(&user.post(&messages, body.clone()).await, 422, code, &body.to_string());
    }
    let unknown = user.post(&messages, json!({ "content": "hi", "agent": "nobody" })).await;
    assert_error(&unknown, 404, "not_found", "an unknown agent");
    let large = user.post(&messages, json!({ "content": "x".repeat(70_000) })).await;
    assert_error(&large, 413, "message_too_large", "over the soft limit");
    // Nothing of it had an effect.
    ada.barrier().await;
    assert_eq!((ada.events().len(), server.runs()), (1, 0));
    assert_eq!(user.get(&path).await.json, thread);
    assert_eq!(user.get("/api/threads").await.json["total"], 1);
}

#[tokio::test]
async fn queries_ids_methods_and_addresses_that_are_none() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let thread = user.post("/api/threads", json!({ "title": "plans" })).await.json;
    let path = format!("/api/threads/{}", thread["thread_id"].as_str().unwrap());
    for query in
        ["limit=-1", "limit=x", "offset=-1", "offset=1.5", "limit=99999999999999999999", "limit=1&limit=2"]
    {
        for route in ["/api/threads", &format!("{path}/messages")] {
            let reply = user.get(&format!("{route}?{query}")).await;
            assert_error(&reply, 422, "invalid_frame", &format!("{route}?{query}"));
        }
    }
    assert_eq!(user.get("/api/threads?limit=5&unknown=x").await.status, 200);
    let long = "x".repeat(5000);
    for id in
        ["nonsense", "00000000-0000-0000-0000-000000000000", "%00", "..%2f..", "'%20OR%201=1", long.as_str()]
    {
        for (method, route) in [
            (Method::GET, format!("/api/threads/{id}")),
            (Method::PATCH, format!("/api/threads/{id}")),
            (Method::DELETE, format!("/api/threads/{id}")),
            (Method::GET, format!("/api/threads/{id}/messages")),
            (Method::GET, format!("/api/runs/{id}")),
            (Method::POST, format!("/api/runs/{id}/cancel")),
        ] {
            let reply = user.send(method.clone(), &route, "").await;
            assert_error(&reply, 404, "not_found", &format!("{method} {route:.80}"));
        }
    }
    for (method, route) in [
        (Method::PUT, "/api/threads".to_owned()),
        (Method::DELETE, "/api/threads".to_owned()),
        (Method::POST, path.clone()),
        (Method::PUT, path.clone()),
        (Method::DELETE, format!("{path}/messages")),
        (Method::POST, format!("/api/runs/{}", RunId::new())),
        (Method::GET, format!("/api/runs/{}/cancel", RunId::new())),
        (Method::POST, "/health".to_owned()),
        (Method::DELETE, "/metrics".to_owned()),
    ] {
        assert_error(
            &user.send(method.clone(), &route, "").await,
            405,
            "invalid_frame",
            &format!("{method} {route}"),
        );
    }
    for route in [
        "/",
        "/api",
        "/api/",
        "/api/thread",
        "/api/threads/",
        "/ws/",
        "/admin",
        "/.env",
        "/api/threads/a/b/c",
    ] {
        assert_error(&user.get(route).await, 404, "not_found", route);
    }
}

#[tokio::test]
async fn every_route_of_a_user_asks_who_it_is() {
    let server = TestServer::start().await;
    let thread = ThreadId::generate();
    let run = RunId::new();
    for (method, route) in [
        (Method::GET, "/api/threads".to_owned()),
        (Method::POST, "/api/threads".to_owned()),
        (Method::GET, format!("/api/threads/{thread}")),
        (Method::PATCH, format!("/api/threads/{thread}")),
        (Method::DELETE, format!("/api/threads/{thread}")),
        (Method::GET, format!("/api/threads/{thread}/messages")),
        (Method::POST, format!("/api/threads/{thread}/messages")),
        (Method::GET, format!("/api/runs/{run}")),
        (Method::POST, format!("/api/runs/{run}/cancel")),
    ] {
        for rest in [server.rest(), server.rest().token("nonsense")] {
            // Who asks is asked before what is asked: a body that is none does not matter.
            let reply = rest.send(method.clone(), &route, "nonsense").await;
            assert_error(&reply, 401, "unauthenticated", &format!("{method} {route}"));
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    for route in ["/health", "/ready", "/metrics"] {
        assert_eq!(server.rest().get(route).await.status, 200, "{route}");
    }
}

/// Requests that break HTTP itself are answered or closed, and the server goes on.
#[tokio::test]
async fn requests_that_break_http_do_no_harm() {
    let server = TestServer::start().await;
    for (name, bytes, status) in [
        (
            "two lengths",
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            400,
        ),
        (
            "a length that is no number",
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            400,
        ),
        (
            "a negative length",
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
            400,
        ),
        ("HTTP/3.0", "GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", 400),
        ("no version", "GET /health\r\n\r\n", 400),
        ("a space in the address", "GET /hea lth HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("a NUL in a header", "GET /health HTTP/1.1\r\nHost: localhost\u{0}\r\n\r\n", 400),
        ("a TLS greeting", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", 400),
    ] {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(bytes.as_bytes()).await;
        assert_eq!(wire.head().await.status, status, "{name}");
    }
    assert_eq!(server.rest().get("/health").await.status, 200);
    assert_eq!((server.runs(), server.connections()), (0, 0));
}
