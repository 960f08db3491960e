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

/// The fields of a line: a name, `=`, and a word or what stands in quotes.
fn fields(line: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), line);
    while let Some((before, behind)) = rest.split_once('=') {
        let name = before.rsplit(' ').next().unwrap_or_default().to_owned();
        let mut escaped = false;
        let end = |sign: char| {
            let is_end = sign == '"' && !escaped;
            escaped = sign == '\\' && !escaped;
            is_end
        };
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once(end).unwrap_or((quoted, "")),
            None => behind.split_once(' ').unwrap_or((behind, "")),
        };
        found.push((name, value.to_owned()));
        rest = next;
    }
    found
}

/// Bug: a user called `eve connection_id=root user_id=root` wrote fields of its own into the text log.
#[tokio::test]
async fn what_a_client_chose_adds_no_field_and_no_line_to_the_log() -> Result<()> {
    let folder = tempdir()?;
    let (log, data) = (folder.path().join("stderr"), folder.path().join("data"));
    let mut command = serve(&data);
    command.env("WIREPROOF_LOG", "debug").stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let name = "eve connection_id=root user_id=root \u{202e}\"x\" admin=root";
    let token = token(&data, name).await?;
    let (mut eve, _) = server.connect(&token).open_welcomed().await?;
    let id = "r error_code=root user_id=\"root\"";
    for frame in [
        json!({ "type": "chat", "content": "What is 1+1?", "id": id }),
        json!({ "type": "cancel_run", "run_id": "none", "id": id }),
        json!({ "type": "chat", "content": "x", "agent": "a user_id=root", "thread_id": "t user_id=root", "id": id }),
    ] {
        eve.send_text(&frame.to_string()).await?;
        while !matches!(eve.recv(WITHIN).await?.incoming, Incoming::Control(_)) {}
    }
    eve.send_binary(b"the end".to_vec()).await?;
    while eve.recv(WITHIN).await.is_ok() {}
    let agent = [
        "origin: http://a.example user_id=root",
        "user-agent: x user_id=root",
        "x-forwarded-for: x user_id=root",
    ];
    request(server.address(), "GET /api/threads?user_id=root", &agent, "").await?;
    let admin = crate::process::token_granting(&data, name, &["admin:users"]).await?;
    let bearer = format!("authorization: Bearer {admin}");
    for (route, body) in [
        ("POST /api/admin/revoke", json!({ "token_id": "t user_id=root\nINFO user_id=root" })),
        (
            "POST /api/admin/users",
            json!({ "user_id": "bob user_id=root", "password": "correct horse", "permissions": [] }),
        ),
        ("PATCH /api/admin/users/bob%20user_id%3Droot", json!({ "disabled": true })),
        ("POST /api/admin/users/bob%20user_id%3Droot/disconnect", json!({})),
    ] {
        let answer = request(server.address(), route, &[&bearer], &body.to_string()).await?;
        ensure!(answer.status / 100 == 2, "{route}: {}", answer.body);
    }
    server.terminate()?;
    server.ended().await?;
    let log = fs::read_to_string(log)?;
    for message in
        ["connection opened", "run taken", "request refused", "connection closed", "revoked", "was changed"]
    {
        ensure!(log.contains(message), "no line says {message:?}:\n{log}");
    }
    for line in log.lines() {
        ensure!(line.starts_with("20") && line.contains('Z'), "a line without its time: {line}");
        ensure!(!line.contains('\u{202e}'), "it turns the line around: {line}");
        let fields = fields(line);
        for (field, value) in &fields {
            ensure!(value != "root", "{field} is a client's: {line}");
            ensure!(fields.iter().filter(|(name, _)| name == field).count() == 1, "{field} twice: {line}");
        }
    }
    Ok(())
}

/// An operator who forgot to list a page finds it in the log with the setting to change, and once only.
#[tokio::test]
async fn a_refused_page_is_told_once_with_the_setting_to_change() -> Result<()> {
    let folder = tempdir()?;
    let (log, data) = (folder.path().join("stderr"), folder.path().join("data"));
    let mut command = serve(&data);
    command.env("WIREPROOF_LOG", "info").stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    for _ in 0..3 {
        for origin in ["https://app.example.com", "http://other.example", "null"] {
            let answer = request(server.address(), "GET /ws", &[&format!("origin: {origin}")], "").await?;
            ensure!(answer.status == 403, "{origin}: {}", answer.status);
        }
    }
    server.terminate()?;
    server.ended().await?;
    let log = fs::read_to_string(log)?;
    for origin in ["https://app.example.com", "http://other.example", "null"] {
        let told: Vec<_> = log.lines().filter(|line| line.contains(&format!("name={origin}"))).collect();
        ensure!(told.len() == 1 && told[0].contains("WARN"), "{origin}: {told:?}");
        ensure!(told[0].contains("http.allowed_origins"), "{}", told[0]);
    }
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
