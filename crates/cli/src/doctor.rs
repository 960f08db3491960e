//! `wireproof doctor`: looks at all that a server would start with, and says what to do about what is wrong. It changes
//! nothing, and prints no secret.

mod keys;
mod machine;
mod settings;
mod start;
mod store;
mod tls;

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use wireproof_protocol::printable;
use wireproof_server::{Config, Overrides};

use crate::{exit::Stop, output, runtime, settings::SettingsArgs, token::parse_seconds};

/// The arguments of `wireproof doctor`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof doctor --data-dir ./data
  wireproof doctor --config /etc/wireproof/wireproof.toml --json

Exit codes: 0 nothing or only warnings, 1 an error was found, 2 an argument cannot be used.")]
pub(crate) struct Doctor {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Check the settings for serving without authentication.
    #[arg(long)]
    insecure_no_auth: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// How long an issuer of keys may take to answer.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    timeout: Duration,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// It does not work, or it is open to others.
    Error,
    /// It may be meant so.
    Warning,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    id: &'static str,
    severity: Severity,
    what: String,
    why: &'static str,
    remedy: String,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) {
        self.add(id, Severity::Error, what.into(), why, remedy.into());
    }

    fn warning(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) {
        self.add(id, Severity::Warning, what.into(), why, remedy.into());
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|finding| finding.id == id)
    }

    fn add(&mut self, id: &'static str, severity: Severity, what: String, why: &'static str, remedy: String) {
        self.0.push(Finding { id, severity, what, why, remedy });
    }
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut findings = Findings::default();
        let overrides = Overrides { insecure_no_auth: self.insecure_no_auth, ..self.settings.overrides() };
        // What cannot be used has its default from here on, so that the rest can be looked at too.
        let (config, faults) = Config::read(self.settings.file(), overrides);
        start::unreadable(&faults, &mut findings);
        let checking = examine(&config, self.settings.file(), self.timeout, faults.is_empty(), &mut findings);
        runtime::run_single(async {
            checking.await;
            Ok(())
        })?;
        findings.0.sort_by_key(|finding| finding.severity);
        print(&findings.0, self.json).context("writing to stdout")?;
        match findings.0.iter().any(|finding| finding.severity == Severity::Error) {
            true => Err(Stop::Failed.into()),
            false => Ok(()),
        }
    }
}

async fn examine(
    config: &Config,
    file: Option<&Path>,
    within: Duration,
    settled: bool,
    findings: &mut Findings,
) {
    start::examine(config, findings);
    settings::examine(config, file, findings);
    let examined = store::examine(config, findings);
    keys::examine(config, within, findings).await;
    tls::examine(config, findings);
    // Where the address or the limits are yet to be settled, there is nothing to hold the machine against.
    if settled {
        machine::examine(config, examined, findings);
    }
}

fn print(findings: &[Finding], json: bool) -> io::Result<()> {
    let mut out = output::of(json).even_unread();
    if json {
        return writeln!(out, "{}", serde_json::to_string_pretty(findings)?);
    }
    for Finding { id, severity, what, why, remedy } in findings {
        // Files that somebody else wrote are cited.
        let (what, remedy) = (printable(what), printable(remedy));
        let (colour, word) = match severity {
            Severity::Error => (anstyle::AnsiColor::Red, "error"),
            Severity::Warning => (anstyle::AnsiColor::Yellow, "warning"),
        };
        let (colour, reset) = (colour.on_default().bold(), anstyle::Reset);
        writeln!(out, "{colour}{word}{reset} {id}: {what}\n  why:  {why}\n  next: {remedy}")?;
    }
    match findings.len() {
        0 => writeln!(out, "nothing found: a server may start with these settings"),
        1 => writeln!(out, "1 finding"),
        count => writeln!(out, "{count} findings"),
    }
}

/// The permission bits of a file that its group or others have.
fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}
