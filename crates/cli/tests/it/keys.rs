//! The keys of a service: what its tokens say, and how it takes new keys without a restart.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tempfile::tempdir;
use tokio::time::{Instant, sleep};
use wireproof_client::{Connection, RecvError};

use crate::process::{Server, WITHIN, finish, run, serve, wireproof};

/// Settings with this secret and what else is given.
fn settings(file: &Path, secret: &str, more: &str) -> Result<()> {
    Ok(fs::write(file, format!("[jwt]\nsecret = \"{}\"\n{more}", secret.repeat(32)))?)
}

/// A token by the settings of a file.
async fn token_by(file: &Path) -> Result<String> {
    let mut command = wireproof(["token", "--user", "ada", "--config"]);
    command.arg(file);
    Ok(finish(command).await?.stdout.trim_end().to_owned())
}

/// Connects when the server takes the token; nothing when it refuses it.
async fn enter(server: &Server, token: &str) -> Option<Connection> {
    server.connect(token).open_welcomed().await.ok().map(|(connection, _)| connection)
}

/// The code of the close that comes next.
async fn close_of(connection: &mut Connection) -> Result<Option<u16>> {
    loop {
        match connection.recv(WITHIN).await {
            Ok(_) => {}
            Err(RecvError::Ended(ended)) => return Ok(ended.code),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test]
async fn sighup_takes_in_a_new_key_and_ends_what_the_old_one_let_in() -> Result<()> {
    let folder = tempdir()?;
    let (file, log) = (folder.path().join("wireproof.toml"), folder.path().join("log"));
    settings(&file, "a", "")?;
    let mut command = serve(&folder.path().join("data"));
    command.arg("--config").arg(&file).stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let old = token_by(&file).await?;
    let mut connection = enter(&server, &old).await.context("the old key is good")?;

    // Settings that cannot be used change nothing, and the log says what is wrong without the secret.
    settings(&file, "b", "algorithms = [\"none\"]\n")?;
    server.hang_up()?;
    let begun = Instant::now();
    while !fs::read_to_string(&log)?.contains("jwt.algorithms") {
        if begun.elapsed() > WITHIN {
            bail!("the log says nothing of the settings: {}", fs::read_to_string(&log)?);
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!fs::read_to_string(&log)?.contains("bbbb"));
    enter(&server, &old).await.context("the old key is still good")?;

    settings(&file, "b", "")?;
    server.hang_up()?;
    assert_eq!(close_of(&mut connection).await?, Some(1008));
    assert!(enter(&server, &old).await.is_none());
    enter(&server, &token_by(&file).await?).await.context("the new key is good")?;
    server.terminate()?;
    assert_eq!(server.ended().await?.0.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_token_grants_what_is_asked_for_and_names_no_permission_that_there_is_not() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().to_str().context("a path in UTF-8")?;
    let claims = async |arguments: &[&str]| -> Result<Value> {
        let ended = run([&["token", "--user", "ada", "--data-dir", data], arguments].concat()).await?;
        let middle = ended.stdout.trim_end().split('.').nth(1).context("a token")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle)?)?)
    };
    assert!(claims(&[]).await?.get("permissions").is_none());
    let both = claims(&["--permission", "chat", "--permission", "admin:*"]).await?;
    assert_eq!(both["permissions"], serde_json::json!(["chat", "admin:*"]));
    let wrong = run(["token", "--user", "ada", "--data-dir", data, "--permission", "everything"]).await?;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("threads:read"), "{}", wrong.stderr);
    Ok(())
}
