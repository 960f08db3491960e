//! What is given to others beside the program: manual pages, completions, unit, settings, alert rules, licenses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{answer, fresh};
use crate::process;
use crate::workspace::Workspace;

/// Files of the repository that go into the archive.
const KEPT: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "wireproof.example.toml",
    "packaging/wireproof.service",
    "packaging/alerts.yml",
];

/// The shells, and the names of their scripts.
pub(super) const SHELLS: [(&str, &str); 3] =
    [("bash", "wireproof.bash"), ("zsh", "_wireproof"), ("fish", "wireproof.fish")];

/// All that is given, in one folder.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    /// The version of the workspace.
    pub(super) version: String,
    /// When the sources were committed, in Unix seconds: the time of every file, so that a build can be compared.
    pub(super) time: String,
}

impl Files {
    pub(super) fn gather(workspace: &Workspace, program: &Path, into: &Path) -> Result<Files> {
        let told = process::read(Command::new(program).arg("-V"))?;
        let version =
            told.trim().strip_prefix("wireproof ").context("the program names no version")?.to_owned();
        let machine = answer("uname", &["-m"])?;
        let folder = fresh(into.to_owned())?.join(format!("wireproof-{version}-{machine}-linux-gnu"));
        for sub in ["man", "completions"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        copy(program, &folder.join("wireproof"))?;
        for kept in KEPT {
            let name = Path::new(kept).file_name().context("a file")?;
            copy(&workspace.root.join(kept), &folder.join(name))?;
        }
        process::run(Command::new(program).args(["man", "--to"]).arg(folder.join("man")))?;
        for (shell, name) in SHELLS {
            let script = process::read(Command::new(program).args(["completions", shell]))?;
            ensure!(!script.is_empty(), "there is no completion for {shell}");
            fs::write(folder.join("completions").join(name), script)?;
        }
        Ok(Files { folder, version, time: time(workspace) })
    }

    /// One archive of all, which unpacks into a folder of its own.
    pub(super) fn archive(&self, into: &Path) -> Result<PathBuf> {
        let name = self.folder.file_name().context("a folder")?.to_string_lossy().into_owned();
        let archive = into.join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.args(["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.arg(format!("--mtime=@{}", self.time)).arg("--file").arg(&archive).arg("-C").arg(into).arg(&name);
        process::run(&mut tar)?;
        Ok(archive)
    }
}

/// When the commit was made; without git, when SOURCE_DATE_EPOCH says, or the beginning of all time.
fn time(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(&workspace.root);
    let named = std::env::var("SOURCE_DATE_EPOCH").ok();
    named
        .or_else(|| process::read(&mut git).ok())
        .map_or_else(|| "0".to_owned(), |time| time.trim().to_owned())
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
