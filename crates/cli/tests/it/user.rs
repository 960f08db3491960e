//! `wireproof user`: the same commands on a folder that nobody has, and on one that a server runs on.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::{
    http::request,
    process::{Ended, Server, WITHIN, finish, run, wireproof},
};

const PASSWORD: &str = "correct horse battery";

/// Runs `wireproof user` on a folder, with this text on stdin.
async fn user(folder: &Path, arguments: &[&str], stdin: Option<&str>) -> Result<Ended> {
    let mut command = wireproof(["user", "--data-dir"]);
    command.arg(folder).args(arguments);
    let Some(text) = stdin else { return finish(command).await };
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().context("a pipe to stdin")?;
    pipe.write_all(text.as_bytes()).await?;
    drop(pipe);
    let output = timeout(WITHIN, child.wait_with_output()).await??;
    let text = |bytes| String::from_utf8(bytes).context("the program writes UTF-8");
    Ok(Ended { code: output.status.code(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}

/// What a command wrote that went well.
async fn done(folder: &Path, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
    let ended = user(folder, arguments, stdin).await?;
    ensure!(ended.code == Some(0), "{arguments:?}: {}", ended.stderr);
    Ok(ended.stdout)
}

/// The status and the body of a login.
async fn login(server: &Server, name: &str, password: &str) -> Result<(u16, Value)> {
    let body = json!({ "user_id": name, "password": password }).to_string();
    let answer = request(server.address(), "POST /auth/login", &[], &body).await?;
    Ok((answer.status, serde_json::from_str(&answer.body)?))
}

async fn status(server: &Server, token: &str, path: &str) -> Result<u16> {
    let header = format!("authorization: Bearer {token}");
    Ok(request(server.address(), &format!("GET {path}"), &[&header], "").await?.status)
}

/// Every command once; what it says is the same with and without a server.
async fn round(folder: &Path) -> Result<()> {
    let added = done(folder, &["add", "ada", "--password-stdin"], Some("correct horse battery\n")).await?;
    assert_eq!(added, "added ada: chat threads:read threads:write runs:cancel\n");
    let admin = done(folder, &["add", "root", "--admin"], None).await?;
    assert!(admin.starts_with("added root: chat ") && admin.contains("admin:server\npassword: "), "{admin}");
    let few =
        done(folder, &["add", "few", "--permission", "chat", "--permission", "admin:read"], None).await?;
    assert!(few.starts_with("added few: chat admin:read\n"), "{few}");
    let again = user(folder, &["add", "ada"], None).await?;
    assert_eq!(again.code, Some(4), "{}", again.stderr);
    assert!(
        again.stderr.contains("This name is taken") && !again.stdout.contains("password"),
        "{}",
        again.stderr
    );
    assert_eq!(
        done(folder, &["list"], None).await?,
        "ada\tenabled\tchat threads:read threads:write runs:cancel\nfew\tenabled\tchat admin:read\nroot\tenabled\t\
         chat threads:read threads:write runs:cancel admin:read admin:users admin:server\n"
    );
    assert_eq!(
        done(folder, &["grant", "few", "runs:cancel"], None).await?,
        "few: chat runs:cancel admin:read\n"
    );
    assert_eq!(done(folder, &["revoke", "few", "admin:*", "chat"], None).await?, "few: runs:cancel\n");
    assert_eq!(done(folder, &["disable", "few"], None).await?, "disabled few\n");
    let list = done(folder, &["list", "--json"], None).await?;
    let users: Vec<Value> = list.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?;
    assert_eq!((users.len(), &users[1]["user_id"], &users[1]["disabled"]), (3, &json!("few"), &json!(true)));
    assert_eq!(users[1]["permissions"], json!(["runs:cancel"]));
    assert!(!list.contains("argon2") && !list.contains(PASSWORD));
    assert_eq!(done(folder, &["enable", "few"], None).await?, "enabled few\n");
    for arguments in [["disable", "nobody"], ["enable", "nobody"], ["password", "nobody"]] {
        let ended = user(folder, &arguments, None).await?;
        assert_eq!(ended.code, Some(4), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("no such account") && ended.stdout.is_empty(), "{}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn accounts_are_made_before_the_first_serve_and_log_in_then() -> Result<()> {
    let folder = tempdir()?;
    let folder = folder.path().join("not-made-yet");
    round(&folder).await?;
    let given = done(&folder, &["password", "root"], None).await?;
    let password =
        given.lines().last().and_then(|line| line.strip_prefix("password: ")).context("a password")?;
    let server = Server::start(&folder).await?;
    assert_eq!(login(&server, "ada", PASSWORD).await?.0, 200);
    assert_eq!(login(&server, "ada", "wrong password").await?.0, 401);
    let (code, tokens) = login(&server, "root", password).await?;
    assert_eq!(code, 200, "{tokens}");
    let root = tokens["access_token"].as_str().context("a token")?;
    assert_eq!(status(&server, root, "/api/admin/users").await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_running_server_is_asked_and_ends_what_is_open() -> Result<()> {
    let folder = tempdir()?;
    let folder = folder.path();
    let server = Server::start(folder).await?;
    round(folder).await?;
    let (_, tokens) = login(&server, "ada", PASSWORD).await?;
    let ada = tokens["access_token"].as_str().context("a token")?;
    assert_eq!(status(&server, ada, "/auth/me").await?, 200);
    let mut command = wireproof(["chat", "--url", &server.url, "--token", ada]);
    let chat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    done(folder, &["disable", "ada"], None).await?;
    assert_eq!(status(&server, ada, "/auth/me").await?, 401);
    assert_eq!(login(&server, "ada", PASSWORD).await?.0, 401);
    let chat =
        timeout(WITHIN, chat.wait_with_output()).await.context("the chat of a disabled user goes on")??;
    assert_eq!(chat.status.code(), Some(4), "{}", String::from_utf8_lossy(&chat.stderr));
    done(folder, &["enable", "ada"], None).await?;
    done(folder, &["password", "ada", "--password-stdin"], Some("another password\r\n")).await?;
    assert_eq!(login(&server, "ada", "another password").await?.0, 200);
    assert_eq!(status(&server, ada, "/auth/me").await?, 401, "from before it was disabled");
    Ok(())
}

/// `server.json` tells where the server is, to its owner only; what a killed one left is not believed.
#[tokio::test]
async fn the_server_is_found_while_it_runs_and_not_when_it_was_killed() -> Result<()> {
    let folder = tempdir()?;
    let (folder, file) = (folder.path(), folder.path().join("server.json"));
    let server = Server::start(folder).await?;
    let said: Value = serde_json::from_slice(&fs::read(&file)?)?;
    assert_eq!(said["url"], format!("http://{}", server.address()));
    assert!(said["pid"].is_u64());
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    done(folder, &["add", "ada", "--password-stdin"], Some(PASSWORD)).await?;
    server.kill().await?;
    assert!(file.exists(), "a killed server takes nothing away");
    assert!(done(folder, &["list"], None).await?.starts_with("ada\t"));
    let server = Server::start(folder).await?;
    assert_eq!(login(&server, "ada", PASSWORD).await?.0, 200);
    server.terminate()?;
    server.ended().await?;
    assert!(!file.exists());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_anything_is_made() -> Result<()> {
    let folder = tempdir()?;
    let folder = folder.path().join("not-made-yet");
    for (code, said, arguments, stdin) in [
        (2, "too short", &["add", "ada", "--password-stdin"][..], Some("short\n")),
        (2, "too short", &["add", "ada", "--password-stdin"], Some("")),
        (2, "unexpected argument", &["add", "ada", "--password", "correct horse"], None),
        (2, "admin:*", &["add", "ada", "--permission", "fly"], None),
        (2, "cannot be used with", &["add", "ada", "--admin", "--permission", "chat"], None),
        (2, "1 to 128 characters", &["add", ""], None),
        (2, "Usage", &["grant", "ada"], None),
        (1, "no store", &["list"], None),
        (1, "no store", &["disable", "ada"], None),
    ] {
        let ended = user(&folder, arguments, stdin).await?;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
        assert!(!folder.exists(), "{arguments:?}");
    }
    let long = user(&folder, &["add", "ada", "--password-stdin"], Some(&"x".repeat(5000))).await?;
    assert_eq!(long.code, Some(2), "{}", long.stderr);
    assert!(run(["user", "--help"]).await?.stdout.contains("disable"));
    Ok(())
}
