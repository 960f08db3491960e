//! What `wireproof check` says of a server: its report, and how it ended.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wireproof_judge::report::{CheckResult, Report, Verdict};

use crate::process::{finish_within, wireproof};

/// Longer than all checks take together, also on a busy machine.
const WITHIN: Duration = Duration::from_secs(300);

/// The judge's report about a server.
pub(crate) struct Judged {
    pub(crate) code: Option<i32>,
    pub(crate) report: Report,
}

/// Judges a server with these flags; there has to be a report.
pub(crate) async fn judge(url: &str, flags: &[&str]) -> Result<Judged> {
    let mut command = wireproof(["check", url, "--json", "-", "--seed", "7", "--users", "10"]);
    command.args(flags);
    let ended = finish_within(command, WITHIN).await?;
    let report = serde_json::from_str(&ended.stdout);
    let report = report.with_context(|| format!("no report ({:?}): {}", ended.code, ended.stderr))?;
    Ok(Judged { code: ended.code, report })
}

impl Judged {
    /// The verdicts on one check.
    pub(crate) fn of(&self, id: &str) -> Result<&CheckResult> {
        self.report
            .checks
            .iter()
            .find(|check| check.id == id)
            .with_context(|| format!("there is no check {id}"))
    }

    /// The checks of a group.
    pub(crate) fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a CheckResult> {
        self.report.checks.iter().filter(move |check| check.group() == group)
    }

    /// Nothing failed, at least so many checks passed, and each of the rest says why it was not done.
    pub(crate) fn is_sound(&self, passed: usize) -> Result<()> {
        let broken = self.report.of(Verdict::Fail).chain(self.report.of(Verdict::Gone));
        let broken: Vec<String> = broken.map(|check| format!("{}: {}", check.id, check.what)).collect();
        ensure!(broken.is_empty(), "a sound server failed:\n{}", broken.join("\n"));
        ensure!(self.code == Some(0), "exit code {:?}", self.code);
        ensure!(self.report.count(Verdict::Pass) >= passed, "only {}", self.report.summary());
        let mute: Vec<&str> = self
            .report
            .of(Verdict::NotDone)
            .filter(|check| check.what.is_empty())
            .map(|check| check.id.as_str())
            .collect();
        ensure!(mute.is_empty(), "not done and no reason: {mute:?}");
        Ok(())
    }

    /// None of a group came to a verdict, and each says why.
    pub(crate) fn is_not_done(&self, group: &str, why: &str) -> Result<()> {
        ensure!(self.group(group).next().is_some(), "there is no group {group}");
        for check in self.group(group) {
            let said = (check.verdict, check.what.contains(why));
            ensure!(said == (Verdict::NotDone, true), "{}: {:?} {}", check.id, check.verdict, check.what);
        }
        Ok(())
    }

    /// This check failed and says so in these words, and the program with its exit code.
    pub(crate) fn failed(&self, id: &str, words: &str) -> Result<()> {
        let check = self.of(id)?;
        let said = (check.verdict, check.what.contains(words));
        ensure!(said == (Verdict::Fail, true), "{id}: {:?} {}", check.verdict, check.what);
        ensure!(self.code == Some(1), "exit code {:?}", self.code);
        Ok(())
    }
}
