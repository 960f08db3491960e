//! The README: its commands run as they stand, one after the other in one shell, and its example is the one that compiles.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;
use tokio::{net::TcpListener, process::Command};

use crate::process::finish_within;

const README: &str = include_str!("../../../../README.md");

fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    README.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[tokio::test]
async fn the_commands_of_the_readme_run_as_they_stand() -> Result<()> {
    let folder = tempdir()?;
    let mut script = blocks("sh").concat();
    // The ports of the page may be somebody's: others, held until all are found.
    let mut held = Vec::new();
    for port in ["8787", "8788"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        script = script.replace(port, &listener.local_addr()?.port().to_string());
        held.push(listener);
    }
    let [server, _] = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?[..] else {
        anyhow::bail!("two ports")
    };
    drop(held);
    let program = Path::new(env!("CARGO_BIN_EXE_wireproof")).parent().context("a folder")?;
    let path = format!("{}:{}", program.display(), std::env::var("PATH")?);
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .kill_on_drop(true);
    // What the page leaves to defaults.
    bash.env("WIREPROOF_LISTEN", server.to_string()).env("WIREPROOF_URL", format!("ws://{server}/ws"));
    let ended = finish_within(bash, std::time::Duration::from_secs(100)).await?;
    ensure!(ended.code == Some(0), "it ended with {:?}:\n{}\n{}", ended.code, ended.stdout, ended.stderr);
    for said in
        ["17*23 = 391", "added bob", "backup.db: ", "can be done", "connection lost", "success (the run took"]
    {
        ensure!(ended.stdout.contains(said), "{said:?} was not said:\n{}\n{}", ended.stdout, ended.stderr);
    }
    ensure!(
        fs::read_to_string(folder.path().join("checks.html"))?.contains("order."),
        "no page of the checks"
    );
    Ok(())
}

#[test]
fn the_agent_of_the_readme_is_the_example() {
    let example = include_str!("../../../server/examples/own_agent.rs");
    let shown = blocks("rust").into_iter().find(|block| block.contains("impl Agent")).unwrap();
    assert!(
        example.ends_with(shown),
        "README.md shows another agent than crates/server/examples/own_agent.rs"
    );
}
