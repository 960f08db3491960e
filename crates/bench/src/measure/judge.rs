//! How fast the judge of the proof is, on one core: a history of a million events in memory, and from its file.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Result, ensure};
use wireproof_judge::{
    proof::{
        judge as judge_history,
        synthetic::{Shape, honest},
    },
    record::{read_file, write_file},
};

use super::Rows;

/// 50 users with two connections and 1,050 runs each: somewhat over a million events come.
const SHAPE: Shape = Shape { users: 50, devices: 2, runs: 1050, cut_one_in: 2000 };
const ROUNDS: usize = 5;

/// Events a second, the best of some rounds: the judge does no I/O, so what is slower is the machine's doing.
pub fn judge() -> Result<Rows> {
    let (header, ops) = honest(1, SHAPE)?;
    let (mut best, mut events) = (f64::MAX, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let judgement = judge_history(&header, &ops);
        best = best.min(began.elapsed().as_secs_f64());
        ensure!(
            judgement.is_clean() && judgement.counts.markers_seen > 0,
            "an honest history was not found clean"
        );
        events = judgement.counts.events;
    }
    ensure!(events >= 1_000_000, "only {events} events");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.jsonl");
    write_file(&path, &header, &ops)?;
    let bytes = std::fs::metadata(&path)?.len();
    drop(ops);
    let began = Instant::now();
    let history = read_file(&path)?;
    let read = began.elapsed().as_secs_f64();
    let judgement = judge_history(&history.header, &history.ops);
    let whole = began.elapsed().as_secs_f64();
    ensure!(judgement.is_clean() && judgement.counts.events == events, "the file says something else");
    let metrics = BTreeMap::from([
        ("events", events as f64),
        ("events_per_second", events as f64 / best),
        ("file_mb", bytes as f64 / 1e6),
        ("file_events_per_second", events as f64 / whole),
        ("read_seconds", read),
    ]);
    Ok(vec![("judge", metrics)])
}
