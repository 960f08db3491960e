//! Mutations, seen by the clients of a real server behind the proxy: what they do, and what they leave alone.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wireproof_client::{Connect, Trust};
use wireproof_faultproxy::{
    FaultProxy,
    mutation::{Accept, Address, Kind, Mutation, Pick, Role, Setup, Tls},
};
use wireproof_judge::{
    check::{Embedded, InjectedFault, Judge},
    profile::Profile,
    report::Verdict,
};
use wireproof_testkit::{TestClient, TestServer, TokenKind};

fn setup(mutations: Vec<Mutation>) -> Setup {
    let roles = Profile::find("wireproof").unwrap().roles();
    Setup { roles, mutations, ..Setup::default() }
}

/// A server, and a proxy in front of it that does these things in its place.
async fn mutated(mutations: Vec<Mutation>) -> (TestServer, FaultProxy) {
    let server = TestServer::start().await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    proxy.mutate(setup(mutations));
    (server, proxy)
}

async fn client(server: &TestServer, proxy: &FaultProxy, user: &str) -> TestClient {
    TestClient::open(Connect::to(proxy.url("/ws")).token(server.user(user).token())).await.unwrap()
}

async fn ask(client: &mut TestClient) {
    client.send(json!({ "type": "chat", "content": "What is 17*23?" })).await;
}

/// What the proxy says that it did.
fn done(proxy: &FaultProxy) -> Vec<String> {
    proxy.journal().into_iter().map(|entry| entry.what).collect()
}

#[tokio::test]
async fn a_message_is_lost_and_its_neighbours_are_not() {
    let (server, proxy) = mutated(vec![Mutation::Lose(Pick::every(Kind::Thinking))]).await;
    let mut ada = client(&server, &proxy, "ada").await;
    ask(&mut ada).await;
    ada.expect("tool_executing").await;
    ada.expect("agent_completed").await;
    assert!(ada.frames().iter().all(|frame| frame.kind() != "agent_thinking"));
    assert!(done(&proxy).contains(&"lose".to_owned()), "{:?}", done(&proxy));
    assert!(proxy.journal().iter().all(|entry| entry.altered || entry.what == "extensions_removed"));
}

/// The beginning of a message was not handed on when another message came inside it, so a server behind any mutation passed for
/// one that takes such messages.
#[tokio::test]
async fn what_breaks_the_protocol_goes_through() {
    let embedded =
        Embedded::start_with_fault(InjectedFault::find("alias_missing").unwrap(), 1).await.unwrap();
    let judge = Judge { only: vec!["protocol".to_owned()], ..Judge::new(1) };
    let report = judge.run(&embedded.target, |_| {}).await;
    let passed = report.of(Verdict::Pass).count();
    let others: Vec<_> = report.checks.iter().filter(|check| check.verdict != Verdict::Pass).collect();
    assert!(others.is_empty() && passed > 10, "{passed} passed, and not: {others:?}");
}

#[tokio::test]
async fn a_value_is_taken_out_by_its_role() {
    let remove = Mutation::Remove { role: Role::Result, pick: Pick::every(Kind::ToolCompleted) };
    let (server, proxy) = mutated(vec![remove]).await;
    let mut ada = client(&server, &proxy, "ada").await;
    ask(&mut ada).await;
    let completed = ada.expect("tool_completed").await;
    let json: Value = serde_json::from_str(&completed.text).unwrap();
    assert!(json.get("result").is_none() && json.get("tool_name").is_some(), "{json}");
}

#[tokio::test]
async fn another_user_gets_what_is_misaddressed() {
    let (server, proxy) = mutated(vec![Mutation::Misaddress(Pick::every(Kind::ToolStarted))]).await;
    let (mut ada, bob) = (client(&server, &proxy, "ada").await, client(&server, &proxy, "bob").await);
    ask(&mut ada).await;
    ada.expect("agent_completed").await;
    bob.expect("tool_executing").await;
}

#[tokio::test]
async fn a_bad_token_opens_with_the_key_and_without_it_does_not() {
    let server = TestServer::start_with(|config| config.jwt.secret = "x".repeat(64)).await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    let accept = setup(vec![Mutation::Accept(Accept::Expired)]);
    let ada = server.user("ada");
    let expired = TokenKind::Expired.forge(&ada.issuer(), &ada.claims()).unwrap();
    let connect = Connect::to(proxy.url("/ws")).token(expired);
    proxy.mutate(accept.clone());
    let refused = TestClient::open(connect.clone()).await.unwrap();
    refused.expect("error").await;
    let key = Profile::find("wireproof").unwrap().token_key("x".repeat(64).as_bytes());
    proxy.mutate(Setup { key, ..accept });
    let ada = TestClient::open(connect).await.unwrap();
    ada.expect("connection_established").await;
}

/// The answer to a request over HTTP that comes through the proxy.
async fn get(proxy: &FaultProxy, path: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn http_on_the_same_port_goes_through() {
    let (_server, proxy) = mutated(vec![Mutation::Lose(Pick::every(Kind::Delta))]).await;
    let answer = get(&proxy, "/health").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.to_lowercase().contains("content-length"),
        "{answer}"
    );
    proxy.mutate(setup(vec![Mutation::Status { at: Address::Health, status: 500 }]));
    let answer = get(&proxy, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(get(&proxy, "/openapi.json").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn extensions_are_taken_out_of_the_handshake_and_the_journal_says_so() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap(), 1).await.unwrap();
    for (mutations, removed) in [(vec![], false), (vec![Mutation::LoseEarly], true)] {
        proxy.mutate(setup(mutations));
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = server.accept().await.unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).await.unwrap();
            seen.push(byte[0]);
        }
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(!seen.contains("permessage-deflate"), removed, "{seen}");
        assert_eq!(done(&proxy).contains(&"extensions_removed".to_owned()), removed);
    }
}

#[tokio::test]
async fn toward_an_encrypted_server_the_proxy_speaks_tls_itself() {
    let (folder, made) = (
        tempfile::tempdir().unwrap(),
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap(),
    );
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&cert, made.cert.pem()).unwrap();
    let server = TestServer::start_with(|config| {
        (config.tls.cert_file, config.tls.key_file) = (cert.clone(), key);
    })
    .await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    let tls = |cert: &Path| Tls {
        config: Trust::with_pem_file(cert).unwrap().config().unwrap(),
        name: "localhost".try_into().unwrap(),
        authority: format!("localhost:{}", server.address().port()),
    };
    let lose = vec![Mutation::Lose(Pick::every(Kind::Thinking))];
    proxy.mutate(Setup { tls: Some(tls(&cert)), ..setup(lose) });
    let mut ada = client(&server, &proxy, "ada").await;
    ask(&mut ada).await;
    ada.expect("agent_completed").await;
    assert!(ada.frames().iter().all(|frame| frame.kind() != "agent_thinking"));
    assert!(get(&proxy, "/health").await.starts_with("HTTP/1.1 200"));
}

#[test]
fn every_mutation_has_its_name_in_json() {
    for (text, name) in [
        (r#"{"lose":{"part":"delta"}}"#, "lose"),
        (
            r#"{"replace":{"role":"answer","with":{"value":"no"},"pick":{"part":"completed","every":3}}}"#,
            "replace",
        ),
        (r#""starve""#, "starve"),
        (r#"{"accept":"origin"}"#, "accept"),
        (r#"{"frames":"empty_pong"}"#, "frames"),
    ] {
        let mutation: Mutation = serde_json::from_str(text).unwrap();
        assert_eq!(mutation.name(), name);
        let again: Mutation = serde_json::from_value(serde_json::to_value(&mutation).unwrap()).unwrap();
        assert_eq!(again, mutation);
    }
    assert!(serde_json::from_str::<Mutation>(r#"{"lose":{"part":"delta","evry":2}}"#).is_err());
}

/// The literals of a source, without its comments and its tests.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let escaped = "\u{1}";
    lines
        .flat_map(|line| {
            let line = line.replace("\\\"", escaped);
            line.split('"').skip(1).step_by(2).map(|text| text.replace(escaped, "\"")).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_mutation_names_a_field_or_a_type_of_our_protocol() {
    let roles = Profile::find("wireproof").unwrap().roles();
    let paths = roles.paths.values().flatten().chain(roles.required.values().flatten()).cloned();
    let of_clients = roles.shapes.iter().flat_map(|shape| shape.paths.values().cloned());
    let types = roles.shapes.iter().filter_map(|shape| Some(shape.word.as_ref()?.as_str()?.to_owned()));
    let words: BTreeSet<String> =
        roles.words.keys().cloned().chain(paths).chain(of_clients).chain(types).collect();
    assert!(words.contains("run_id") && words.contains("agent_completed") && words.contains("chat"));
    let named = |text: &str| {
        words.iter().find(|word| text == word.as_str() || text.contains(&format!("\"{word}\""))).cloned()
    };
    assert_eq!(named("{\"run_id\":1}").as_deref(), Some("run_id"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faultproxy/src/proxy/mutation");
    let mut sources = vec![folder.with_extension("rs")];
    sources.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
    assert!(sources.len() > 10, "{sources:?}");
    for path in sources {
        for literal in literals(&fs::read_to_string(&path).unwrap()) {
            assert_eq!(named(&literal), None, "{} says {literal:?}", path.display());
        }
    }
}
