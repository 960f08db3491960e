//! How often a check tells the two servers apart: over as many seeds as are asked for.

use libtest_mimic::Failed;
use wireproof_testkit::{
    check::{Check, prove::prove},
    report::{CheckResult, Verdict},
};

/// What so many seeds showed of a check.
#[derive(Default)]
pub struct Seeds {
    asked: u64,
    sound: u64,
    caught: u64,
    /// What it said of the sound server, the first time.
    passed_with: Option<String>,
    /// What the check said of the broken server, the first time that it caught the bug.
    caught_by: Option<String>,
    /// What it said where it should have said something else, with the seed.
    wrong: Vec<String>,
}

/// The number of seeds: `WIREPROOF_SEEDS`, or one.
pub fn asked() -> u64 {
    std::env::var("WIREPROOF_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

impl Seeds {
    /// Runs a check against both servers with every seed.
    pub fn of(check: &'static Check, seeds: u64) -> Result<Self, Failed> {
        let mut found = Self { asked: seeds, ..Self::default() };
        for seed in 1..=seeds {
            // A runtime of its own for every seed: what one leaves behind is none of the next one's.
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let proof = runtime.block_on(prove(check, seed))?;
            found.count(seed, check, &proof.sound, &proof.broken);
        }
        Ok(found)
    }

    fn count(&mut self, seed: u64, check: &Check, sound: &CheckResult, broken: &CheckResult) {
        let tell = |with: &str, result: &CheckResult| {
            format!("seed {seed}, {with}: {:?}: {}", result.verdict, result.what)
        };
        match sound.verdict {
            Verdict::Pass => {
                self.sound += 1;
                self.passed_with.get_or_insert_with(|| sound.what.clone());
            }
            _ => self.wrong.push(tell("as it is", sound)),
        }
        match broken.verdict {
            Verdict::Fail => {
                self.caught += 1;
                self.caught_by.get_or_insert_with(|| broken.what.clone());
            }
            _ => self.wrong.push(tell(&format!("with {}", check.bug), broken)),
        }
    }

    /// True when neither server could be put to the test, however often.
    pub fn not_done(&self) -> bool {
        self.sound + self.caught == 0 && self.wrong.iter().all(|wrong| wrong.contains(": NotDone: "))
    }

    /// A sound server never fails; a bug is caught with every seed, or where there are many with 99 in 100.
    pub fn hold(&self) -> bool {
        self.sound == self.asked && self.caught * 100 >= self.asked * 99
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { asked, sound, caught, passed_with, caught_by, wrong } = self;
        writeln!(f, "{sound} of {asked} sound servers passed, {caught} of {asked} bugs were caught")?;
        if let Some(what) = passed_with {
            writeln!(f, "  passed with: {what}")?;
        }
        if let Some(what) = caught_by {
            writeln!(f, "  caught by: {what}")?;
        }
        wrong.iter().take(5).try_for_each(|wrong| writeln!(f, "  wrong: {wrong}"))
    }
}
