//! `wireproof verify`: a history that is honest, one that is not, and files that are none, each with its exit code.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use tempfile::tempdir;
use wireproof_judge::{
    proof::synthetic::{Shape, honest, renumber},
    record::{Action, write_file},
};

use crate::process::{Ended, finish, wireproof};

const SHAPE: Shape = Shape { users: 4, devices: 2, runs: 3, cut_one_in: 8 };

async fn verify(file: &Path, json: bool) -> Result<Ended> {
    let mut command = wireproof(["verify"]);
    command.arg(file).args(json.then_some("--json"));
    finish(command).await
}

#[tokio::test]
async fn an_honest_history_is_clean_and_the_bound_is_told() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("honest.jsonl");
    let (header, ops) = honest(1, SHAPE)?;
    write_file(&file, &header, &ops)?;
    let ended = verify(&file, false).await?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    for word in ["4 users", "95 %", "not judged: CON-1"] {
        assert!(ended.stdout.contains(word), "no {word:?} in {}", ended.stdout);
    }
    let judged: Value = serde_json::from_str(&verify(&file, true).await?.stdout)?;
    assert_eq!(judged["judgement"]["counts"]["ops"], ops.len());
    assert_eq!((&judged["torn"], &judged["header"]["seed"]), (&false.into(), &1.into()));

    let bytes = std::fs::read(&file)?;
    std::fs::write(&file, &bytes[..bytes.len() - 9])?;
    let ended = verify(&file, false).await?;
    assert!(ended.stdout.contains("the last line is torn"), "{}", ended.stdout);
    Ok(())
}

#[tokio::test]
async fn a_history_with_a_leak_and_a_loss_fails_and_shows_both() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("spoiled.jsonl");
    let (header, mut ops) = honest(2, SHAPE)?;
    let at = ops.iter().position(|op| op.ev.as_deref() == Some("tool_executing")).expect("a tool ran");
    let victim =
        ops[..at].iter().rev().find(|op| op.user != ops[at].user && op.f == Action::Recv).expect("two users");
    let (mut leaked, user, conn) = (ops[at].clone(), victim.user.clone(), victim.conn.clone());
    (leaked.user, leaked.conn) = (user.clone(), conn);
    let lost = ops
        .iter()
        .position(|op| op.user != user && op.ev.as_deref() == Some("agent_thinking"))
        .expect("a thought");
    ops.insert(at + 1, leaked);
    ops.remove(if lost > at { lost + 1 } else { lost });
    renumber(&mut ops);
    write_file(&file, &header, &ops)?;
    let ended = verify(&file, false).await?;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    for word in ["ISO-1 foreign-marker", "SEQ-1 lost", &format!("victim   {user}"), "not this"] {
        assert!(ended.stdout.contains(word), "no {word:?} in {}", ended.stdout);
    }
    let judged: Value = serde_json::from_str(&verify(&file, true).await?.stdout)?;
    assert_eq!(judged["judgement"]["violations"][0]["invariant"], "foreign-marker");
    Ok(())
}

#[tokio::test]
async fn what_is_no_history_is_exit_2_with_the_line() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("other.jsonl");
    let (header, ops) = honest(3, SHAPE)?;
    write_file(&file, &header, &ops)?;
    let mut lines: Vec<String> = std::fs::read_to_string(&file)?.lines().map(str::to_owned).collect();
    lines[6] = "{\"i\":6,".to_owned();
    std::fs::write(&file, lines.join("\n"))?;
    let empty = folder.path().join("empty.jsonl");
    write_file(&empty, &header, &[])?;
    let rows = [
        (file.clone(), "line 7"),
        (folder.path().join("none"), "none"),
        (folder.path().to_owned(), "directory"),
        // A header alone was once judged and found clean.
        (empty, "nothing to judge"),
    ];
    for (path, word) in rows {
        let ended = verify(&path, false).await?;
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(word), "no {word:?} in {}", ended.stderr);
    }
    Ok(())
}
