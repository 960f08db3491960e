//! Under which names the server answers: a page whose own name was made to point here (DNS rebinding) gets nothing.

use wireproof_testkit::TestServer;

use crate::wire::{Wire, handshake_at};

/// Every kind of route: public, for watchers, for users, none; and the upgrade.
const ROUTES: [&str; 7] =
    ["/metrics", "/health", "/ws/health", "/ready", "/openapi.json", "/api/threads", "/nowhere"];

/// The status and the body of a request with these lines.
async fn ask(server: &TestServer, path: &str, version: &str, lines: &str) -> (u16, String) {
    let mut wire = Wire::dial(server.address()).await;
    wire.write(format!("GET {path} HTTP/{version}\r\nConnection: close\r\n{lines}\r\n").as_bytes()).await;
    let head = wire.head().await;
    let body = wire.body(&head).await;
    (head.status, body)
}

async fn upgrade(server: &TestServer, host: &str, lines: &[&str]) -> u16 {
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    let mut wire = Wire::dial(server.address()).await;
    wire.write(handshake_at(host, "/ws", &[lines, &[token.as_str()]].concat()).as_bytes()).await;
    wire.head().await.status
}

/// Bug: `Host: evil.example` was answered on every address, so a page of that name could read the metrics.
#[tokio::test]
async fn a_name_that_is_not_ours_gets_nothing_on_any_route() {
    let server = TestServer::start().await;
    for path in ROUTES {
        for host in ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "localhost.evil.example"]
        {
            let (status, body) = ask(&server, path, "1.1", &format!("Host: {host}\r\n")).await;
            assert_eq!(status, 421, "{path} {host}: {body}");
            assert!(body.contains("\"forbidden\"") && body.contains("http.hosts"), "{body}");
            assert!(!body.contains("evil") && !body.contains("wireproof_"), "{body}");
        }
        for lines in [
            "",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost:x\r\n",
        ] {
            assert_eq!(ask(&server, path, "1.1", lines).await.0, 400, "{path} {lines:?}");
        }
        // A health check of HTTP/1.0 names no host; no browser speaks so.
        let (status, _) = ask(&server, path, "1.0", "").await;
        assert!(![400, 421].contains(&status), "{path}: {status}");
        assert_eq!(ask(&server, path, "1.0", "Host: evil.example\r\n").await.0, 421, "{path}");
    }
    for (host, status) in [
        ("localhost", 101),
        ("app.localhost:80", 101),
        ("127.0.0.1", 101),
        ("[::1]:1", 101),
        ("10.1.2.3:8787", 101),
        ("evil.example", 421),
        ("a/b", 400),
    ] {
        assert_eq!(upgrade(&server, host, &[]).await, status, "{host}");
    }
    // The form in which proxies are asked names a host of its own.
    let target = "http://evil.example/metrics";
    assert_eq!(ask(&server, target, "1.1", "Host: localhost\r\n").await.0, 421);
}

#[tokio::test]
async fn a_name_of_the_list_is_ours_and_so_is_its_page() {
    let server = TestServer::start_with(|config| {
        config.http.hosts = vec!["Chat.example.com".to_owned()];
    })
    .await;
    assert_eq!(ask(&server, "/metrics", "1.1", "Host: chat.example.com\r\n").await.0, 200);
    assert_eq!(ask(&server, "/metrics", "1.1", "Host: chat.example.com.\r\n").await.0, 200);
    assert_eq!(ask(&server, "/metrics", "1.1", "Host: x.chat.example.com\r\n").await.0, 421);
    assert_eq!(upgrade(&server, "chat.example.com", &["Origin: http://chat.example.com"]).await, 101);
    assert_eq!(upgrade(&server, "chat.example.com", &["Origin: http://other.example"]).await, 403);
    let any = TestServer::start_with(|config| config.http.hosts = vec!["*".to_owned()]).await;
    assert_eq!(ask(&any, "/metrics", "1.1", "Host: evil.example\r\n").await.0, 200);
}

/// What a trusted proxy says its client asked for counts besides the host that the proxy itself asks for; what others say
/// does not.
#[tokio::test]
async fn behind_a_trusted_proxy_each_name_is_to_be_ours() {
    let server = TestServer::start_with(|config| {
        config.http.hosts = vec!["chat.example.com".to_owned(), "upstream".to_owned()];
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
    })
    .await;
    for (lines, status) in [
        ("Host: upstream\r\nX-Forwarded-Host: chat.example.com\r\n", 200),
        ("Host: chat.example.com\r\n", 200),
        ("Host: upstream\r\nX-Forwarded-Host: evil.example\r\n", 421),
        ("Host: upstream\r\nX-Forwarded-Host: evil.example, chat.example.com\r\n", 421),
        ("Host: evil.example\r\nX-Forwarded-Host: chat.example.com\r\n", 421),
        ("Host: upstream\r\nX-Forwarded-Host: a b\r\n", 400),
        ("Host: upstream\r\nForwarded: host=evil.example\r\n", 200),
    ] {
        assert_eq!(ask(&server, "/health", "1.1", lines).await.0, status, "{lines}");
    }
    for (proto, status) in [("wss", 101), ("https", 101), ("WSS, ws", 101), ("ws", 403), ("", 403)] {
        let lines = ["Origin: https://chat.example.com", &format!("X-Forwarded-Proto: {proto}")];
        assert_eq!(upgrade(&server, "chat.example.com", &lines).await, status, "{proto}");
    }
    let untrusted = TestServer::start().await;
    let lines = "Host: localhost\r\nX-Forwarded-Host: evil.example\r\n";
    assert_eq!(ask(&untrusted, "/health", "1.1", lines).await.0, 200);
}
