//! `wireproof load`: many connections, messages by a schedule or in a closed loop, and what the server made of them.

mod conductor;
mod driver;
mod pacer;
mod process;
mod report;
mod table;
mod tally;
mod target;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{exit::Stop, runtime, signals::or_stop, token::parse_duration};
use conductor::Conductor;
use report::Report;
use target::Target;

/// Without --url it starts a server of its own, as a second process with a temporary folder and no limits.
#[derive(Args)]
pub(crate) struct Load {
    /// The server's socket.
    #[arg(long)]
    url: Option<String>,
    /// A PEM file with more certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The server's data folder, to sign tokens with its key.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One token for all connections; --data-dir goes before it.
    #[arg(long, env = "WIREPROOF_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The users are called by this name and a number.
    #[arg(long, value_name = "NAME", default_value = "load")]
    token_user_prefix: String,
    /// How many connections to open.
    #[arg(long, short, default_value_t = 100)]
    connections: usize,
    /// How many users the connections belong to, in turn; as many as connections when absent.
    #[arg(long, short)]
    users: Option<usize>,
    /// Messages a second, over all connections in turn; 0 only holds the connections.
    #[arg(long, short, default_value_t = 100.0, conflicts_with = "closed")]
    rate: f64,
    /// Each connection sends its next message when its run is over.
    #[arg(long)]
    closed: bool,
    /// How long to send, or to hold the connections.
    #[arg(long, short, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// What each message says.
    #[arg(long, short, default_value = "What is 17*23?")]
    message: String,
    /// Handshakes at a time.
    #[arg(long, default_value_t = 128)]
    opening: usize,
    /// The server's process, to read its memory; found by itself when it listens on this machine.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.connections == 0 || self.opening == 0 || self.users == Some(0) {
            return Err(Stop::Usage("--connections, --users and --opening must be 1 or more".into()).into());
        }
        if !(0.0..=1e6).contains(&self.rate) {
            return Err(Stop::Usage("--rate must be 0 to 1000000".into()).into());
        }
        raise_file_limit(self.connections)?;
        // Stopped, it takes the server that it started along.
        runtime::run_single(or_stop(self.measure()))
    }

    async fn measure(self) -> anyhow::Result<()> {
        let target = Target::find(&self).await?;
        let mut conductor = Conductor::new(&self, &target);
        conductor.open(&self, &target, &progress("opening", self.connections as u64)).await?;
        conductor.play(&self, &progress("running", self.duration.as_millis() as u64)).await?;
        let (course, tally) = conductor.end();
        let report = Report::new(&self, course, tally);
        target.close().await;
        let mut out = anstream::stdout();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
            false => report.write(&mut out)?,
        }
        out.flush()?;
        if report.is_clean() { Ok(()) } else { Err(Stop::Failed.into()) }
    }

    /// How many users the connections belong to.
    fn users(&self) -> usize {
        self.users.unwrap_or(self.connections).min(self.connections)
    }
}

/// A bar on stderr, where it does not mix with the result; none when stderr is no terminal.
fn progress(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_prefix(what);
    // A template that is wrong is seen in the first run; the default bar is no reason to stop.
    if let Ok(style) = ProgressStyle::with_template("{prefix:8} {bar:40} {percent:>3}%  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Each connection is an open file, and the server that this program starts inherits the limit.
fn raise_file_limit(connections: usize) -> anyhow::Result<()> {
    let needed = connections as u64 + 256;
    let raised = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_default();
    if raised >= needed {
        return Ok(());
    }
    let why = format!("{connections} connections need {needed} open files and the limit is {raised}");
    Err(Stop::Usage(format!("{why}: raise it with `ulimit -Hn` or open fewer")).into())
}
