//! The two arguments by which a command finds the settings of its server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use wireproof_server::{Config, Overrides};

/// The data folder and the settings file of a server.
#[derive(Args)]
pub(crate) struct SettingsArgs {
    /// The server's data folder [env: WIREPROOF_DATA_DIR] [default: wireproof-data].
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// A TOML file with the server's settings.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    /// Reads the settings as a server with these arguments would.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Config::load(self.file(), self.overrides()).context("reading the settings")
    }

    /// The settings that the arguments give.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { data_dir: self.data_dir.clone(), ..Overrides::default() }
    }

    /// The settings file, if one was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}
