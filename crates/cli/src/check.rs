//! `wireproof check`: puts the promises of a server to the test, one by one, and says what it saw.

mod output;
mod progress;
mod self_test;
mod target;

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use wireproof_judge::{
    check::{CHECKS, Judge},
    report::{Report, Verdict},
};

use crate::{
    exit::Stop,
    logging,
    output::styled,
    runtime,
    signals::or_stop,
    token::parse_seconds,
    transcript::{BOLD, DIM, NOTE},
};
use target::CheckTarget;

/// The arguments of `wireproof check`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof check --embedded --quick
  wireproof check ws://127.0.0.1:8787/ws --data-dir ./data --junit checks.xml --html checks.html
  wireproof check wss://other.example.com/socket --profile ./mine.toml --token-file ./tokens --explain
  wireproof check --embedded --only order,auth.expired --seed 7

Exit codes: 0 every check that was done passed, 1 one failed, or with --strict one could not be done, 2 an argument or the
profile cannot be used, 3 the server cannot be reached or went away, 4 it refused the credentials.")]
pub(crate) struct Check {
    /// The server's address: ws://, wss://, http:// or https://; the profile gives the path that it lacks.
    #[arg(conflicts_with = "embedded")]
    url: Option<String>,
    /// Judge the server of this program, started for it on a free port.
    #[arg(long)]
    embedded: bool,
    /// The server's profile: one that ships, or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "wireproof")]
    profile: String,
    /// The server's data folder, to sign tokens with its key.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A file with the secret that signs tokens (HS256).
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    secret_file: Option<PathBuf>,
    /// A file with one `USER TOKEN` a line, where the judge cannot sign.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "secret_file"])]
    token_file: Option<PathBuf>,
    /// A PEM file with more certificates to trust.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How long the server may take for a handshake, and for an answer over HTTP.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    /// Accept any certificate; the report says so.
    #[arg(long, conflicts_with_all = ["ca", "embedded"])]
    insecure: bool,
    /// Leave out the checks that take more than a second or so.
    #[arg(long)]
    quick: bool,
    /// Only these checks or groups, as in `order,auth.expired`.
    #[arg(long, value_name = "ID|GROUP", value_delimiter = ',')]
    only: Vec<String>,
    /// The seed of all random choices; the same seed makes the same choices.
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// The number of users in checks with many users.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=1000))]
    users: u32,
    /// Count checks that could not be done as failures.
    #[arg(long)]
    strict: bool,
    /// Print all checks and exit.
    #[arg(long, conflicts_with_all = ["self_test", "explain"])]
    list: bool,
    /// List the checks that cannot be done on this server, with the reason, and exit.
    #[arg(long, conflicts_with = "self_test")]
    explain: bool,
    /// Run each check against this program's own server, sound and with the fault that the check must catch.
    #[arg(long, conflicts_with = "url")]
    self_test: bool,
    /// With --self-test: how many seeds each fault is tried with.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "self_test")]
    seeds: u64,
    /// With --self-test: run all quick checks against each fault, not only its own.
    #[arg(long, requires = "self_test")]
    matrix: bool,
    #[command(flatten)]
    outlet: output::ReportOutput,
}

/// A seed in decimal, or in hex after 0x.
fn parse_seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        logging::to_stderr("error");
        self.look_at_names()?;
        if self.list {
            return list(&self.judge());
        }
        if self.self_test {
            return runtime::run(or_stop(self_test::run(self.judge(), self.seeds, self.matrix)));
        }
        if self.url.is_none() && !self.embedded {
            let why = "say what to judge: an address such as ws://127.0.0.1:8787/ws, or --embedded for this program's own";
            return Err(Stop::Usage(why.into()).into());
        }
        runtime::run(or_stop(self.judged()))
    }

    fn judge(&self) -> Judge {
        Judge {
            users: self.users as usize,
            quick: self.quick,
            only: self.only.clone(),
            ..Judge::new(self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())))
        }
    }

    /// A name that no check has is a mistake, and no reason to run nothing.
    fn look_at_names(&self) -> anyhow::Result<()> {
        let known = |name: &String| {
            CHECKS.iter().any(|check| check.id == *name || check.id.split('.').next() == Some(name.as_str()))
        };
        match self.only.iter().find(|name| !known(name)) {
            Some(name) => {
                let why =
                    format!("no check or group is called {name:?}: `wireproof check --list` has them all");
                Err(Stop::Usage(why).into())
            }
            None => Ok(()),
        }
    }

    async fn judged(self) -> anyhow::Result<()> {
        let judge = self.judge();
        let whom = CheckTarget::find(&self).await?;
        if self.explain {
            return explain(&judge, &whom);
        }
        whom.reach(&judge).await?;
        let mut report = progress::follow(&judge, whom.target()).await;
        report.command = whom.command();
        if self.users != 50 {
            report.command.push_str(&format!(" --users {}", self.users));
        }
        let profile = whom.target().profile().clone();
        whom.close().await;
        self.outlet.write(&report, &profile)?;
        self.verdict(&report)
    }

    fn verdict(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(gone) = report.of(Verdict::Gone).next() {
            let why = format!("the server went away during the checks: {}", gone.what);
            return Err(Stop::Unreachable(why).into());
        }
        let lacking = self.strict && report.count(Verdict::NotDone) > 0;
        if report.is_clean() && !lacking { Ok(()) } else { Err(Stop::Failed.into()) }
    }
}

fn list(judge: &Judge) -> anyhow::Result<()> {
    let mut out = styled().even_unread();
    let checks = judge.chosen();
    for check in &checks {
        let severity = format!("{:?}", check.severity).to_lowercase();
        writeln!(out, "{BOLD}{:<30}{BOLD:#} {severity:<8}  {}", check.id, check.sentence)?;
    }
    writeln!(out, "\n{} checks", checks.len())?;
    Ok(out.flush()?)
}

fn explain(judge: &Judge, whom: &CheckTarget) -> anyhow::Result<()> {
    let mut out = styled().even_unread();
    let (chosen, missing) = (judge.chosen(), judge.explain(whom.target()));
    for check in &chosen {
        match missing.get(&*check.id) {
            None => writeln!(out, "can be done     {:<30} {DIM}{}{DIM:#}", check.id, check.sentence)?,
            Some(why) => writeln!(out, "{NOTE}cannot be done{NOTE:#}  {:<30} {why}", check.id)?,
        }
    }
    writeln!(out, "\n{} of {} checks can be done", chosen.len() - missing.len(), chosen.len())?;
    Ok(out.flush()?)
}
