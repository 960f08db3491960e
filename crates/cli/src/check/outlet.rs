//! Where the report goes: the terminal, and files for programs, CI and browsers.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use wireproof_testkit::{
    profile::Profile,
    record::{Header, join, write_file},
    report::{Report, github, html, json, junit, terminal},
};

/// The forms of a report.
#[derive(Args)]
pub(super) struct Outlet {
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
    #[arg(long, env = "GITHUB_ACTIONS")]
    github: bool,
    /// Write all that happened as JSON lines, for `wireproof verify`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Outlet {
    /// Writes the report wherever it was asked for.
    pub(super) fn write(&self, report: &Report, profile: &Profile) -> anyhow::Result<()> {
        let mut out = anstream::stdout();
        match &self.json {
            Some(path) if path == Path::new("-") => writeln!(out, "{}", json::write(report))?,
            _ => terminal::write(report, &mut out)?,
        }
        if self.github {
            github::write(report, &mut out)?;
        }
        out.flush()?;
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
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
