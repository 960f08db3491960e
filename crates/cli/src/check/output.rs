//! Where the report goes: the terminal, and files for programs, CI and browsers.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use wireproof_judge::{
    profile::Profile,
    record::{Header, join, write_file},
    report::{Report, github, html, json, junit, terminal},
};
use wireproof_server::files;

use crate::output;

/// The forms of a report.
#[derive(Args)]
pub(super) struct ReportOutput {
    /// Write the report as JSON; `-` prints it in place of the lines.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print annotations for GitHub Actions; on by itself there.
    #[arg(long, env = "GITHUB_ACTIONS", value_parser = clap::builder::FalseyValueParser::new())]
    github: bool,
    /// Write all that happened as JSON lines, for `wireproof verify`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl ReportOutput {
    /// Writes the report wherever it was asked for.
    pub(super) fn write(&self, report: &Report, profile: &Profile) -> anyhow::Result<()> {
        let as_json = self.json.as_deref() == Some(Path::new("-"));
        let mut out = output::of(as_json).even_unread();
        // The runner takes orders from every line: what the judged server said must not give any.
        let quiet = format!("wireproof-{:032x}", rand::random::<u128>());
        let guarded = self.github && !as_json;
        if guarded {
            writeln!(out, "::stop-commands::{quiet}")?;
        }
        match as_json {
            true => writeln!(out, "{}", json::write(report))?,
            false => terminal::write(report, &mut out)?,
        }
        if guarded {
            writeln!(out, "::{quiet}::")?;
        }
        out.flush()?;
        if self.github {
            // Where the lines are a program's, the annotations go where the runner looks as well.
            if as_json {
                // Where stderr is full the exit code still says it.
                let _ = github::write(report, &mut anstream::stderr());
            } else {
                github::write(report, &mut out)?
            }
        }
        if let Some(path) = self.json.as_deref().filter(|path| *path != Path::new("-")) {
            file(path, &json::write(report))?;
        }
        if let Some(path) = &self.junit {
            file(path, &junit::write(report).context("writing JUnit XML")?)?;
        }
        if let Some(path) = &self.record {
            let all = report.checks.iter().map(|check| (check.id.as_str(), check.history.as_slice()));
            let header = Header::of(&report.target, profile, report.seed);
            write_file(path, &header, &join(all)).context("writing the history")?;
        }
        if let Some(path) = &self.html {
            file(path, &html::write(report).context("writing the page")?)?;
        }
        Ok(())
    }
}

fn file(path: &Path, text: &str) -> anyhow::Result<()> {
    files::write(path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}
