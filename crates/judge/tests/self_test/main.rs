//! Every check of the list, one test each: it passes on the sound server and fails on the one with its fault. With
//! `WIREPROOF_SEEDS=100` each does so with a hundred seeds, and tells with `--no-capture` how often and by what.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use wireproof_judge::check::{CHECKS, Check, FAULTS, Source, self_test::row};
use wireproof_server::failpoints::Failpoint;

/// What the kit's own server cannot be asked yet: these are not done, and once they can be this list is wrong.
const NOT_YET: &[(&str, &str)] = &[("race.one_approval", "its agent asks for no approval")];

fn main() -> ExitCode {
    let each = CHECKS.iter().map(|check| Trial::test(&*check.id, || holds(check)));
    let trials = each
        .chain([Trial::test("the_failpoints_are_few_and_used", the_failpoints_are_few_and_used)])
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Each failpoint of the server shows that some check can fail, and there are few of them.
fn the_failpoints_are_few_and_used() -> Result<(), Failed> {
    let is_used = |point: &Failpoint| {
        FAULTS.iter().any(|fault| matches!(fault.source, Source::Failpoint(used) if used == *point))
    };
    let unused: Vec<_> = Failpoint::ALL.iter().filter(|point| !is_used(point)).collect();
    match unused.is_empty() && Failpoint::ALL.len() <= 20 {
        true => Ok(()),
        false => Err(format!("{} failpoints, without a fault: {unused:?}", Failpoint::ALL.len()).into()),
    }
}

/// The number of seeds: `WIREPROOF_SEEDS`, or one.
fn asked() -> u64 {
    std::env::var("WIREPROOF_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

#[allow(clippy::print_stdout, reason = "the figures are what it is run for")]
fn holds(check: &'static Check) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let row = runtime.block_on(row(check, 1..1 + asked(), false))?;
    println!("{row}\n    caught by: {}", row.caught_by.as_deref().unwrap_or("nothing"));
    let expected = NOT_YET.iter().find(|(id, _)| *id == check.id);
    match (&row.not_done, expected) {
        (Some(_), Some(_)) => Ok(()),
        (None, Some((_, why))) => Err(format!("it was thought that it cannot be done ({why}): {row}").into()),
        (Some(why), None) => Err(format!("not done: {why}").into()),
        (None, None) if row.holds() => Ok(()),
        (None, None) => Err(row.to_string().into()),
    }
}
