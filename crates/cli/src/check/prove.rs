//! `wireproof check --prove`: every check against a server with its bug. The shipped program has no bugs to switch on,
//! and says how to build one that has.

use wireproof_judge::check::Judge;

#[cfg(not(feature = "sabotage"))]
pub(super) async fn run(_: Judge, _: u64, _: bool) -> anyhow::Result<()> {
    let why = "this program has no bugs to switch on. In the source tree: \
               cargo run --release --features sabotage -- check --prove";
    Err(crate::exit::Stop::Usage(why.to_owned()).into())
}

/// Runs each chosen check against the sound server and the one with its bug, and prints the matrix.
#[cfg(feature = "sabotage")]
pub(super) async fn run(judge: Judge, seeds: u64, others: bool) -> anyhow::Result<()> {
    use std::{io::Write, time::Instant};

    use futures_util::{StreamExt, stream};
    use wireproof_judge::check::prove::row;

    use crate::{
        exit::Stop,
        output::styled,
        transcript::{BAD, DIM, GOOD},
    };

    let began = Instant::now();
    let seeds = judge.seed..judge.seed + seeds.max(1);
    let mut out = styled().even_unread();
    let (beside, alone): (Vec<_>, Vec<_>) =
        judge.chosen().into_iter().partition(|check| !check.pace.is_alone());
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
        "\n{held} checks caught their bug and passed without it, {missed} did not, {left} not done; seeds {:#x} to {:#x}, {took:.0} s",
        seeds.start,
        seeds.end - 1
    )?;
    out.flush()?;
    if missed == 0 { Ok(()) } else { Err(Stop::Failed.into()) }
}
