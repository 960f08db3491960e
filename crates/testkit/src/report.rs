//! What the judge found, in one model; the children of this room write it for people, for machines and for CI.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    check::{Measure, Severity, Target},
    record::Op,
};

/// The version of the JSON form: it grows when a field changes its meaning or goes.
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
    /// What chance was made of.
    pub seed: u64,
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
    /// All that happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Op>,
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

impl Report {
    /// A report of now.
    pub fn new(target: &Target, seed: u64, took: Duration, checks: Vec<CheckResult>) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.url().to_owned(),
            profile: target.profile().name.clone(),
            seed,
            began: now.map_or(0.0, |now| (now.saturating_sub(took)).as_secs_f64()),
            seconds: took.as_secs_f64(),
            checks,
        }
    }

    /// How many checks came to a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// True when something was put to the test and nothing failed.
    pub fn is_clean(&self) -> bool {
        self.count(Verdict::Pass) > 0 && self.count(Verdict::Fail) + self.count(Verdict::Gone) == 0
    }
}
