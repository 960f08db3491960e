//! `cargo xtask dist`: the program for others, as an archive and as a Debian package, each unpacked and run in a folder
//! where nothing else is.

mod files;
mod package;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use self::files::Files;
use crate::process;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// What the program for others has besides its defaults: every feature that takes no service to build.
const FEATURES: &str = "otel";

/// Builds both under `target/dist`, and tries them unless that is switched off.
pub(crate) fn run(workspace: &Workspace, tries: bool) -> Result<()> {
    let program = build(workspace)?;
    let folder = workspace.target.join("dist-files");
    let files = Files::gather(workspace, &program, &folder)?;
    let archive = files.archive(&folder)?;
    let package = package::build(workspace, &files, &folder)?;
    for made in [&program, &archive, &package] {
        println!("{}: {:.1} MB", made.display(), fs::metadata(made)?.len() as f64 / 1e6);
    }
    match tries {
        true => trial::run(workspace, &archive, &package),
        false => Ok(()),
    }
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "wireproof",
        "--features",
        FEATURES,
    ]);
    process::run(&mut command)?;
    Ok(workspace.target.join("dist/wireproof"))
}

/// Installs what a trial takes.
fn prepare(workspace: &Workspace) -> Result<()> {
    setup::install(workspace, &[Need::Debootstrap])
}

/// A folder anew, with nothing in it.
fn fresh(folder: PathBuf) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// What a program answers, on one line.
fn answer(program: &str, arguments: &[&str]) -> Result<String> {
    Ok(process::read(Command::new(program).args(arguments))?.trim().to_owned())
}
