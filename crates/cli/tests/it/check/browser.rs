//! A look at a page in headless Chromium: what it became, and what the browser complained about.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;
use tokio::process::Command;

use crate::{
    clients::{SET_UP, browser::FLAGS},
    process::finish_within,
};

/// Longer than a browser takes on a busy machine.
const BROWSING: std::time::Duration = std::time::Duration::from_secs(60);

/// What a page became in the browser.
pub(super) struct Seen {
    /// The document as it stands, as HTML.
    pub(super) page: String,
    /// What the browser's console says.
    pub(super) complaints: Vec<String>,
}

/// Opens a file.
pub(super) async fn look(file: &Path) -> Result<Seen> {
    let profile = tempdir()?;
    let mut chromium = Command::new("chromium");
    chromium.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.args(["--enable-logging=stderr", "--dump-dom"]).arg(format!("file://{}", file.display()));
    chromium.env("TMPDIR", profile.path()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = finish_within(chromium, BROWSING).await.context(SET_UP)?;
    ensure!(ended.code == Some(0), "chromium failed: {}", ended.stderr);
    let complaints =
        ended.stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Ok(Seen { page: ended.stdout, complaints })
}
