//! TLS on the listener: real handshakes, certificates that change, and clients that do not speak it.

use std::{fs, path::PathBuf, time::Duration};

use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use wireproof_client::{Connect, OpenError, Trust};
use wireproof_protocol::CRITICAL_EVENTS;
use wireproof_testkit::{TestServer, TestUser, event};

const WITHIN: Duration = Duration::from_secs(20);

/// A certificate for this name, and the files of a server that shows it.
struct Pair {
    folder: TempDir,
}

impl Pair {
    fn new(name: &str) -> Self {
        let pair = Self { folder: tempdir().unwrap() };
        pair.replace(name);
        pair
    }

    /// Another certificate in the same files.
    fn replace(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        fs::write(self.cert(), made.cert.pem()).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    async fn serve(&self, poll_seconds: f64, handshake_seconds: f64) -> TestServer {
        TestServer::start_with(|config| {
            (config.tls.cert_file, config.tls.key_file) = (self.cert(), self.key());
            (config.tls.poll_seconds, config.tls.handshake_seconds) = (poll_seconds, handshake_seconds);
        })
        .await
    }

    /// What trusts the certificate that is in the file now.
    fn trust(&self) -> Trust {
        Trust::with_pem_file(self.cert()).unwrap()
    }
}

fn connect(server: &TestServer, host: &str, user: &TestUser, trust: Trust) -> Connect {
    Connect::to(format!("wss://{host}:{}/ws", server.address().port())).token(user.token()).trust(trust)
}

#[tokio::test]
async fn the_five_events_come_over_wss() {
    let pair = Pair::new("localhost");
    let server = pair.serve(10.0, 10.0).await;
    let user = server.user("ada");
    let ada = user.open(connect(&server, "localhost", &user, pair.trust())).await;
    ada.expect("connection_established").await;
    let run = ada.chat("What is 17*23?").await;
    for name in CRITICAL_EVENTS {
        ada.expect(event(name)).await;
    }
    assert!(ada.run(run.run_id).outcome().is_some());
    ada.assert_exactly_once();
    assert_eq!(ada.close(1000).await.code, Some(1000));
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_nobody_known_is_refused_by_the_client() {
    let pair = Pair::new("wireproof.example");
    let server = pair.serve(10.0, 10.0).await;
    let user = server.user("ada");
    let named = connect(&server, "localhost", &user, pair.trust()).open_welcomed().await;
    assert!(matches!(&named, Err(OpenError::NotUnderstood { why, .. }) if why.contains("certificate")));
    let unknown = connect(&server, "localhost", &user, Trust::default()).open_welcomed().await;
    assert!(matches!(&unknown, Err(OpenError::NotUnderstood { why, .. }) if why.contains("certificate")));
    // Who pins the file itself asks for no name.
    let pinned = Trust::pinned_to_pem_file(pair.cert()).unwrap();
    connect(&server, "localhost", &user, pinned).open_welcomed().await.unwrap();
    let other = Trust::pinned_to_pem_file(Pair::new("wireproof.example").cert()).unwrap();
    assert!(connect(&server, "localhost", &user, other).open_welcomed().await.is_err());
}

#[tokio::test]
async fn who_speaks_no_tls_gets_nothing_and_disturbs_nobody() {
    let pair = Pair::new("localhost");
    let server = pair.serve(10.0, 2.0).await;
    let user = server.user("ada");
    let plain = Connect::to(server.url()).token(user.token()).open_welcomed().await;
    assert!(plain.is_err(), "a plain handshake was answered");
    for bytes in
        [&b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0x16, 3, 1, 255, 255, 1], &[0; 100]]
    {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = timeout(WITHIN, stream.read_to_end(&mut answer)).await.expect("it is cut off");
        assert!(!answer.starts_with(b"HTTP"), "an answer without TLS: {answer:?}");
    }
    connect(&server, "localhost", &user, pair.trust()).open_welcomed().await.unwrap();
}

/// Bug: who was turned away for want of room was told so in plain HTTP, in the middle of its TLS handshake.
#[tokio::test]
async fn who_finds_no_room_is_not_answered_without_tls() {
    let pair = Pair::new("localhost");
    let server = TestServer::start_with(|config| {
        (config.tls.cert_file, config.tls.key_file) = (pair.cert(), pair.key());
        config.limits.connections = 1;
    })
    .await;
    let user = server.user("ada");
    let inside = user.open(connect(&server, "localhost", &user, pair.trust())).await;
    inside.expect("connection_established").await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = timeout(WITHIN, stream.read_to_end(&mut answer)).await.expect("it is cut off");
    assert!(answer.is_empty(), "an answer without TLS: {answer:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let pair = Pair::new("localhost");
    let server = pair.serve(10.0, 0.5).await;
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    let begun = Instant::now();
    let mut byte = [0];
    let read = timeout(WITHIN, silent.read(&mut byte)).await.expect("it is cut off");
    assert!(matches!(read, Ok(0) | Err(_)));
    assert!(begun.elapsed() >= Duration::from_millis(400), "it was given {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_a_bad_one_to_nobody() {
    let pair = Pair::new("localhost");
    let server = pair.serve(0.05, 10.0).await;
    let user = server.user("ada");
    let old = pair.trust();
    let before = user.open(connect(&server, "localhost", &user, old.clone())).await;
    before.expect("connection_established").await;

    pair.replace("localhost");
    let new = pair.trust();
    shown(&server, &user, &new).await;
    assert!(connect(&server, "localhost", &user, old).open_welcomed().await.is_err(), "the old one is shown");
    before.barrier().await;

    fs::write(pair.cert(), "no certificate").unwrap();
    // Longer than several looks at the file.
    sleep(Duration::from_millis(400)).await;
    connect(&server, "localhost", &user, new.clone()).open_welcomed().await.expect("the good one is kept");
    // A certificate without its key is no pair either.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(pair.cert(), other.cert.pem()).unwrap();
    sleep(Duration::from_millis(400)).await;
    connect(&server, "localhost", &user, new).open_welcomed().await.expect("the good one is kept");
    // And the way back is open.
    pair.replace("localhost");
    shown(&server, &user, &pair.trust()).await;
}

async fn shown(server: &TestServer, user: &TestUser, trust: &Trust) {
    let deadline = Instant::now() + WITHIN;
    while let Err(e) = connect(server, "localhost", user, trust.clone()).open_welcomed().await {
        assert!(Instant::now() < deadline, "the new certificate is not shown: {e}");
        sleep(Duration::from_millis(20)).await;
    }
}
