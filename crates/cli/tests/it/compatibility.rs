//! Clients of earlier versions: what they once sent is sent again, and what they were told must still be said.
//!
//! Each file of `tests/recordings` is a history (`wireproof check --record` has the form) of a client of the commit in its
//! name. A later server may say more; `compare` has the rule.

mod compare;
mod replay;

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::process::{Server, run, token};
use replay::Replay;

fn recordings() -> Result<Vec<(String, Vec<Value>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let lines = fs::read_to_string(&path)?;
        // The first line is the header.
        let ops = lines.lines().skip(1).map(serde_json::from_str).collect::<Result<_, _>>();
        let name = path.to_str().context("a path in UTF-8")?.to_owned();
        recordings.push((name, ops?));
    }
    ensure!(!recordings.is_empty(), "there is no recording");
    Ok(recordings)
}

#[tokio::test]
async fn a_client_of_an_earlier_version_is_answered_as_then() -> Result<()> {
    for (name, ops) in recordings()? {
        let folder = tempdir()?;
        let server = Server::start(folder.path()).await?;
        let token = token(folder.path(), "ada").await?;
        let mut replay = Replay::new(&server.url, &token);
        for op in &ops {
            let number = &op["i"];
            replay.take(op).await.with_context(|| format!("{name}: op {number}: {op}"))?;
        }
        ensure!(replay.compared > 50, "{name}: only {} frames were compared", replay.compared);
    }
    Ok(())
}

/// The rule can fail: a recording that says something else than a server does is not taken.
#[tokio::test]
async fn an_answer_that_is_another_one_is_noticed() -> Result<()> {
    for (name, mut ops) in recordings()? {
        let folder = tempdir()?;
        let server = Server::start(folder.path()).await?;
        let token = token(folder.path(), "ada").await?;
        let pong = ops.iter_mut().find(|op| op["ev"] == "pong").with_context(|| format!("{name}: a pong"))?;
        let mut frame: Value = serde_json::from_str(pong["text"].as_str().context("a text")?)?;
        frame["gone"] = json!(true);
        pong["text"] = json!(frame.to_string());
        let mut replay = Replay::new(&server.url, &token);
        let mut noticed = None;
        for op in &ops {
            noticed = replay.take(op).await.err();
            if noticed.is_some() {
                break;
            }
        }
        let noticed = noticed.with_context(|| format!("{name}: nothing was noticed"))?;
        ensure!(format!("{noticed:#}").contains("gone"), "{noticed:#}");
    }
    Ok(())
}

/// Whatever it is judged to be, it is a history: the form of then is read.
#[tokio::test]
async fn a_history_of_an_earlier_version_is_read() -> Result<()> {
    for (name, ops) in recordings()? {
        let ended = run(["verify", &name]).await?;
        let read = ended.stdout.contains(&format!("{} ops", ops.len()));
        ensure!(ended.code != Some(2) && read, "{name}: {}{}", ended.stdout, ended.stderr);
    }
    Ok(())
}
