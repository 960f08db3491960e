//! Where the workspace and its build folder are.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The workspace these commands work on.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that a target folder set elsewhere is found as well.
    pub(crate) fn find() -> Result<Workspace> {
        let metadata = process::read(cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
        let folder = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        Ok(Workspace { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// A cargo command at the root of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// The Python environment of the tests that use an independent client.
    pub(crate) fn python_folder(&self) -> PathBuf {
        self.target.join("tools/python")
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.python_folder().join("bin/python")
    }

    /// The variables by which programs find both.
    pub(crate) fn tools(&self) -> [(&'static str, PathBuf); 2] {
        [("WIREPROOF_PYTHON", self.python()), ("WIREPROOF_NODE_MODULES", self.node_modules())]
    }

    /// The folder that holds the `node_modules` of the same tests.
    pub(crate) fn node_folder(&self) -> PathBuf {
        self.target.join("tools/node")
    }

    /// The `node_modules` themselves.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.node_folder().join("node_modules")
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
