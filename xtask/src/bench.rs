//! `cargo xtask bench`: builds for release, runs the benchmarks pinned and interleaved, writes a table.
//!
//! A benchmark is `wireproof-bench NAME --json`. It is started on the generator's core and starts the server that it
//! measures itself: the program in `WIREPROOF_SERVER`, under `taskset -c $WIREPROOF_SERVER_CORE`. On stdout it prints
//! one JSON object a line, `{"name": "…", "metrics": {"…": number}}`; units belong in the metrics' names.

mod noise;
mod report;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use self::report::{Report, Sample};
use crate::process;
use crate::workspace::Workspace;

const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";

/// The benchmarks and what each measures.
const BENCHES: [(&str, &str); 16] = [
    ("server-start", "TestServer from call to accepting; 200 in one process"),
    ("first-run", "start, connect with a token, the five events of a run, all stored"),
    ("agent-started", "request to agent_started with 1,000 connections busy; five events when idle"),
    ("idle-connections", "memory of 15,000 idle connections, and after a 16 KiB message on each"),
    ("closed-loop-runs", "five-event runs a second on one core, and the CPU of one"),
    ("durable-events", "events a second stored and delivered; publish to deliver"),
    ("deliveries", "deliveries a second a core: one user's events to many, many users' to theirs"),
    ("limits", "what the limits cost a frame: the check alone, and pings with limits on and off"),
    (
        "stall",
        "a user's runs under load, without and with 1,000 clients that never read, and what those cost",
    ),
    (
        "bad-user",
        "others' runs, memory and disk beside one account that does its worst, against a harmless one",
    ),
    ("storm", "10,000 clients that come back at once after a kill, and a user's runs meanwhile"),
    (
        "deletion",
        "what others' writes wait while a thread of a gigabyte is deleted, and how small the file gets",
    ),
    ("handshakes", "authenticated handshakes a second a core: HS256 and ES256, new tokens and known ones"),
    ("fault-proxy", "what the idle fault proxy adds to a round trip, and messages a second through it"),
    ("judge", "events a second that the judge of the proof takes, from memory and from a file of a million"),
    ("resume", "10,000 missed events from the handshake"),
];

pub(crate) fn names() -> Vec<&'static str> {
    BENCHES.iter().map(|(name, _)| *name).collect()
}

/// The names and what they measure, a line each.
pub(crate) fn list() -> String {
    BENCHES.iter().map(|(name, about)| format!("  {name:<18} {about}\n")).collect()
}

/// Runs the chosen benchmarks `runs` times, all once before any twice. A failed one is named at the end.
pub(crate) fn run(workspace: &Workspace, only: &[String], runs: usize) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    ensure!(cores >= 2, "the server and the generator need a core each; here is {cores}");
    ensure!(
        process::succeeds(Command::new("taskset").args(["-c", "0,1", "true"])),
        "taskset cannot pin to cores 0 and 1; it is in Debian's package util-linux"
    );
    build(workspace)?;

    let chosen: Vec<&str> =
        names().into_iter().filter(|name| only.is_empty() || only.iter().any(|o| o == name)).collect();
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder)?;
    let method = format!(
        "{runs} runs of each, interleaved; the server on core {SERVER_CORE}, the generator on core {GENERATOR_CORE}"
    );
    let mut report = Report::new(noise::describe(workspace), method);
    let failed = measure(workspace, &folder, &chosen, runs, &mut report)?;
    println!("\n{}", report.markdown());
    report.write(&folder)?;
    println!("written to {0}/report.md, every sample to {0}/samples.jsonl", folder.display());
    let again = failed.iter().copied().collect::<Vec<_>>().join(",");
    ensure!(failed.is_empty(), "failed; to repeat only these: cargo xtask bench --only {again}");
    Ok(())
}

/// All rounds, with the machine's own speed around each. Returns the benchmarks that failed.
fn measure<'a>(
    workspace: &Workspace,
    folder: &Path,
    chosen: &[&'a str],
    runs: usize,
    report: &mut Report,
) -> Result<BTreeSet<&'a str>> {
    let mut failed = BTreeSet::new();
    for round in 1..=runs {
        report.push(noise::sample(folder)?);
        for name in chosen {
            println!("== round {round} of {runs}: {name}");
            match run_one(workspace, name) {
                Ok(samples) => samples.into_iter().for_each(|sample| report.push(sample)),
                Err(error) => {
                    eprintln!("{name}: {error:#}");
                    failed.insert(*name);
                }
            }
        }
    }
    report.push(noise::sample(folder)?);
    Ok(failed)
}

fn build(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "-p", "wireproof", "-p", "wireproof-bench"]);
    process::run(command.args(["--bin", "wireproof", "--bin", "wireproof-bench"]))
}

fn run_one(workspace: &Workspace, name: &str) -> Result<Vec<Sample>> {
    let programs = workspace.target.join("release");
    let mut command = Command::new("taskset");
    command.args(["-c", GENERATOR_CORE]).arg(programs.join("wireproof-bench")).args([name, "--json"]);
    command.env("WIREPROOF_SERVER", programs.join("wireproof")).env("WIREPROOF_SERVER_CORE", SERVER_CORE);
    let text = process::read(&mut command)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let samples: Vec<Sample> = lines.map(Sample::parse).collect::<Result<_>>()?;
    ensure!(!samples.is_empty(), "it printed no measurement");
    Ok(samples)
}

/// The text of a command's answer, or `unknown`: for the head of the report.
fn answer(command: &mut Command) -> String {
    process::read(command).map(|text| text.trim().to_owned()).unwrap_or_else(|_| "unknown".to_owned())
}

fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("the load average is not a number")
}
