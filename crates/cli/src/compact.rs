//! `wireproof compact`: writes a store anew without its free space, while its server is stopped.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use wireproof_server::store::embedded::compact::{Compacted, compact};

use crate::{backup::Bar, logging, output::exact, settings::SettingsArgs};

/// The arguments of `wireproof compact`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof compact --data-dir ./data

Exit codes: 0 written anew, 1 failed or too little room, 2 there is no store, 4 a server uses it.")]
pub(crate) struct Compact {
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Compact {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("warn");
        let config = self.settings.load()?;
        let bar = Bar::new();
        let compacted = compact(&config.data_dir, &mut bar.watch()).context("compacting the store")?;
        bar.end();
        let Compacted { before, after } = compacted;
        let folder = config.data_dir.display();
        writeln!(exact(), "{folder}: {before} bytes before, {after} bytes now").context("writing to stdout")
    }
}
