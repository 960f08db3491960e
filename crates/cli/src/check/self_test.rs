//! `wireproof check --self-test`: every check against the sound server and the one with its fault.

use std::{io::Write, time::Instant};

use futures_util::{StreamExt, stream};
use wireproof_judge::check::{Judge, self_test::row};

use crate::{
    exit::Stop,
    output::styled,
    transcript::{BAD, DIM, GOOD},
};

/// Runs each chosen check against the sound server and the one with its fault, and prints the matrix.
pub(super) async fn run(judge: Judge, seeds: u64, others: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let seeds = judge.seed..judge.seed + seeds.max(1);
    let mut out = styled().even_unread();
    let (beside, alone): (Vec<_>, Vec<_>) =
        judge.chosen().into_iter().partition(|check| !check.schedule.is_alone());
    let row = |check| row(check, seeds.clone(), others);
    let beside = stream::iter(beside).map(row).buffered(if others { 1 } else { 4 });
    let mut rows = std::pin::pin!(beside.chain(stream::iter(alone).then(row)));
    let (mut held, mut missed, mut left) = (0, 0, 0);
    while let Some(row) = rows.next().await {
        let row = row?;
        let (count, style) = match (&row.not_done, row.holds()) {
            (Some(_), _) => (&mut left, DIM),
            (None, true) => (&mut held, GOOD),
            (None, false) => (&mut missed, BAD),
        };
        *count += 1;
        writeln!(out, "{style}{row}{style:#}")?;
        out.flush()?;
    }
    let took = began.elapsed().as_secs_f64();
    writeln!(
        out,
        "\n{held} checks caught their fault and passed without it, {missed} did not, {left} not done; seeds {:#x} to {:#x}, {took:.0} s",
        seeds.start,
        seeds.end - 1
    )?;
    out.flush()?;
    if missed == 0 { Ok(()) } else { Err(Stop::Failed.into()) }
}
