//! `wireproof check` before what is no server that could be judged: the exit code says which case it is, a sentence says
//! what to do, and nothing passes.

mod peers;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::tempdir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{Instant, timeout},
};

use wireproof_faultproxy::{Connections, Cut, Fault, FaultProxy, Toxic};
use wireproof_judge::report::{Report, Verdict};

use crate::{
    clients::tool,
    http::request,
    process::{Ended, Server, WITHIN, finish_within, serve, wireproof},
};
use peers::{Peer, closed};

/// Longer than the judge looks for a server, and than it takes to notice that one has gone.
const JUDGED: Duration = Duration::from_secs(150);

/// The file with the secret that the judge signs with; no server here knows it.
fn key(folder: &Path) -> Result<String> {
    let path = folder.join("key");
    std::fs::write(&path, "a key of more than thirty-two bytes that nobody knows")?;
    Ok(path.to_str().context("a path")?.to_owned())
}

async fn check(url: &str, flags: &[&str]) -> Result<Ended> {
    let mut command = wireproof(["check", url]);
    command.args(flags);
    finish_within(command, JUDGED).await
}

/// Judged by our own profile with a key: no report, this exit code, and all of these words in the sentence.
async fn stops(url: &str, code: i32, words: &[&str]) -> Result<()> {
    let folder = tempdir()?;
    let ended = check(url, &["--secret-file", &key(folder.path())?]).await?;
    said(&ended, code, words).with_context(|| url.to_owned())
}

fn said(ended: &Ended, code: i32, words: &[&str]) -> Result<()> {
    ensure!(ended.code == Some(code), "exit code {:?}: {}{}", ended.code, ended.stdout, ended.stderr);
    for word in words {
        ensure!(ended.stderr.contains(word), "{word:?} is not in: {}", ended.stderr);
    }
    ensure!(!ended.stdout.contains("pass"), "something passed: {}", ended.stdout);
    Ok(())
}

/// What is said where nobody was found to judge.
const NOTHING: &str = "Nothing was checked";

#[tokio::test]
async fn a_closed_port() -> Result<()> {
    stops(&format!("ws://{}", closed().await?), 3, &["cannot reach", "Connection refused", NOTHING]).await
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing() -> Result<()> {
    stops(&Peer::mute().await?.url(), 3, &["did not finish the handshake", NOTHING]).await
}

#[tokio::test]
async fn a_port_that_hangs_up() -> Result<()> {
    stops(&Peer::answering("").await?.url(), 3, &[NOTHING]).await
}

#[tokio::test]
async fn a_plain_http_server() -> Result<()> {
    let folder = tempdir()?;
    let python = tool("WIREPROOF_PYTHON")?;
    let mut command = Command::new(python);
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder.path());
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let line = timeout(WITHIN, lines.next_line()).await??.context("http.server says where it is")?;
    let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).context("a port")?;
    // The folder's list is an answer of 200, any other path one of 404: neither is a WebSocket.
    for path in ["/ws", "/?"] {
        stops(&format!("ws://127.0.0.1:{port}{path}"), 3, &[NOTHING]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn tls_spoken_to_in_plain_and_the_other_way_round() -> Result<()> {
    let folder = tempdir()?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let mut command = serve(&folder.path().join("data"));
    command.env("WIREPROOF_TLS_CERT_FILE", &cert).env("WIREPROOF_TLS_KEY_FILE", &key);
    let encrypted = Server::launch(command).await?;
    stops(&encrypted.url.replace("wss://", "ws://"), 3, &[NOTHING]).await?;
    // Its certificate is nobody's whom this machine trusts.
    stops(&encrypted.url.replace("127.0.0.1", "localhost"), 3, &["certificate", NOTHING]).await?;
    let plain = Server::start(&folder.path().join("plain")).await?;
    stops(&plain.url.replace("ws://", "wss://"), 3, &[NOTHING]).await
}

/// A certificate that is its own authority, as `openssl req -x509` makes it, was refused though `--ca` named it, and there was
/// no way to go on.
#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_taken_where_it_is_named_or_nobody_looks() -> Result<()> {
    let folder = tempdir()?;
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = rcgen::KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.pem())?;
    std::fs::write(&key, pair.serialize_pem())?;
    let data = folder.path().join("data");
    let mut command = serve(&data);
    command.env("WIREPROOF_TLS_CERT_FILE", &cert).env("WIREPROOF_TLS_KEY_FILE", &key);
    let server = Server::launch(command).await?;
    let (data, cert) = (data.to_str().context("a path")?, cert.to_str().context("a path")?);
    let url = server.url.replace("127.0.0.1", "localhost");
    // Sockets and HTTP.
    let flags = ["--data-dir", data, "--only", "connect.welcome_first,connect.plain_get"];
    said(&check(&url, &flags).await?, 3, &["certificate", "--ca", "--insecure", NOTHING])?;
    // The certificate is for another name.
    said(&check(&server.url, &[&flags[..], &["--ca", cert]].concat()).await?, 3, &["certificate", NOTHING])?;
    let named = check(&url, &[&flags[..], &["--ca", cert]].concat()).await?;
    ensure!(named.code == Some(0) && named.stdout.contains("2 passed"), "{}{}", named.stdout, named.stderr);
    ensure!(!named.stdout.contains("--insecure"), "{}", named.stdout);
    let unseen = check(&server.url, &[&flags[..], &["--insecure"]].concat()).await?;
    ensure!(
        unseen.code == Some(0) && unseen.stdout.contains("2 passed"),
        "{}{}",
        unseen.stdout,
        unseen.stderr
    );
    ensure!(unseen.stdout.contains("was not verified (--insecure)"), "{}", unseen.stdout);
    Ok(())
}

#[tokio::test]
async fn a_server_that_refuses_the_judge() -> Result<()> {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        stops(&Peer::answering(status).await?.url(), 4, &[&status[..3], "--data-dir"]).await?;
    }
    // Ours lets the handshake pass and closes with 1008.
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    stops(&server.url, 4, &["1008", "--data-dir"]).await
}

#[tokio::test]
async fn a_server_that_does_not_speak_the_profile() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let flags = ["--profile", "ag-ui"];
    said(&check(&server.url.replace("ws://", "http://"), &flags).await?, 3, &["text/event-stream", NOTHING])?;
    said(&check(&format!("http://{}", closed().await?), &flags).await?, 3, &["does not answer", NOTHING])
}

async fn handshakes(server: &Server) -> Result<u64> {
    let health = request(server.address(), "GET /ws/health", &[], "").await?;
    let health: Value = serde_json::from_str(&health.body)?;
    health["metrics"]["handshakes_accepted"].as_u64().context("a number of handshakes")
}

/// `kill -9` while the checks run: what had come to a verdict by then stands, and the rest says that the server went away.
#[tokio::test]
async fn heavy_a_server_that_dies_in_the_middle() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let data = folder.path().to_str().context("a path")?;
    let flags = ["--data-dir", data, "--users", "10"];
    let url = server.url.clone();
    let judged = check(&url, &flags);
    let killed = async {
        // The first connection only looks whether somebody is there; with the next ones the checks are at work.
        let deadline = Instant::now() + WITHIN;
        while handshakes(&server).await? < 3 {
            ensure!(Instant::now() < deadline, "the judge never came");
        }
        server.kill().await
    };
    let (ended, killed) = tokio::join!(judged, killed);
    killed?;
    let ended = ended?;
    ensure!(ended.code == Some(3), "exit code {:?}: {}{}", ended.code, ended.stdout, ended.stderr);
    ensure!(ended.stderr.contains("went away"), "{}", ended.stderr);
    Ok(())
}

/// A server that is there for the first look and then takes every connection only to close it: nothing of that passes.
#[tokio::test]
async fn a_server_that_only_hangs_up_once_the_checks_begin() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let proxy = FaultProxy::start(server.address().parse()?, 7).await?;
    let later = Connections::Range { first: 2, last: u64::MAX };
    proxy.add(Toxic::new(Fault::AcceptThenClose(Cut::Fin)).on(later));
    let data = folder.path().to_str().context("a path")?;
    let ended = check(&proxy.url("/ws"), &["--data-dir", data, "--users", "10", "--json", "-"]).await?;
    let report: Report = serde_json::from_str(&ended.stdout)?;
    ensure!(report.count(Verdict::Gone) > 0 && report.count(Verdict::Pass) == 0, "{}", report.summary());
    ensure!(ended.code == Some(3) && ended.stderr.contains("went away"), "{:?} {}", ended.code, ended.stderr);
    proxy.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_mistake_of_use() -> Result<()> {
    let url = "ws://127.0.0.1:1";
    for (arguments, words) in [
        (vec!["localhost"], "ws://"),
        (vec![url, "--profile", "no-such-profile"], "no-such-profile"),
        (vec![url, "--profile", "echo", "--only", "no.such"], "no.such"),
    ] {
        let ended = check(arguments[0], &arguments[1..]).await?;
        said(&ended, 2, &[words]).with_context(|| format!("{arguments:?}"))?;
    }
    Ok(())
}
