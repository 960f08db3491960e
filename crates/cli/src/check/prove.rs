//! `wireproof check --prove`: every check against a server with its bug. The shipped program has no bugs to switch on,
//! and says how to build one that has.

use wireproof_testkit::check::Judge;

#[cfg(not(feature = "sabotage"))]
pub(super) async fn run(_: Judge, _: u64, _: bool) -> anyhow::Result<()> {
    let why = "this program has no bugs to switch on. In the source tree: \
               cargo run --release --features sabotage -- check --prove";
    Err(crate::exit::Stop::Usage(why.to_owned()).into())
}

#[cfg(feature = "sabotage")]
pub(super) use sabotaged::run;

#[cfg(feature = "sabotage")]
mod sabotaged {
    use std::{collections::BTreeSet, io::Write, time::Instant};

    use wireproof_testkit::{
        check::{CHECKS, Check, Embedded, Judge, prove::only},
        report::Verdict,
    };

    use crate::{
        exit::Stop,
        transcript::{BAD, DIM, GOOD},
    };

    /// Tries of one bug.
    struct Row {
        check: &'static Check,
        caught: u64,
        sound: u64,
        seeds: u64,
        not_done: Option<String>,
        /// Other checks that caught it too.
        also: BTreeSet<String>,
    }

    /// Runs each chosen check against the sound server and the one with its bug, and prints the matrix.
    pub(crate) async fn run(judge: Judge, seeds: u64, matrix: bool) -> anyhow::Result<()> {
        let mut out = anstream::stdout();
        let began = Instant::now();
        let (mut rows, chosen) = (Vec::new(), judge.chosen());
        for check in chosen {
            let row = prove(check, &judge, seeds.max(1), matrix).await?;
            let holds = row.holds();
            let style = if row.not_done.is_some() {
                DIM
            } else if holds {
                GOOD
            } else {
                BAD
            };
            writeln!(out, "{style}{}{style:#}", row.line())?;
            out.flush()?;
            rows.push(row);
        }
        let missed = rows.iter().filter(|row| row.not_done.is_none() && !row.holds()).count();
        let left = rows.iter().filter(|row| row.not_done.is_some()).count();
        writeln!(
            out,
            "\n{} of {} checks caught their bug and passed without it, {missed} did not, {left} not done; {} checks in all, {:.0} s",
            rows.len() - missed - left,
            rows.len(),
            CHECKS.len(),
            began.elapsed().as_secs_f64()
        )?;
        out.flush()?;
        if missed == 0 { Ok(()) } else { Err(Stop::Failed.into()) }
    }

    impl Row {
        /// 99 of 100 bugs are caught, and the sound server never fails.
        fn holds(&self) -> bool {
            self.sound == self.seeds && self.caught * 100 >= self.seeds * 99
        }

        fn line(&self) -> String {
            if let Some(why) = &self.not_done {
                return format!("{:<30} {:<30} not done: {why}", self.check.id, self.check.bug);
            }
            let also: Vec<&str> = self.also.iter().map(String::as_str).collect();
            let also = if also.is_empty() { String::new() } else { format!("  also {}", also.join(" ")) };
            format!(
                "{:<30} {:<30} caught {}/{}  sound {}/{}{also}",
                self.check.id, self.check.bug, self.caught, self.seeds, self.sound, self.seeds
            )
        }
    }

    async fn prove(check: &'static Check, judge: &Judge, seeds: u64, matrix: bool) -> anyhow::Result<Row> {
        let mut row = Row { check, caught: 0, sound: 0, seeds, not_done: None, also: BTreeSet::new() };
        let sound = Embedded::start().await?;
        for seed in judge.seed..judge.seed + seeds {
            let result = only(check, &sound, seed).await;
            match result.verdict {
                Verdict::Pass => row.sound += 1,
                Verdict::NotDone => row.not_done = Some(result.what),
                Verdict::Fail | Verdict::Gone => {}
            }
        }
        sound.server.shutdown().await;
        if row.not_done.is_some() {
            return Ok(row);
        }
        for seed in judge.seed..judge.seed + seeds {
            let broken = Embedded::start_with_bug(check.bug, seed).await?;
            row.caught += u64::from(only(check, &broken, seed).await.verdict == Verdict::Fail);
            if matrix && seed == judge.seed {
                row.also = others(check, &broken, seed).await;
            }
        }
        Ok(row)
    }

    async fn others(check: &Check, broken: &Embedded, seed: u64) -> BTreeSet<String> {
        let judge = Judge { quick: true, ..Judge::new(seed) };
        let report = judge.run(&broken.target, |_| {}).await;
        report
            .of(Verdict::Fail)
            .filter(|result| result.id != check.id)
            .map(|result| result.id.clone())
            .collect()
    }
}
