//! Shows that checks can fail: each runs against the kit's server as it is, and again with its own bug switched on.

use super::{Check, Embedded, EmbeddedError, Judge, Progress};
use crate::report::{CheckResult, Verdict};

/// What one seed showed of a check.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The check against the server with its bug: it must fail.
    pub broken: CheckResult,
    /// The check against the sound server: it must pass.
    pub sound: CheckResult,
}

impl Proof {
    /// True when the check passes on the sound server and fails on the other, and says nothing else of either.
    pub fn holds(&self) -> bool {
        self.sound.verdict == Verdict::Pass && self.broken.verdict == Verdict::Fail
    }
}

/// Runs a check against both servers.
pub async fn prove(check: &'static Check, seed: u64) -> Result<Proof, EmbeddedError> {
    let sound = Embedded::start().await?;
    let passed = only(check, &sound, seed).await;
    sound.server.shutdown().await;
    let broken = Embedded::start_with_bug(check.bug, seed).await?;
    let failed = only(check, &broken, seed).await;
    Ok(Proof { broken: failed, sound: passed })
}

/// Runs one check against a server.
pub async fn only(check: &'static Check, embedded: &Embedded, seed: u64) -> CheckResult {
    let judge = Judge { only: vec![check.id.to_owned()], ..Judge::new(seed) };
    let mut report = judge.run(&embedded.target, |_: Progress<'_>| {}).await;
    report.checks.remove(0)
}
