//! TLS from outside: the ready line, the program's own client, the commands that ask the server, and SIGHUP.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use tempfile::tempdir;
use tokio::time::{Instant, sleep};

use crate::process::{Ended, Server, WITHIN, finish, serve, token, wireproof};

/// Another certificate for `localhost`, and its key, in the same two files.
fn certify(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(fs::write(folder.join("cert.pem"), made.cert.pem())?)
}

async fn chat(server: &Server, data: &Path, ca: &Path) -> Result<Ended> {
    let url = server.url.replace("127.0.0.1", "localhost");
    let mut command = wireproof(["chat", "--url", &url, "--token", &token(data, "ada").await?, "--ca"]);
    command.arg(ca).arg("What is 17*23?");
    finish(command).await
}

#[tokio::test]
async fn a_server_with_a_certificate_is_talked_to_asked_and_given_a_new_one() -> Result<()> {
    let folder = tempdir()?;
    let (data, cert) = (folder.path().join("data"), folder.path().join("cert.pem"));
    certify(folder.path())?;
    let tls = [
        ("WIREPROOF_TLS_CERT_FILE", cert.clone()),
        ("WIREPROOF_TLS_KEY_FILE", folder.path().join("key.pem")),
    ];
    let mut command = serve(&data);
    command
        .envs(tls.clone())
        .env("WIREPROOF_TLS_POLL_SECONDS", "3600")
        .env("WIREPROOF_DRAIN_SPREAD_SECONDS", "0");
    let mut server = Server::launch(command).await?;
    ensure!(server.url.starts_with("wss://"), "{}", server.url);
    let said = chat(&server, &data, &cert).await?;
    ensure!(said.code == Some(0) && said.stdout.contains("391"), "{}{}", said.stdout, said.stderr);

    // SIGHUP takes the new pair in, long before the next look at the files.
    let old = folder.path().join("old.pem");
    fs::copy(&cert, &old)?;
    certify(folder.path())?;
    server.hang_up()?;
    let deadline = Instant::now() + WITHIN;
    while chat(&server, &data, &cert).await?.code != Some(0) {
        ensure!(Instant::now() < deadline, "the new certificate is not shown");
        sleep(Duration::from_millis(50)).await;
    }
    let refused = chat(&server, &data, &old).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("certificate"), "{}", refused.stderr);

    // Commands know the server by the file itself.
    let backup = folder.path().join("backup");
    let mut command = wireproof(["backup", "--data-dir"]);
    command.arg(&data).arg("--to").arg(&backup);
    ensure!(finish(command).await?.code == Some(0), "no backup");
    let mut command = wireproof(["restore", "--force", "--keep-sessions", "--data-dir"]);
    command.arg(&data).arg("--from").arg(&backup).envs(tls);
    let restored = finish(command).await?;
    ensure!(restored.code == Some(0), "{}", restored.stderr);
    ensure!(server.next_ready().await? == server.url, "it comes back with TLS at its own address");
    ensure!(chat(&server, &data, &cert).await?.code == Some(0), "no chat after the restart");
    server.kill().await
}
