//! Scratch: runs the judge until the command exists.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use wireproof_testkit::{check::{Credentials, Judge, Target}, profile::Profile, report::Verdict};
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let profile = Profile::find(&args[2]).unwrap();
    let credentials = match args.get(3).filter(|s| !s.is_empty() && *s != "-") { Some(s) => Credentials::Secret(s.clone().into_bytes()), None => Credentials::None };
    let target = Target::new(&args[1], profile, credentials).unwrap();
    let mut judge = Judge::new(1);
    judge.only = args[4.min(args.len())..].to_vec();
    judge.users = 10;
    if let Err(e) = judge.reach(&target).await { println!("NOT REACHED {e:?}"); return; }
    let report = judge.run(&target, |_| {}).await;
    for r in &report.checks { println!("{:9} {:40} {:6.0}ms {}", match r.verdict { Verdict::Pass => "pass", Verdict::Fail => "FAIL", Verdict::NotDone => "not done", Verdict::Gone => "GONE" }, r.id, r.ms, r.what); }
}
