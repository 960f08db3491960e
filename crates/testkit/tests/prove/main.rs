//! Every check of the list, one test each: it passes on the sound server and fails on the one with its bug. With
//! `WIREPROOF_SEEDS=100` each does so with a hundred seeds, and tells with `--no-capture` how often.

mod seeds;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use wireproof_testkit::check::{CHECKS, Check};

fn main() -> ExitCode {
    let trials = CHECKS.iter().map(|check| Trial::test(check.id, || holds(check))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn holds(check: &'static Check) -> Result<(), Failed> {
    let seeds = seeds::Seeds::of(check, seeds::asked())?;
    print!("{}: {seeds}", check.id);
    if seeds.hold() { Ok(()) } else { Err(seeds.to_string().into()) }
}
