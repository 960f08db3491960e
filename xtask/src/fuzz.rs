//! `cargo xtask fuzz`: each fuzz target for some minutes, one after the other. What they share with the ordinary tests
//! is in `crates/fuzzing`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{self, Need};
use crate::table::Table;
use crate::workspace::Workspace;

/// In the order in which they run.
const TARGETS: [&str; 5] = ["client_frame", "token", "resume_query", "http_body", "websocket_bytes"];
/// A folder in memory, where there is one: the servers of the targets store much and keep nothing.
const MEMORY: &str = "/dev/shm";

pub(crate) fn names() -> Vec<&'static str> {
    TARGETS.to_vec()
}

/// Runs the chosen targets, `minutes` each, up to the first that finds something.
pub(crate) fn run(workspace: &Workspace, only: &[String], minutes: f64) -> Result<()> {
    setup::install(workspace, &[Need::Fuzz])?;
    let chosen =
        TARGETS.into_iter().filter(|name| only.is_empty() || only.iter().any(|wanted| wanted == name));
    let mut table = Table::new(&["target", "minutes", "inputs kept", "outcome"]);
    for name in chosen {
        let found = workspace.target.join("fuzz-corpus").join(name);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        fuzz(workspace, name, &found, minutes).with_context(|| {
            format!(
                "{name} found something; its input is in fuzz/artifacts/{name}. To see it again: cargo fuzz run \
                 --sanitizer none {name} FILE. Make it a test, mend it, and put the file into fuzz/corpus/{name}"
            )
        })?;
        let kept = fs::read_dir(&found)?.count();
        table.push(vec![name.to_owned(), minutes.to_string(), kept.to_string(), "nothing found".to_owned()]);
    }
    println!("\n{}", table.markdown());
    Ok(())
}

/// New inputs go to `found`; the committed ones are only read.
fn fuzz(workspace: &Workspace, name: &str, found: &Path, minutes: f64) -> Result<()> {
    let mut command = workspace.cargo();
    // There is no unsafe code of ours for a sanitizer to watch, and without one the stable compiler will do.
    command.args(["fuzz", "run", "--sanitizer", "none", "--target-dir"]).arg(workspace.target.join("fuzz"));
    command.arg(name).arg(found).arg(workspace.root.join("fuzz/corpus").join(name));
    let seconds = (minutes * 60.0).ceil();
    command.args(["--", &format!("-max_total_time={seconds}"), "-max_len=4096", "-timeout=30"]);
    command.args(["-rss_limit_mb=4096", "-print_final_stats=1"]);
    if Path::new(MEMORY).is_dir() {
        command.env("TMPDIR", MEMORY);
    }
    println!("\n== fuzz: {name} for {minutes} minutes");
    process::run(&mut command)
}
