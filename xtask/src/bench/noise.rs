//! What the machine itself does meanwhile: fixed work and a fixed write, timed before each round and after the last.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Sample, answer, load_average};
use crate::workspace::Workspace;

const WRITES: usize = 50;

/// The machine, the compiler and the commit, for the head of the report.
pub(crate) fn describe(workspace: &Workspace) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, m)| m)
        .collect();
    let model = models.first().unwrap_or(&"unknown processor");
    let kernel = answer(Command::new("uname").arg("-sr"));
    let rustc = answer(Command::new("rustc").arg("--version"));
    let commit =
        answer(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(&workspace.root));
    format!("{} cores, {model}; {kernel}; {rustc}; commit {commit}", models.len())
}

/// The name of the samples of the machine's own speed.
pub(crate) const NAME: &str = "machine";

/// One sample of the machine's own speed.
pub(crate) fn sample(folder: &Path) -> Result<Sample> {
    let metrics = vec![
        ("load average, 1 min".to_owned(), load_average()?),
        ("fixed loop ms".to_owned(), fixed_loop().as_secs_f64() * 1e3),
        ("fsync of 4 KiB ms".to_owned(), middle_fsync(folder)?.as_secs_f64() * 1e3),
    ];
    Ok(Sample { name: NAME.to_owned(), metrics })
}

fn fixed_loop() -> Duration {
    let begun = Instant::now();
    let mut state = black_box(1_u64);
    for _ in 0..20_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    begun.elapsed()
}

fn middle_fsync(folder: &Path) -> Result<Duration> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[WRITES / 2])
}
