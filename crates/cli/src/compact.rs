//! `wireproof compact`: writes a store anew without its free space, while its server is stopped.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use wireproof_server::{
    Config, Overrides,
    store::embedded::compact::{Compacted, compact},
};

use crate::{backup::Bar, logging, output::exact};

/// The server must be stopped. The folder needs room for the new file beside the old one, which stays until the new one is
/// whole. A store made by an earlier version gives space back by itself from then on.
#[derive(Args)]
pub(crate) struct Compact {
    /// The server's data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's settings, if a file holds them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Compact {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("warn");
        let overrides = Overrides { data_dir: self.data_dir, ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), overrides).context("reading the settings")?;
        let bar = Bar::new();
        let compacted = compact(&config.data_dir, &mut bar.watch()).context("compacting the store")?;
        bar.end();
        let Compacted { before, after } = compacted;
        let folder = config.data_dir.display();
        writeln!(exact(), "{folder}: {before} bytes before, {after} bytes now").context("writing to stdout")
    }
}
