//! `wireproof load`: many connections, messages by a schedule or in a closed loop, and what the server made of them.

mod driver;
mod expectation;
mod in_flight;
mod pacer;
mod process;
mod recording;
mod report;
mod runner;
mod schedule;
mod self_check;
mod table;
mod tally;
mod target;
mod warnings;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use wireproof_protocol::Address;
use wireproof_server::files::Draft;

use crate::{
    address::{self, Read},
    exit::Stop,
    output, runtime,
    signals::or_stop,
    token::{parse_duration, parse_seconds},
};
use expectation::Expectation;
use recording::Recording;
use report::Report;
use runner::Runner;
use schedule::{Schedule, Stage};
use self_check::Finding;
use target::Target;

/// The arguments of `wireproof load`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof load --connections 1000 --rate 500
  wireproof load --url ws://127.0.0.1:8787/ws --data-dir ./data --stage 30s@100 --stage 30s@100..1000
  wireproof load --closed --expect \"completed.p99<500ms\" --expect \"errors<1%\"

Exit codes: 0 without errors and as expected, 1 not so, 2 an argument cannot be used, 3 the server cannot be reached, 4 it
refused.")]
pub(crate) struct Load {
    /// The server's socket; at /ws when the address has no path.
    #[arg(long, value_parser = Read(address::socket))]
    url: Option<Address>,
    /// A PEM file with more certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The server's data folder, to sign tokens with its key.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// One token for all connections; --data-dir goes before it.
    #[arg(long, env = "WIREPROOF_TOKEN", hide_env_values = true, value_parser = address::TokenArgument)]
    token: Option<String>,
    /// The users are called by this name and a number.
    #[arg(long, value_name = "NAME", default_value = "load")]
    token_user_prefix: String,
    /// How many connections to open; 100 when absent.
    #[arg(long, short)]
    connections: Option<usize>,
    /// How many users the connections belong to, in turn; as many as connections when absent.
    #[arg(long, short)]
    users: Option<usize>,
    /// Messages a second, over all connections in turn, on time even when earlier ones are unanswered; 0 only holds the connections,
    /// 100 when absent.
    #[arg(long, short, conflicts_with = "closed")]
    rate: Option<f64>,
    /// A time at a rate, or from one rate to another, such as 30s@100 or 30s@100..1000; again for each further stage.
    #[arg(long = "stage", value_name = "TIME@RATE", conflicts_with_all = ["rate", "duration", "closed"])]
    stages: Vec<Stage>,
    /// Each connection sends its next message when its run is over. Then nothing is due, so that latencies are from
    /// sending alone, and hide what waited.
    #[arg(long)]
    closed: bool,
    /// How many unanswered messages a connection may have; later ones wait, and the latencies from due include that
    /// wait. No limit when absent.
    #[arg(long, value_name = "N", conflicts_with = "closed")]
    in_flight: Option<usize>,
    /// How long to send, or to hold the connections.
    #[arg(long, short, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// What each message says.
    #[arg(long, short, default_value = "What is 17*23?")]
    message: String,
    /// Send pings in place of messages: they touch no agent and no store.
    #[arg(long, conflicts_with = "message")]
    ping: bool,
    /// A condition on the result; the exit code is 1 when it does not hold. May be given again. Such as completed.p99<500ms, errors<1% or
    /// runs_per_second>=100.
    #[arg(long, value_name = "WHAT")]
    expect: Vec<Expectation>,
    /// Stop a server of its own for a second under 1,000 pings a second, and check that the latencies show it.
    #[arg(long, conflicts_with_all = ["url", "stages", "closed", "in_flight", "message", "ping"])]
    self_check: bool,
    /// Handshakes at a time.
    #[arg(long, default_value_t = 128)]
    opening: usize,
    /// The server's process, to read its memory; found by itself when it listens on this machine.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// How long the server may take to accept a connection.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    timeout: Duration,
    /// Write everything sent and received as JSON lines, for `wireproof verify`; it is kept in memory until then.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        if self.self_check {
            self_check::prepare(&mut self)?;
        }
        if self.connections() == 0 || self.opening == 0 || self.users == Some(0) || self.in_flight == Some(0)
        {
            let why = "--connections, --users, --opening and --in-flight must be 1 or more";
            return Err(Stop::Usage(why.into()).into());
        }
        if !(0.0..=1e6).contains(&self.rate()) {
            return Err(Stop::Usage("--rate must be 0 to 1000000".into()).into());
        }
        raise_file_limit(self.connections())?;
        // A measurement that cannot be written down shows it before it is made.
        let record = self.record.as_deref().map(Draft::private).transpose();
        let record = record.map_err(|error| Stop::Usage(format!("--record: {error}")))?;
        // Stopped, it takes the server that it started along.
        runtime::run_single(or_stop(self.measure(record)))
    }

    async fn measure(self, record: Option<Draft>) -> anyhow::Result<()> {
        let target = Target::find(&self).await?;
        let book = record.as_ref().map(|_| Recording::new()).transpose()?;
        let mut conductor = Runner::new(&self, &target, book.clone());
        conductor.open(&self, &target, &progress("opening", self.connections() as u64)).await?;
        let bar = progress("running", self.schedule().duration().as_millis() as u64);
        let pause = match self.self_check {
            false => conductor.play(&self, &bar).await.map(|()| None)?,
            true => {
                let pause = self_check::pause(target.pid, self.duration);
                let ((), pause) = tokio::try_join!(conductor.play(&self, &bar), pause)?;
                Some(pause)
            }
        };
        let (course, tally) = conductor.end();
        let mut report = Report::new(&self, course, tally);
        report.self_check = pause.map(|pause| Finding::of(&report, self.duration, pause));
        if let (Some(book), Some(record)) = (&book, record) {
            book.write(record, &target.url.to_string())?;
        }
        target.close().await;
        let mut out = output::of(self.json).even_unread();
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
            false => report.write(&mut out)?,
        }
        out.flush()?;
        if report.is_good(&self) { Ok(()) } else { Err(Stop::Failed.into()) }
    }

    /// How many connections to open.
    fn connections(&self) -> usize {
        self.connections.unwrap_or(100)
    }

    /// How many users the connections belong to.
    fn users(&self) -> usize {
        self.users.unwrap_or(self.connections()).min(self.connections())
    }

    fn rate(&self) -> f64 {
        if self.closed { 0.0 } else { self.rate.unwrap_or(100.0) }
    }

    /// When messages are due.
    fn schedule(&self) -> Schedule {
        match self.stages.is_empty() {
            true => Schedule::new(vec![Stage::steady(self.rate(), self.duration)]),
            false => Schedule::new(self.stages.clone()),
        }
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
