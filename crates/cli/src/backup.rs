//! `wireproof backup`: one moment of a store, in one file, while its server goes on.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use wireproof_server::store::embedded::backup::{self, BackupProgress, Contents};

use crate::{logging, output::exact, settings::SettingsArgs};

/// The arguments of `wireproof backup`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof backup --data-dir ./data --to ./backup.db
  wireproof backup --config /etc/wireproof/wireproof.toml --to /backup/today.db --force

Exit codes: 0 written and checked, 1 failed, 2 an argument or a setting cannot be used.")]
pub(crate) struct Backup {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("warn");
        let config = self.settings.load()?;
        let bar = Bar::new();
        let contents = backup::take(&config.data_dir, &self.to, self.force, &mut bar.watch())
            .context("taking the backup")?;
        bar.end();
        tell(&mut exact(), &self.to, &contents).context("writing to stdout")
    }
}

/// One line on what a backup holds.
pub(crate) fn tell(out: &mut impl Write, path: &Path, contents: &Contents) -> io::Result<()> {
    let Contents { cut, holds, bytes } = contents;
    let cut = Timestamp::from_microsecond((cut * 1e6) as i64).unwrap_or_default();
    writeln!(
        out,
        "{}: {} users, {} events, {} runs ({} under way), {} bytes, as of {cut:.3}",
        path.display(),
        holds.users,
        holds.events,
        holds.runs,
        holds.active_runs,
        bytes,
    )
}

/// What is shown while it takes long; nothing where nobody watches.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(crate) fn watch(&self) -> impl FnMut(BackupProgress) + use<> {
        let bar = self.0.clone();
        move |progress| {
            let (message, done, all) = match progress {
                BackupProgress::Copied(done, all) => ("bytes", done, all),
                BackupProgress::Checked(done, all) => ("users checked", done, all),
            };
            bar.set_message(message);
            bar.set_length(all);
            bar.set_position(done);
        }
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
