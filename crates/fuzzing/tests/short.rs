//! A few seconds of each fuzz target: what is in its corpus, and changes of that by a seeded hand.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use wireproof_fuzzing::TARGETS;

/// Changed inputs of each target: no less than the first, no more than the second, and in between until the time is over.
const CHANGED: [usize; 2] = [100, 20_000];
const TIME: Duration = Duration::from_millis(1500);

/// Pieces that random bytes would not find.
const WORDS: [&str; 24] = [
    "{\"type\":\"",
    "\"payload\":{",
    "\"id\":\"",
    "null",
    "\"after\":",
    "\"epoch\":\"EPOCH\"",
    "EPOCH",
    "&after=",
    "epoch=",
    "18446744073709551615",
    "1e400",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\"sub\":\"",
    "\"exp\":9999999999",
    "\"alg\":\"none\"",
    "\"aud\":[",
    "\n",
    "[[[[",
    "\"title\":",
    "\"metadata\":{",
    "-0",
    "\u{85}",
];

/// Panics of every thread: one in a task of the server would otherwise go unheard.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut inputs: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    if name == "client_frame" {
        let rows: serde_json::Value =
            serde_json::from_str(include_str!("../../protocol/tests/malformed_frames.json")).unwrap();
        inputs.extend(rows.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap().into()));
    }
    assert!(inputs.len() >= 10, "{} holds {} inputs", folder.display(), inputs.len());
    inputs
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut StdRng) {
    let place = random.random_range(0..=input.len());
    match random.random_range(0..6) {
        0 if place < input.len() => input[place] ^= 1 << random.random_range(0..8),
        1 if place < input.len() => {
            drop(input.drain(place..(place + random.random_range(1..9)).min(input.len())))
        }
        2 => input.insert(place, random.random()),
        3 => {
            let word = WORDS[random.random_range(0..WORDS.len())];
            input.splice(place..place, word.bytes());
        }
        4 if !other.is_empty() => {
            let from = random.random_range(0..other.len());
            input.truncate(place);
            input.extend(&other[from..]);
        }
        _ => {
            let piece = input[place..(place + 16).min(input.len())].to_vec();
            input.extend(piece);
        }
    }
    input.truncate(64 << 10);
}

/// Runs a target for a while; says what it found and with which input.
fn run(name: &str) {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    let (_, target) = TARGETS.into_iter().find(|(found, _)| *found == name).unwrap();
    let (inputs, mut random, begun) = (corpus(name), StdRng::seed_from_u64(7), Instant::now());
    let mut found = None;
    let mut attempt = |input: &[u8]| {
        let outcome = std::panic::catch_unwind(|| target(input));
        let panics = panics();
        if outcome.is_err() || !panics.is_empty() {
            found = Some(format!("{name} found {}\nwith {}", panics.join("\n"), input.escape_ascii()));
        }
        found.is_some()
    };
    let mut stopped = inputs.iter().any(|input| attempt(input));
    let mut tried = 0;
    while !stopped && tried < CHANGED[1] && (tried < CHANGED[0] || begun.elapsed() < TIME) {
        let mut input = inputs[random.random_range(0..inputs.len())].clone();
        for _ in 0..random.random_range(1..5) {
            let other = &inputs[random.random_range(0..inputs.len())];
            change(&mut input, other, &mut random);
        }
        stopped = attempt(&input);
        tried += 1;
    }
    drop(std::panic::take_hook());
    assert!(found.is_none(), "{}", found.unwrap_or_default());
}

#[test]
fn client_frame() {
    run("client_frame");
}

#[test]
fn token() {
    run("token");
}

#[test]
fn resume_query() {
    run("resume_query");
}

#[test]
fn http_body() {
    run("http_body");
}

#[test]
fn websocket_bytes() {
    run("websocket_bytes");
}
