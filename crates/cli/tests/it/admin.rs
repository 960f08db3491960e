//! An administrator on the command line, a server without authentication, and what the log never holds.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wireproof_client::{Connect, Connection, Credentials, Ended, RecvError};

use crate::process::{Server, WITHIN, finish, run, serve, token, wireproof};

/// Hears a connection out; gives its close.
async fn closed(connection: &mut Connection) -> Result<Ended> {
    loop {
        match connection.recv(WITHIN).await {
            Ok(_) => {}
            Err(RecvError::Ended(ended)) => return Ok(*ended),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_disconnects_revokes_and_drains() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().to_str().context("a path in UTF-8")?;
    let admin = async |arguments: &[&str]| run([&["admin"], arguments, &["--data-dir", data]].concat()).await;
    let nobody = admin(&["connections"]).await?;
    assert_eq!(nobody.code, Some(3), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("no server runs on"), "{}", nobody.stderr);

    let server = Server::start(folder.path()).await?;
    let (ada, eve) = (token(folder.path(), "ada").await?, token(folder.path(), "eve/../x").await?);
    let (mut first, welcome) = server.connect(&ada).open_welcomed().await?;
    let (mut other, _) = server.connect(&eve).open_welcomed().await?;
    let listed = admin(&["connections"]).await?;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let id = welcome.connection_id.to_string();
    assert!(listed.stdout.contains(&id) && listed.stdout.contains("2 connections"), "{}", listed.stdout);
    let json: Value =
        serde_json::from_str(&admin(&["connections", "--user", "ada", "--json"]).await?.stdout)?;
    assert_eq!((&json["total"], &json["connections"][0]["user_id"]), (&1.into(), &"ada".into()));

    assert_eq!(admin(&["disconnect", "--connection", &id]).await?.code, Some(0));
    assert_eq!(closed(&mut first).await?.code, Some(1008));
    assert_eq!(admin(&["disconnect", "--connection", &id]).await?.code, Some(4), "it is gone");
    let ended = admin(&["disconnect", "--user", "eve/../x"]).await?;
    assert_eq!(ended.stdout, "ended 1 connections\n", "{}", ended.stderr);
    assert_eq!(closed(&mut other).await?.code, Some(1008));
    assert_eq!(admin(&["revoke", "--user", "ada"]).await?.code, Some(0));
    assert!(server.connect(&ada).open_welcomed().await.is_err(), "the token was revoked");
    assert_eq!(admin(&["revoke"]).await?.code, Some(2));

    let (mut last, _) = server.connect(&token(folder.path(), "ada").await?).open_welcomed().await?;
    assert_eq!(admin(&["drain", "--spread-seconds", "0"]).await?.code, Some(0));
    assert_eq!(closed(&mut last).await?.code, Some(1012));
    assert_eq!(server.ended().await?.0.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_server_elsewhere_is_asked_with_the_token_of_the_environment() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let url = format!("http://{}", server.address());
    let ask = async |token: Option<&str>| {
        let mut command = wireproof(["admin", "connections", "--url", &url]);
        command.envs(token.map(|token| ("WIREPROOF_TOKEN", token)));
        finish(command).await
    };
    assert_eq!(ask(None).await?.code, Some(2));
    let refused = ask(Some(&token(folder.path(), "ada").await?)).await?;
    assert_eq!(refused.code, Some(4));
    assert!(refused.stderr.contains("admin:read"), "{}", refused.stderr);
    Ok(())
}

/// The flag does it, on a loopback address, and says so; no file and no variable does.
#[tokio::test]
async fn only_the_flag_switches_authentication_off() -> Result<()> {
    let folder = tempdir()?;
    let log = folder.path().join("log");
    let mut command = serve(&folder.path().join("data"));
    command.arg("--insecure-no-auth").stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let (_nobody, welcome) = Connect::to(&server.url).open_welcomed().await?;
    assert_eq!(welcome.user_id.as_str(), "anonymous");
    server.kill().await?;
    assert!(fs::read_to_string(&log)?.contains("AUTHENTICATION IS SWITCHED OFF"));

    let data = folder.path().join("data");
    let data = data.to_str().context("a path in UTF-8")?;
    let exposed = run(["serve", "--insecure-no-auth", "--listen", "0.0.0.0:0", "--data-dir", data]).await?;
    assert_eq!(exposed.code, Some(2), "{}", exposed.stderr);
    assert!(exposed.stderr.contains("this machine only"), "{}", exposed.stderr);
    let file = folder.path().join("wireproof.toml");
    fs::write(&file, "insecure_no_auth = true\n")?;
    let file = file.to_str().context("a path in UTF-8")?;
    let by_file = run(["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--config", file]).await?;
    assert_eq!(by_file.code, Some(2), "{}", by_file.stderr);
    let mut command = serve(std::path::Path::new(data));
    command.env("WIREPROOF_INSECURE_NO_AUTH", "true").env("WIREPROOF_LIMITS_AUTHENTICATE_SECONDS", "0.2");
    let by_variable = Server::launch(command).await?;
    assert!(Connect::to(&by_variable.url).open_welcomed().await.is_err(), "a variable let nobody in");
    Ok(())
}

/// What a plain HTTP request is answered: the body.
async fn post(address: &str, path: &str, token: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(WITHIN, stream.read_to_string(&mut answer)).await.context("an answer in time")??;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer with a body")?;
    Ok(body.to_owned())
}

/// Also where everything is logged that can be, neither a token nor a ticket is.
#[tokio::test]
async fn the_log_holds_neither_tokens_nor_tickets() -> Result<()> {
    let folder = tempdir()?;
    let log = folder.path().join("log");
    let mut command = serve(&folder.path().join("data"));
    command.env("WIREPROOF_LOG", "trace").env("WIREPROOF_AUTH_QUERY_TOKEN", "true");
    command.stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let token = token(&folder.path().join("data"), "ada").await?;
    let body = post(server.address(), "/ws/ticket", &token).await?;
    let sold: Value = serde_json::from_str(&body).context(body)?;
    let ticket = sold["ticket"].as_str().context("a ticket")?;
    let by_ticket = Connect::to(&server.url).credentials(Credentials::Ticket(ticket.to_owned()));
    let (mut connection, _) = by_ticket.open_welcomed().await?;
    if by_ticket.open_welcomed().await.is_ok() {
        bail!("a ticket was good twice");
    }
    let by_query = Connect::to(format!("{}?token={token}", server.url));
    by_query.open_welcomed().await?;
    for credentials in [Credentials::Subprotocol(token.clone()), Credentials::FirstFrame(token.clone())] {
        Connect::to(&server.url).credentials(credentials).open_welcomed().await?;
    }
    let renewal = wireproof_protocol::ClientFrame::Authenticate { token: token.clone() };
    connection.send(&renewal, None).await?;
    connection.recv(Duration::from_secs(10)).await?;
    server.terminate()?;
    server.ended().await?;
    let log = fs::read_to_string(log)?;
    let signature = token.rsplit('.').next().context("a signature")?;
    for secret in [ticket, token.as_str(), signature] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret in the log");
    }
    assert!(log.contains("DEBUG"), "more is logged than usually");
    Ok(())
}
