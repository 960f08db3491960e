//! What the judge found, in one model; the children of this room write it for people, for machines and for CI.

use serde::{Deserialize, Serialize};

use crate::record::Op;

pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod terminal;

/// The version of the JSON form: it grows when a field changes its meaning or goes; new fields leave it as it is.
pub const SCHEMA: u32 = 1;

/// All that a judge found about a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of wireproof that judged.
    pub version: String,
    /// The address of the server.
    pub target: String,
    /// The profile by which it was judged.
    pub profile: String,
    /// True when nobody looked at the server's certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// What chance was made of.
    pub seed: u64,
    /// The command that judges the same server again, without what picks checks.
    pub command: String,
    /// When it began, in Unix seconds.
    pub began: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The checks, in the order of the list.
    pub checks: Vec<CheckResult>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check.
    pub id: String,
    /// Its promise.
    pub sentence: String,
    /// How bad it is when broken.
    pub severity: Severity,
    /// Whether the promise is kept.
    pub verdict: Verdict,
    /// What was seen, or why nothing could be.
    pub what: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
    /// The checks that ran at the same time, when this one failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// All that happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Op>,
}

/// How bad a broken promise is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is against good manners or slows people down.
    Minor,
    /// Clients break, or people do not see what happened.
    Major,
    /// Events are lost, or somebody sees or does what is another's.
    Critical,
}

/// Times that a check took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What was timed.
    pub what: String,
    /// Each time, in milliseconds, in the order of measuring.
    pub ms: Vec<f64>,
    /// What it must stay under, if there is a bound, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_ms: Option<f64>,
}

/// Whether a promise is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is, as far as was seen.
    Pass,
    /// It is broken.
    Fail,
    /// It could not be put to the test.
    NotDone,
    /// The server went away.
    Gone,
}

impl Verdict {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::NotDone => "not done",
            Verdict::Gone => "gone",
        }
    }
}

impl CheckResult {
    /// The group that the check is of.
    pub fn group(&self) -> &str {
        self.id.split('.').next().unwrap_or(&self.id)
    }

    /// The last things that happened, as many as tell the story, oldest first.
    pub fn tail(&self, most: usize) -> &[Op] {
        &self.history[self.history.len().saturating_sub(most)..]
    }
}

impl Report {
    /// How many checks came to a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// The checks of a verdict, in order.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &CheckResult> {
        self.checks.iter().filter(move |check| check.verdict == verdict)
    }

    /// The checks by their groups, each group once, in the order in which they first stand in the list.
    pub fn groups(&self) -> Vec<(&str, Vec<&CheckResult>)> {
        let mut groups: Vec<(&str, Vec<&CheckResult>)> = Vec::new();
        for check in &self.checks {
            match groups.iter_mut().find(|(name, _)| *name == check.group()) {
                Some((_, checks)) => checks.push(check),
                None => groups.push((check.group(), vec![check])),
            }
        }
        groups
    }

    /// The command that runs one check again as it ran here, with those that ran beside it.
    pub fn replay(&self, check: &CheckResult) -> String {
        let ids: Vec<&str> = [&check.id].into_iter().chain(&check.beside).map(String::as_str).collect();
        format!("{} --only {} --seed {:#x}", self.command, ids.join(","), self.seed)
    }

    /// What it comes to, in a line.
    pub fn summary(&self) -> String {
        let count = |verdict| self.count(verdict);
        let mut parts =
            vec![format!("{} passed", count(Verdict::Pass)), format!("{} failed", count(Verdict::Fail))];
        if count(Verdict::NotDone) > 0 {
            parts.push(format!("{} not done", count(Verdict::NotDone)));
        }
        if count(Verdict::Gone) > 0 {
            parts.push(format!("{} broken off: the server went away", count(Verdict::Gone)));
        }
        format!("{} checks: {}, in {:.1} s", self.checks.len(), parts.join(", "), self.seconds)
    }

    /// What has to be known beside the verdicts.
    pub fn caution(&self) -> Option<&'static str> {
        self.insecure.then_some(
            "The server's certificate was not verified (--insecure): who was judged is not certain.",
        )
    }

    /// True when something was put to the test and nothing failed.
    pub fn is_clean(&self) -> bool {
        self.count(Verdict::Pass) > 0 && self.count(Verdict::Fail) + self.count(Verdict::Gone) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that stands in two places of the list was once written twice, with all its checks.
    #[test]
    fn each_check_stands_once_in_every_form() {
        let check = |id: &str| CheckResult {
            id: id.to_owned(),
            sentence: format!("the promise of {id}"),
            severity: Severity::Critical,
            verdict: Verdict::Pass,
            what: String::new(),
            ms: 1.0,
            measures: Vec::new(),
            beside: Vec::new(),
            history: Vec::new(),
        };
        let report = Report {
            schema: SCHEMA,
            version: "1".to_owned(),
            target: "ws://127.0.0.1:1/ws".to_owned(),
            profile: "wireproof".to_owned(),
            insecure: false,
            seed: 1,
            command: "wireproof check".to_owned(),
            began: 0.0,
            seconds: 1.0,
            checks: ["isolation.live", "events.five", "isolation.proof"].map(check).to_vec(),
        };
        for text in [junit::write(&report).expect("XML"), html::write(&report).expect("a page")] {
            for check in &report.checks {
                assert_eq!(
                    text.matches(&check.sentence)
                        .count()
                        .max(text.matches(&format!("\"{}\"", check.id)).count()),
                    1,
                    "{} in {text}",
                    check.id
                );
            }
        }
        assert_eq!(report.groups().len(), 2);
    }
}
