//! `/openapi.json` against the program that serves it: schemathesis makes up requests from the document, good and bad,
//! and judges every answer by it.

use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::tempdir;
use tokio::process::Command;

use crate::{
    clients::{SET_UP, tool},
    process::{Server, finish_within, serve, token_granting},
};

/// Permissions enough for every route.
const ALL: [&str; 5] = ["chat", "threads:read", "threads:write", "runs:cancel", "admin:*"];
/// No bound on how much one user may ask for, as the tool is one user; and runs that are short.
const SETTINGS: &str = "[limits]\nmessages_per_minute = 0\nother_frames_per_minute = 0\nbytes_per_minute = 0\n\
    messages_per_minute_per_address = 0\nfailed_tokens_per_minute = 0\nrun_seconds = 1\n[accounts]\nregistration = true\n";
/// How long the tool makes up requests, in seconds; the fixed seed makes the first of them the same each time.
const SECONDS: &str = "30";

/// Runs the tool on all routes but some, or on these alone.
async fn judge(server: &Server, token: &str, choice: &[&str]) -> Result<()> {
    let mut command = Command::new(tool("WIREPROOF_PYTHON")?);
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    command
        .env("PYTHONPATH", hooks)
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["-m", "schemathesis.cli", "run"]).arg(format!("http://{}/openapi.json", server.address()));
    command.args(["-H", &format!("Authorization: Bearer {token}"), "--checks", "all", "--seed", "1"]);
    command.args(["--max-time", SECONDS, "--no-color"]).args(choice).kill_on_drop(true);
    let ended = finish_within(command, Duration::from_secs(110)).await?;
    ensure!(
        ended.code == Some(0),
        "the server breaks its word ({SET_UP}):\n{}\n{}",
        ended.stdout,
        ended.stderr
    );
    ensure!(ended.stdout.contains("Test cases:"), "nothing was tested:\n{}", ended.stdout);
    Ok(())
}

/// Left out: `drain` and `restart`, which end what is being tested; `logout`, which ends the tool's own token and is
/// judged by itself; and the two that open a WebSocket, which plain HTTP cannot.
#[tokio::test]
async fn heavy_every_answer_is_as_documented() -> Result<()> {
    let folder = tempdir()?;
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, SETTINGS)?;
    let data_dir = folder.path().join("data");
    let mut command = serve(&data_dir);
    command.arg("--config").arg(&settings);
    let server = Server::launch(command).await?;
    let token = token_granting(&data_dir, "ada", &ALL).await?;
    let mut but = Vec::new();
    for id in ["drain", "restart", "logout", "connect", "connect_alias"] {
        but.extend(["--exclude-operation-id", id]);
    }
    judge(&server, &token, &but).await?;
    judge(&server, &token, &["--include-operation-id", "logout", "--phases", "coverage"]).await
}
