//! Shows that checks can fail: each runs against the kit's server as it is, and again with its own fault.

use std::{collections::BTreeSet, fmt, ops::Range};

use futures_util::{StreamExt, stream};

use super::{Check, Embedded, EmbeddedError, Judge, Progress};
use crate::report::{CheckResult, Verdict};

/// Seeds of one check at once, where it may run beside others.
const BESIDE: usize = 4;

/// What one seed showed of a check.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The check against the server with its fault: it must fail.
    pub broken: CheckResult,
    /// The check against the sound server: it must pass.
    pub sound: CheckResult,
}

/// What some seeds showed of a check.
pub struct Row {
    /// The check.
    pub check: &'static Check,
    /// How many seeds were tried.
    pub seeds: u64,
    /// How many of them made it fail with its fault.
    pub caught: u64,
    /// How many of them made it pass without.
    pub sound: u64,
    /// Why it cannot be done on the kit's server.
    pub not_done: Option<String>,
    /// What the check said the first time that it caught the fault.
    pub caught_by: Option<String>,
    /// What the first seed said that showed something else: its number and its words.
    pub missed: Option<(u64, String)>,
    /// Other checks that the fault makes fail; only known where it was asked for.
    pub also: BTreeSet<String>,
}

/// Runs a check against both servers.
pub async fn prove(check: &'static Check, seed: u64) -> Result<Proof, EmbeddedError> {
    let sound = Embedded::start().await?;
    let passed = only(check, &sound, seed).await;
    let broken = Embedded::start_with_fault(check.fault(), seed).await?;
    let failed = only(check, &broken, seed).await;
    Ok(Proof { broken: failed, sound: passed })
}

/// Runs a check against both servers with each of these seeds, and with `others` all quick checks against the one with
/// the fault, once.
pub async fn row(check: &'static Check, seeds: Range<u64>, others: bool) -> Result<Row, EmbeddedError> {
    let first = seeds.start;
    let mut row = Row {
        check,
        seeds: seeds.end - seeds.start,
        caught: 0,
        sound: 0,
        not_done: None,
        caught_by: None,
        missed: None,
        also: BTreeSet::new(),
    };
    if !check.fault().can_be_made() {
        let why = "its fault stands in the server's code, which this program has without: \
                   cargo run --release --features failpoints -- check --self-test";
        row.not_done = Some(why.to_owned());
        return Ok(row);
    }
    let proof = Box::pin(prove(check, first)).await?;
    if proof.sound.verdict == Verdict::NotDone {
        row.not_done = Some(proof.sound.what);
        return Ok(row);
    }
    row.take(first, proof);
    let beside = if check.schedule.is_alone() { 1 } else { BESIDE };
    let mut proofs = stream::iter(first + 1..seeds.end)
        .map(|seed| async move { (seed, Box::pin(prove(check, seed)).await) })
        .buffer_unordered(beside);
    while let Some((seed, proof)) = proofs.next().await {
        row.take(seed, proof?);
    }
    if others {
        row.also = also(check, first).await?;
    }
    Ok(row)
}

impl Row {
    fn take(&mut self, seed: u64, proof: Proof) {
        let (sound, caught) = (proof.sound.verdict == Verdict::Pass, proof.broken.verdict == Verdict::Fail);
        self.sound += u64::from(sound);
        self.caught += u64::from(caught);
        if caught {
            self.caught_by.get_or_insert_with(|| proof.broken.what.clone());
        }
        if !sound {
            self.missed.get_or_insert((seed, format!("without its fault: {}", proof.sound.what)));
        } else if !caught {
            self.missed.get_or_insert((seed, format!("with its fault: {}", proof.broken.what)));
        }
    }

    /// True when the fault was caught in 99 of 100 seeds or better and no seed failed without it.
    pub fn holds(&self) -> bool {
        self.sound == self.seeds && self.caught * 100 >= self.seeds * 99
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.check.fault().source.name();
        write!(f, "{:<30} {:<28} {source:<10}", self.check.id, self.check.fault_name)?;
        if let Some(why) = &self.not_done {
            return write!(f, "not done: {why}");
        }
        write!(f, "caught {}/{}  sound {}/{}", self.caught, self.seeds, self.sound, self.seeds)?;
        if !self.also.is_empty() {
            let also: Vec<&str> = self.also.iter().map(String::as_str).collect();
            write!(f, "  also {}", also.join(" "))?;
        }
        match &self.missed {
            Some((seed, what)) => write!(f, "\n    seed {seed:#x} {what}"),
            None => Ok(()),
        }
    }
}

async fn also(check: &Check, seed: u64) -> Result<BTreeSet<String>, EmbeddedError> {
    let broken = Embedded::start_with_fault(check.fault(), seed).await?;
    let judge = Judge { quick: true, ..Judge::new(seed) };
    let report = judge.run(&broken.target, |_| {}).await;
    Ok(report
        .of(Verdict::Fail)
        .filter(|result| result.id != check.id)
        .map(|result| result.id.clone())
        .collect())
}

/// Runs one check against a server.
pub async fn only(check: &'static Check, embedded: &Embedded, seed: u64) -> CheckResult {
    let judge = Judge { only: vec![check.id.to_string()], ..Judge::new(seed) };
    let mut report = judge.run(&embedded.target, |_: Progress<'_>| {}).await;
    report.checks.remove(0)
}
