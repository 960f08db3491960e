//! What the log says, and what it never says: secrets and what people write are searched for in all of it.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::tempdir;
use wireproof_client::Connect;
use wireproof_protocol::{ClientFrame, EventBody, Incoming, Retitle};

use crate::{
    http::request,
    process::{Server, WITHIN, finish, serve, token, wireproof},
};

const KEY: &str = "KEYMARKER-0123456789-0123456789-0123456789";

/// What was used in the traffic and must not be in the log.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn are_not_in(&self, log: &str) -> Result<()> {
        for (what, secret) in &self.0 {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            ensure!(line.is_none(), "the log tells {what}: {}", line.unwrap_or_default());
        }
        Ok(())
    }
}

async fn traffic(data_dir: &Path, server: &Server) -> Result<Secrets> {
    let mut command = wireproof(["token", "--user", "ada", "--data-dir"]);
    command.arg(data_dir).env("WIREPROOF_JWT_SECRET", KEY);
    let token = finish(command).await?.stdout.trim_end().to_owned();
    let signature = token.rsplit('.').next().context("a token has a signature")?.to_owned();
    let bearer = format!("authorization: Bearer {token}");
    let ticket = request(server.address(), "POST /ws/ticket", &[&bearer], "").await?;
    let ticket: Value = serde_json::from_str(&ticket.body)?;
    let ticket = ticket["ticket"].as_str().context("a ticket")?.to_owned();

    let address = format!("{}?ticket={ticket}&note=QUERYMARKER", server.url);
    let (mut ada, _) = Connect::to(address).open_welcomed().await?;
    let retitle = Retitle { title: Some("TITLEMARKER".to_owned()), metadata: None };
    ada.send(&ClientFrame::CreateThread { thread_id: None, retitle }, None).await?;
    for text in [
        "{CONTENTMARKER",
        r#"{"type":"CONTENTMARKER"}"#,
        r#"{"type":"chat","content":"","note":"CONTENTMARKER"}"#,
    ] {
        ada.send_text(text).await?;
    }
    for content in
        ["What is 17*23? CONTENTMARKER", "How many words has this? CONTENTMARKER", "Look for CONTENTMARKER"]
    {
        let chat = ClientFrame::Chat { content: content.to_owned(), thread_id: None, agent: None };
        ada.send(&chat, None).await?;
        loop {
            let incoming = ada.recv(WITHIN).await?.incoming;
            if matches!(&incoming, Incoming::Event(e) if matches!(e.body, EventBody::AgentCompleted { .. })) {
                break;
            }
        }
    }
    ada.send(&ClientFrame::Authenticate { token: format!("{token}BADMARKER") }, None).await?;
    ada.send_binary(b"CONTENTMARKER".to_vec()).await?;
    while ada.recv(WITHIN).await.is_ok() {}
    // Doors that stay shut, and a token where none belongs.
    for (address, shown) in [
        (format!("{}?token=QUERYMARKER.{signature}", server.url), "BADMARKER"),
        (server.url.clone(), "BADMARKER"),
    ] {
        ensure!(
            Connect::to(address).token(shown).open_welcomed().await.is_err(),
            "a bad token opened the door"
        );
    }
    let password =
        json!({ "email": "ada@example.com", "user_id": "ada", "password": "PASSWORDMARKER-long-enough" });
    for route in [
        "POST /auth/register?note=QUERYMARKER",
        "POST /auth/login",
        "POST /auth/login/PATHMARKER?QUERYMARKER",
    ] {
        request(server.address(), route, &["content-type: application/json"], &password.to_string()).await?;
    }
    let body = json!({ "title": "TITLEMARKER", "metadata": { "note": "CONTENTMARKER" } }).to_string();
    request(server.address(), "POST /api/threads?note=QUERYMARKER", &[&bearer], &body).await?;
    request(server.address(), "POST /api/threads", &[&bearer, "cookie: BADMARKER"], "{CONTENTMARKER").await?;
    Ok(Secrets(vec![
        ("the key", KEY.to_owned()),
        ("a token", signature),
        ("a ticket", ticket),
        ("a bad token", "BADMARKER".to_owned()),
        ("a query string", "QUERYMARKER".to_owned()),
        ("a password", "PASSWORDMARKER".to_owned()),
        ("what a user wrote", "CONTENTMARKER".to_owned()),
        ("a title", "TITLEMARKER".to_owned()),
    ]))
}

/// A server's whole log of that traffic, at the lowest level of all.
async fn log_of(format: &str) -> Result<(String, Secrets)> {
    let folder = tempdir()?;
    let (log, data) = (folder.path().join("stderr"), folder.path().join("data"));
    let mut command = serve(&data);
    command
        .env("WIREPROOF_LOG", "trace")
        .env("WIREPROOF_LOG_FORMAT", format)
        .env("WIREPROOF_JWT_SECRET", KEY);
    command.stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let secrets = traffic(&data, &server).await?;
    server.terminate()?;
    ensure!(server.ended().await?.0.success(), "the server ended badly");
    Ok((fs::read_to_string(log)?, secrets))
}

#[tokio::test]
async fn a_log_of_json_has_the_ids_of_what_happened_and_no_secret() -> Result<()> {
    let (log, secrets) = log_of("json").await?;
    secrets.are_not_in(&log)?;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect::<Result<_>>()?;
    let line = |message: &str, fields: &[&str]| -> Result<Value> {
        let found = lines.iter().find(|line| line["message"] == message);
        let found = found.with_context(|| format!("no line says {message:?}:\n{log}"))?;
        for field in ["timestamp", "level", "target"].iter().chain(fields) {
            ensure!(found.get(field).is_some(), "{field:?} is missing in {found}");
        }
        Ok(found.clone())
    };
    let opened = line("connection opened", &["connection_id", "user_id", "address"])?;
    let fields =
        ["connection_id", "user_id", "address", "code", "seconds", "bytes_received", "bytes_sent", "frames"];
    let closed = line("connection closed", &fields)?;
    assert_eq!((&closed["connection_id"], &closed["code"]), (&opened["connection_id"], &json!(1003)));
    assert_eq!((&closed["user_id"], &closed["address"]), (&json!("ada"), &json!("127.0.0.1")));
    assert_eq!(closed["frames"], json!(9));
    let taken = line("run taken", &["run_id", "user_id", "thread_id", "agent"])?;
    let ended = line("run ended", &["run_id", "user_id", "thread_id", "agent", "outcome", "seconds"])?;
    assert_eq!((&ended["run_id"], &ended["outcome"]), (&taken["run_id"], &json!("success")));
    line("request refused", &["connection_id", "user_id", "error_code"])?;
    line("handshake refused", &["address", "why", "code"])?;
    Ok(())
}

#[tokio::test]
async fn a_log_of_text_has_no_secret_either() -> Result<()> {
    let (log, secrets) = log_of("text").await?;
    secrets.are_not_in(&log)?;
    ensure!(log.contains("connection closed") && log.contains("run ended"), "{log}");
    ensure!(!log.contains('\u{1b}'), "colours in a file");
    Ok(())
}

#[tokio::test]
async fn a_level_that_is_none_is_refused_and_one_of_the_environment_wins() -> Result<()> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    command.env("WIREPROOF_LOG_LEVEL", "wireproof=loud");
    let ended = finish(command).await?;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("log.level") && ended.stderr.contains("loud"), "{}", ended.stderr);
    let (log, data) = (folder.path().join("stderr"), folder.path().join("data"));
    let mut command = serve(&data);
    command.env("WIREPROOF_LOG", "error").env("WIREPROOF_LOG_LEVEL", "trace").stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    server.connect(&token(&data, "ada").await?).open_welcomed().await?;
    server.terminate()?;
    server.ended().await?;
    assert_eq!(fs::read_to_string(log)?, "");
    Ok(())
}
