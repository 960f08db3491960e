//! `wireproof restore`: puts a backup in the place of a store; a server that runs there is restarted in place.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use http::Method;
use tokio::time::{Instant, sleep};
use wireproof_server::{
    Config,
    store::embedded::{Embedded, restore},
};

use crate::{
    backup::{Bar, tell},
    exit::Stop,
    local_admin::{ANSWER_SECONDS, LocalAdmin},
    logging,
    output::exact,
    runtime,
    settings::SettingsArgs,
    token::parse_seconds,
};

/// How long a running server may take beyond its own drain to come back with the restored store.
const RESTART_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(100);

/// The arguments of `wireproof restore`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof restore --from ./backup.db --data-dir ./data --force

Exit codes: 0 restored, 1 failed, 2 there is a store and no --force, or an argument cannot be used, 3 the running server
does not answer, 4 it refused.")]
pub(crate) struct Restore {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Replace the store that is there.
    #[arg(long)]
    force: bool,
    /// Keep accepting the tokens and logins that are valid now.
    #[arg(long)]
    keep_sessions: bool,
    /// How long a running server may take to answer; its restart may take longer.
    #[arg(long, value_name = "SECONDS", default_value = ANSWER_SECONDS, value_parser = parse_seconds)]
    timeout: Duration,
}

impl Restore {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("error");
        let config = self.settings.load()?;
        let folder = &config.data_dir;
        if restore::has_store(folder) && !self.force {
            let folder = folder.display();
            return Err(Stop::Usage(format!(
                "{folder} holds a store; --force moves it aside and restores in its place"
            ))
            .into());
        }
        let bar = Bar::new();
        let contents = restore::stage(&self.from, folder, self.keep_sessions, &mut bar.watch())
            .context("restoring the backup")?;
        bar.end();
        tell(&mut exact().even_unread(), &self.from, &contents).context("writing to stdout")?;
        runtime::run_single(async {
            match LocalAdmin::find(&config, self.timeout).await {
                Ok(None) => apply(folder),
                Ok(Some(running)) => restart(&running, &config, self.timeout).await,
                Err(error) => Err(error),
            }
            .with_context(|| {
                format!(
                    "the backup is ready in {} and takes its place at the next start of the server",
                    folder.display()
                )
            })
        })
    }
}

/// Nobody has the store open.
fn apply(folder: &Path) -> anyhow::Result<()> {
    let applied = restore::apply_now(folder)?;
    let mut out = exact().even_unread();
    if let Some(aside) = applied.and_then(|applied| applied.aside) {
        writeln!(out, "the old store is now {}", aside.display())?;
    }
    Ok(writeln!(out, "restored {}", folder.display())?)
}

/// A server has it open: it drains, and starts again with the restored store.
async fn restart(running: &LocalAdmin, config: &Config, within: Duration) -> anyhow::Result<()> {
    let folder = &config.data_dir;
    let answer = running.call(Method::POST, "/api/admin/restart", None).await?;
    running.said::<bool>(&answer, "restarting")?;
    let deadline = Instant::now() + Duration::from_secs_f64(config.drain.seconds) + RESTART_PATIENCE;
    // The staged file has its new place, and a server is there again.
    while restore::is_staged(folder)
        || !Embedded::is_held(folder)?
        || LocalAdmin::find(config, within).await.is_err()
    {
        if Instant::now() > deadline {
            bail!("the server did not come back in time; its log says why");
        }
        sleep(LOOK).await;
    }
    Ok(writeln!(exact().even_unread(), "restored {}; the server was restarted", folder.display())?)
}
