//! Every check of the list, one test each: it passes on the sound server and fails on the one with its bug.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use wireproof_testkit::check::{CHECKS, Check, prove::prove};

fn main() -> ExitCode {
    let trials = CHECKS.iter().map(|check| Trial::test(check.id, || holds(check))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn holds(check: &'static Check) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let proof = runtime.block_on(prove(check, 1))?;
    if proof.holds() {
        return Ok(());
    }
    let tell = |what: &str, result: &wireproof_testkit::report::CheckResult| {
        format!("{what}: {:?}: {}\n", result.verdict, result.what)
    };
    let bug = format!("with {}", check.bug);
    Err((tell("as it is", &proof.sound) + &tell(&bug, &proof.broken)).into())
}
