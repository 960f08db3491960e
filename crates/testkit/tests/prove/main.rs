//! Every check of the list, one test each: it passes on the sound server and fails on the one with its bug. With
//! `WIREPROOF_SEEDS=100` each does so with a hundred seeds, and tells with `--no-capture` how often and by what.

use std::{collections::BTreeSet, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use wireproof_server::sabotage::Bug;
use wireproof_testkit::check::{CHECKS, Check, embedded::ON_THE_WAY, prove::row};

/// What the kit's own server cannot be asked yet: these are not done, and once they can be this list is wrong.
const NOT_YET: &[(&str, &str)] = &[("race.one_approval", "its agent asks for no approval")];

fn main() -> ExitCode {
    let each = CHECKS.iter().map(|check| Trial::test(check.id, || holds(check)));
    let trials = each.chain([Trial::test("every_bug_has_a_check", every_bug_has_a_check)]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A check whose bug nobody can switch on is not shown to fail, and a bug that no check has proves nothing.
fn every_bug_has_a_check() -> Result<(), Failed> {
    let switched = Bug::ALL.iter().map(|bug| bug.name());
    let there: BTreeSet<&str> = switched.chain(ON_THE_WAY.iter().copied()).collect();
    let named: BTreeSet<&str> = CHECKS.iter().map(|check| check.bug).collect();
    if there == named {
        return Ok(());
    }
    let (unknown, unused): (Vec<_>, Vec<_>) =
        (named.difference(&there).collect(), there.difference(&named).collect());
    Err(format!("no such bugs: {unknown:?}; bugs without a check: {unused:?}").into())
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
