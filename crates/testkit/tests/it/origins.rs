//! Whose web pages may speak to the server: its own and those of the list, and no other gets even to the handshake.

use wireproof_testkit::{TestServer, frame};

use crate::wire::{Wire, handshake};

/// The status of a handshake with these header lines and a good token.
async fn upgrade(server: &TestServer, lines: &[&str]) -> u16 {
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    let mut wire = Wire::dial(server.address()).await;
    wire.write(handshake("/ws", &[lines, &[token.as_str()]].concat()).as_bytes()).await;
    wire.head().await.status
}

#[tokio::test]
async fn the_own_page_gets_in_and_the_pages_of_others_do_not() {
    let server = TestServer::start().await;
    // The kit's handshake is addressed to `localhost`.
    for origin in ["http://localhost", "http://localhost:80", "HTTP://LOCALHOST"] {
        assert_eq!(upgrade(&server, &[&format!("Origin: {origin}")]).await, 101, "{origin}");
    }
    assert_eq!(upgrade(&server, &[]).await, 101);
    for origin in [
        "null",
        "http://evil.example",
        "https://localhost",
        "http://localhost:3000",
        "http://localhost.evil.example",
        "http://evil.example/localhost",
        "http://localhost@evil.example",
        "localhost",
        "http://localhost/",
        "http://localhost, http://localhost",
        "http://localhost http://evil.example",
        "",
    ] {
        assert_eq!(upgrade(&server, &[&format!("Origin: {origin}")]).await, 403, "{origin}");
    }
    let twice = ["Origin: http://localhost", "Origin: http://localhost"];
    assert_eq!(upgrade(&server, &twice).await, 403);
    // A second Host makes no page the own one: the request is no HTTP.
    assert_eq!(upgrade(&server, &["Origin: http://evil.example", "Host: evil.example"]).await, 400);
    assert_eq!(server.runs(), 0);
}

#[tokio::test]
async fn a_refused_page_hears_why_in_the_one_shape() {
    let server = TestServer::start().await;
    let ada = server.user("ada");
    let rest = ada.rest().header("origin", "http://evil.example");
    for path in ["/ws", "/api/threads", "/health"] {
        let reply = rest.get(path).await;
        assert_eq!((reply.status, reply.error_code()), (403, "forbidden"), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let own = format!("http://{}", server.address());
    let reply = ada.rest().header("origin", &own).get("/api/threads").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_listed_page_gets_in_and_hears_that_it_may() {
    let page = "https://app.example.com";
    let server = TestServer::start_with(|config| {
        config.http.allowed_origins = vec![page.to_owned(), "http://other.example:8080".to_owned()];
    })
    .await;
    let ada = server.user("ada");
    let listed = ada.open(ada.connection().header("origin", page)).await;
    listed.expect(frame("connection_established")).await;
    assert_eq!(upgrade(&server, &["Origin: https://app.example.com:443"]).await, 101);
    assert_eq!(upgrade(&server, &["Origin: https://app.example.com:444"]).await, 403);
    assert_eq!(upgrade(&server, &["Origin: http://app.example.com"]).await, 403);
    assert_eq!(upgrade(&server, &["Origin: https://app.example.com.evil.example"]).await, 403);

    let preflight = |origin: &str| {
        let rest = server.rest().header("origin", origin).header("access-control-request-method", "PATCH");
        async move { rest.send(http::Method::OPTIONS, "/api/threads", "").await }
    };
    let reply = preflight(page).await;
    assert_eq!(reply.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", page),
        ("access-control-allow-methods", "GET, POST, PATCH, DELETE"),
        ("access-control-allow-headers", "authorization, content-type, traceparent"),
        ("vary", "origin"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert_eq!(preflight("https://evil.example").await.status, 403);
    // What is asked behind the preflight still takes its token, and tells the page also of a refusal.
    for (rest, status) in [(ada.rest(), 200), (server.rest(), 401)] {
        let reply = rest.header("origin", page).get("/api/threads").await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some(page)));
    }
}

/// A proxy that ends TLS says which scheme its client used; anybody else says it in vain.
#[tokio::test]
async fn only_a_trusted_proxy_says_that_the_page_came_over_https() {
    let lines = ["Origin: https://localhost", "X-Forwarded-Proto: https"];
    let alone = TestServer::start().await;
    assert_eq!(upgrade(&alone, &lines).await, 403);
    let behind = TestServer::start_with(|config| {
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    assert_eq!(upgrade(&behind, &lines).await, 101);
    assert_eq!(upgrade(&behind, &["Origin: http://localhost", "X-Forwarded-Proto: https"]).await, 403);
    assert_eq!(upgrade(&behind, &["Origin: https://localhost"]).await, 403);
}

#[tokio::test]
async fn a_star_lets_any_page_in_but_none_without_a_name() {
    let server = TestServer::start_with(|config| config.http.allowed_origins = vec!["*".to_owned()]).await;
    assert_eq!(upgrade(&server, &["Origin: http://any.example"]).await, 101);
    assert_eq!(upgrade(&server, &["Origin: null"]).await, 403);
    let reply = server.rest().header("origin", "http://any.example").get("/health").await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("http://any.example"));
}
