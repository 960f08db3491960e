//! A server without authentication: for this machine alone, told to everybody, and no excuse for bad credentials.

use serde_json::json;
use wireproof_server::{Config, Server};
use wireproof_testkit::{TestServer, frame};

use crate::{
    front_door::{assert_refused, open},
    wire::{Wire, handshake},
};

async fn insecure() -> TestServer {
    TestServer::start_with(|config| config.insecure_no_auth = true).await
}

#[tokio::test]
async fn who_shows_nothing_is_anonymous_and_is_told() {
    let server = insecure().await;
    let nobody = open(server.connect()).await;
    let welcome = nobody.expect(frame("connection_established").field("user_id", "anonymous")).await;
    assert_eq!(welcome["insecure_no_auth"], true);
    nobody.chat("What is 1+1?").await;
    let ada = server.user("ada").connect().await;
    assert_eq!(ada.frames()[0]["insecure_no_auth"], true);
    assert_eq!(server.rest().get("/api/threads").await.json["total"], 1);
    assert_eq!(server.user("ada").get("/api/threads").await.json["total"], 0);
    // A user's rights, and no more.
    assert_eq!(server.rest().get("/api/admin/connections").await.status, 403);
}

#[tokio::test]
async fn bad_credentials_are_still_refused() {
    let server = insecure().await;
    assert_refused(&open(server.connect().token("bad")).await, "unauthenticated").await;
    let ticket = wireproof_client::Credentials::Ticket("bad".into());
    assert_refused(&open(server.connect().credentials(ticket)).await, "unauthenticated").await;
    assert_eq!(server.rest().token("bad").get("/api/threads").await.status, 401);
    assert_eq!(server.rest().header("authorization", "Basic YTpi").get("/api/threads").await.status, 401);
    // Nobody becomes somebody in band.
    let nobody = open(server.connect()).await;
    let renewal = json!({ "type": "authenticate", "token": server.user("ada").token() });
    assert_eq!(nobody.ask(renewal).await["error_code"], "forbidden");
}

/// A page of the internet, under a name of its own that points to this machine, is not let in.
#[tokio::test]
async fn only_this_machine_by_its_own_name_is_served() {
    let server = insecure().await;
    for host in ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "10.0.0.1"] {
        let reply = server.rest().header("host", host).get("/api/threads").await;
        assert_eq!((reply.status, reply.error_code()), (403, "forbidden"), "{host}");
        let mut wire = Wire::dial(server.address()).await;
        let asked = handshake("/ws", &[]).replace("Host: localhost", &format!("Host: {host}"));
        wire.write(asked.as_bytes()).await;
        assert_eq!(wire.head().await.status, 403, "{host}");
    }
    assert_eq!(server.rest().header("host", "localhost:1").get("/api/threads").await.status, 200);
    let foreign = server.rest().header("origin", "http://evil.example");
    assert_eq!(foreign.post("/api/threads", json!({})).await.status, 403);
}

/// Bug: with any page of the internet allowed, or behind a proxy, it started and said nothing.
#[tokio::test]
async fn it_does_not_start_where_pages_or_proxies_bring_others_in() {
    let refused = async |change: &dyn Fn(&mut Config)| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { insecure_no_auth: true, ..Config::default() };
        (config.listen, config.data_dir) = ("127.0.0.1:0".parse().unwrap(), folder.path().to_owned());
        change(&mut config);
        Server::start(config).await.err().map(|error| error.to_string())
    };
    for (key, value) in [
        ("http.allowed_origins", "*"),
        ("http.allowed_origins", "https://app.example.com"),
        ("http.trusted_proxies", "127.0.0.1"),
        ("http.trusted_proxies", "10.0.0.0/8"),
    ] {
        let error = refused(&|config| match key {
            "http.allowed_origins" => config.http.allowed_origins = vec![value.to_owned()],
            _ => config.http.trusted_proxies = vec![value.to_owned()],
        })
        .await;
        let error = error.unwrap_or_else(|| panic!("it starts with {key} = {value}"));
        for word in [key, value, "--insecure-no-auth", "away"] {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    }
    // Pages of this machine are no others.
    let own = vec!["http://localhost:3000".to_owned(), "http://127.0.0.1:8080".to_owned()];
    assert_eq!(refused(&|config| config.http.allowed_origins = own.clone()).await, None);
}

#[tokio::test]
async fn it_does_not_start_where_others_reach_it() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            listen: address.parse().unwrap(),
            data_dir: folder.path().to_owned(),
            insecure_no_auth: true,
            ..Config::default()
        };
        let error = Server::start(config).await.err().expect("a refusal").to_string();
        assert!(
            error.contains("--insecure-no-auth") && error.contains(address.trim_end_matches(":0")),
            "{error}"
        );
    }
}
