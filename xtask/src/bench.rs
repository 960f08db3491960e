//! `cargo xtask bench`: builds for release, runs the benchmarks pinned and interleaved, writes a table.
//!
//! A benchmark is `wireproof-bench NAME --json`. It is started on the generator's core and starts the server that it
//! measures itself: the program in `WIREPROOF_SERVER`, under `taskset -c $WIREPROOF_SERVER_CORE`. On stdout it prints
//! one JSON object a line, `{"name": "…", "metrics": {"…": number}}`; units belong in the metrics' names. Where servers are
//! compared, it is told which one with `--server NAME`.

pub(crate) mod comparison;
mod noise;
mod report;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use self::comparison::Contestant;
use self::report::{Report, Sample};
use crate::process;
use crate::setup::{self, Need};
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

/// What is to be measured, and beside whom. With nobody beside wireproof, its own benchmarks are run.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) only: Vec<String>,
    pub(crate) runs: usize,
    pub(crate) peers: bool,
    pub(crate) against: Option<PathBuf>,
}

impl Request {
    fn compares(&self) -> bool {
        self.peers || self.against.is_some()
    }

    /// What `only` may name.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        if self.compares() { comparison::names() } else { names() }
    }
}

/// One benchmark of one server.
struct Task {
    name: &'static str,
    contestant: Option<Contestant>,
}

/// Runs what was chosen so many times, all once before any twice. What failed is named at the end.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    ensure!(cores >= 2, "the server and the generator need a core each; here is {cores}");
    ensure!(
        process::succeeds(Command::new("taskset").args(["-c", "0,1", "true"])),
        "taskset cannot pin to cores 0 and 1; it is in Debian's package util-linux"
    );
    let against = request.against.as_deref().map(fs::canonicalize).transpose();
    let against = against.context("--against takes the path of another wireproof program")?;
    if request.peers {
        setup::install(workspace, &[Need::Python, Need::Node])?;
    }
    build(workspace)?;

    let mut contestants = Vec::new();
    if request.compares() {
        contestants = comparison::contestants(&program(workspace), request.peers, against.as_deref());
    }
    let tasks = tasks(request, &contestants);
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder)?;
    let method = format!(
        "{} runs of each, interleaved; the server on core {SERVER_CORE}, the generator on core {GENERATOR_CORE}",
        request.runs
    );
    let mut report = Report::new(noise::describe(workspace), method);
    let failed = measure(workspace, &folder, &tasks, request.runs, &mut report)?;
    report.write(&folder)?;
    let (mut text, mut name) = (report.markdown(), "report.md");
    if request.compares() {
        (text, name) = (comparison::markdown(&contestants, &report), "comparison.md");
        fs::write(folder.join(name), &text)?;
    }
    println!("\n{text}\nwritten to {0}/{name}, every sample to {0}/samples.jsonl", folder.display());
    let again = failed.iter().copied().collect::<Vec<_>>().join(",");
    ensure!(failed.is_empty(), "failed; to repeat only these: the same with --only {again}");
    Ok(())
}

/// The chosen benchmarks, each for every contestant, one after the other.
fn tasks(request: &Request, contestants: &[Contestant]) -> Vec<Task> {
    let is_chosen = |name: &&str| request.only.is_empty() || request.only.iter().any(|only| only == name);
    let each = |name: &'static str| -> Vec<Task> {
        match contestants {
            [] => vec![Task { name, contestant: None }],
            all => all.iter().map(|one| Task { name, contestant: Some(one.clone()) }).collect(),
        }
    };
    request.names().into_iter().filter(is_chosen).flat_map(each).collect()
}

/// All rounds, with the machine's own speed around each. Returns the benchmarks that failed.
fn measure(
    workspace: &Workspace,
    folder: &Path,
    tasks: &[Task],
    runs: usize,
    report: &mut Report,
) -> Result<BTreeSet<&'static str>> {
    let mut failed = BTreeSet::new();
    for round in 1..=runs {
        report.push(round, None, noise::sample(folder)?);
        for task in in_turn(tasks, round) {
            let server = task.contestant.as_ref().map(|contestant| contestant.name);
            println!("== round {round} of {runs}: {} {}", task.name, server.unwrap_or_default());
            match run_one(workspace, task) {
                Ok(samples) => samples.into_iter().for_each(|sample| report.push(round, server, sample)),
                Err(error) => {
                    eprintln!("{}: {error:#}", task.name);
                    failed.insert(task.name);
                }
            }
        }
    }
    report.push(runs, None, noise::sample(folder)?);
    Ok(failed)
}

/// The tasks of a round: of each benchmark another contestant comes first than in the round before.
fn in_turn(tasks: &[Task], round: usize) -> impl Iterator<Item = &Task> {
    let turned = move |same: &'_ [Task]| round % same.len();
    tasks.chunk_by(|one, other| one.name == other.name).flat_map(move |same| {
        let (last, first) = same.split_at(turned(same));
        first.iter().chain(last)
    })
}

fn build(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "-p", "wireproof", "-p", "wireproof-bench", "--bins"]);
    process::run(&mut command)
}

/// The program that was built.
fn program(workspace: &Workspace) -> PathBuf {
    workspace.target.join("release/wireproof")
}

fn run_one(workspace: &Workspace, task: &Task) -> Result<Vec<Sample>> {
    let mut command = Command::new("taskset");
    command.args(["-c", GENERATOR_CORE]).arg(program(workspace).with_file_name("wireproof-bench"));
    command.args([task.name, "--json"]);
    command.env("WIREPROOF_SERVER", program(workspace)).env("WIREPROOF_SERVER_CORE", SERVER_CORE);
    command.envs(workspace.tools());
    if let Some(contestant) = &task.contestant {
        command.args(["--server", contestant.server]).env("WIREPROOF_SERVER", &contestant.program);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contestant_is_first_in_its_round_and_benchmarks_keep_their_order() {
        let request = Request { only: vec![], runs: 1, peers: false, against: Some("b".into()) };
        let tasks = tasks(&request, &comparison::contestants(Path::new("w"), false, Some(Path::new("b"))));
        let of_round = |round| -> Vec<(&str, &str)> {
            let name = |task: &Task| task.contestant.as_ref().map_or("", |contestant| contestant.name);
            in_turn(&tasks, round).map(|task| (task.name, name(task))).collect()
        };
        let (first, second) = (of_round(1), of_round(2));
        assert_eq!(first[..2], [("closed-loop", "base"), ("closed-loop", "wireproof")]);
        assert_eq!(second[..2], [("closed-loop", "wireproof"), ("closed-loop", "base")]);
        assert_eq!(first.len(), 2 * comparison::names().len());
        assert_eq!(first[2].0, comparison::names()[1]);
    }

    #[test]
    fn alone_its_own_benchmarks_are_run_in_their_order() {
        let request = Request { only: vec!["resume".into()], runs: 1, peers: false, against: None };
        let tasks = tasks(&request, &[]);
        assert!(tasks.iter().map(|task| task.name).eq(["resume"]) && tasks[0].contestant.is_none());
    }
}
