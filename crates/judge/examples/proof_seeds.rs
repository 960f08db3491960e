//! The proof over many seeds against the kit's own server, sound or with a fault: how often it alarms.
//! `proof_seeds FROM TO [--users N] [--fault NAME] [--check ID] [--record FILE]`: a line for each seed that alarms,
//! and a sum; the last history goes into the file.
#![allow(clippy::print_stdout)] // printing what was found is the job

use std::time::Instant;

use wireproof_judge::{
    check::{CHECKS, Embedded, InjectedFault, Judge, Progress},
    record::{Action, Header, write_file},
    report::Verdict,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let seeds: Vec<u64> = arguments.iter().map_while(|argument| argument.parse().ok()).collect();
    let [from, to] = seeds[..] else {
        return Err("two numbers are wanted: the first seed and the one behind the last".into());
    };
    let (users, fault) = (option("--users").unwrap_or("8").parse()?, option("--fault"));
    let id = option("--check").unwrap_or("delivery.proof");
    if !CHECKS.iter().any(|check| check.id == id) {
        return Err(format!("there is no check {id:?}").into());
    }
    let (began, mut alarms, mut frames) = (Instant::now(), 0u64, 0);
    for seed in from..to {
        let mut server = match fault {
            Some(name) => {
                let fault = InjectedFault::find(name).ok_or_else(|| format!("there is no fault {name:?}"))?;
                Embedded::start_with_fault(fault, seed).await?
            }
            None => Embedded::start().await?,
        };
        let judge = Judge { only: vec![id.to_owned()], users, ..Judge::new(seed) };
        let result = judge.run(&server.target, |_: Progress<'_>| {}).await.checks.remove(0);
        frames += result.history.iter().filter(|op| op.f == Action::Recv).count();
        if let Some(path) = option("--record") {
            let header = Header::of(server.target.url(), server.target.profile(), seed);
            write_file(path.as_ref(), &header, &result.history)?;
        }
        if result.verdict != Verdict::Pass {
            alarms += 1;
            println!("seed {seed:#x}: {:?} after {:.0} ms: {}", result.verdict, result.ms, result.what);
        }
        server.server.shutdown().await;
        if (seed + 1 - from).is_multiple_of(10) {
            println!("… {} seeds, {alarms} alarms, {:.0?}", seed + 1 - from, began.elapsed());
        }
    }
    let took = began.elapsed();
    println!(
        "{id}: {} seeds, {users} users, fault {fault:?}: {alarms} alarms, {frames} frames, {took:.0?}",
        to - from
    );
    Ok(())
}
