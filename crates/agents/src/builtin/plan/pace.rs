//! Asks that take their time on purpose: a timer ("wait 3 seconds"), and counting aloud ("count from 1 to 50").

use serde_json::Value;

use super::{
    Ask, Step,
    clauses::Clause,
    numerals::{milliseconds, unit, whole},
};

/// The step for an ask to wait.
pub(super) fn timer(clause: &Clause) -> Vec<Step> {
    let words = clause.words();
    let waits = |word: &&str| matches!(*word, "wait" | "sleep" | "pause" | "timer" | "countdown");
    let Some(at) = words.iter().position(waits) else { return Vec::new() };
    // "a 3 second timer" and "wait for 3 seconds": near the word on either side.
    let near = &words[at.saturating_sub(5)..words.len().min(at + 8)];
    let Some(wait) = milliseconds(near) else { return Vec::new() };
    vec![Step::new("timer", Ask::Timer, [("seconds", (wait / 1_000.0).into())])]
}

/// The step for an ask to count.
pub(super) fn count(clause: &Clause) -> Vec<Step> {
    let words = clause.words();
    let Some(at) = words.iter().position(|word| *word == "count") else { return Vec::new() };
    let Some((from, to)) = range(&words[at + 1..]) else { return Vec::new() };
    let mut step = Step::new("count", Ask::Count, [("from", from.into()), ("to", to.into())]);
    if let Some(interval) = interval(&words) {
        step.parameters.insert("interval_ms".to_owned(), interval);
    }
    vec![step]
}

/// "from 1 to 50", "to 20", "up to 9", "down from 10", "backwards from 5 to 2".
fn range(words: &[&str]) -> Option<(i64, i64)> {
    let words: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "up" | "me" | "slowly")).collect();
    match words.as_slice() {
        ["from", from, "to" | "until" | "through" | "down" | "till", to, ..] if *to != "to" => {
            Some((whole(from)?, whole(to)?))
        }
        ["from", from, "down", "to", to, ..] => Some((whole(from)?, whole(to)?)),
        ["to" | "until" | "till", to, ..] => Some((1, whole(to)?)),
        ["down" | "backwards", "from", from, "to", to, ..] => Some((whole(from)?, whole(to)?)),
        ["down" | "backwards", "from", from, ..] => Some((whole(from)?, 0)),
        [from, "to", to, ..] => Some((whole(from)?, whole(to)?)),
        _ => None,
    }
}

/// "slowly", "fast", "every 100 ms", "every second", "without a pause"; absent, the tool's own pace.
fn interval(words: &[&str]) -> Option<Value> {
    let every = words.iter().position(|word| matches!(*word, "every" | "each"));
    let stated = every.and_then(|at| {
        let rest = &words[at + 1..];
        milliseconds(&rest[..rest.len().min(2)]).or_else(|| unit(rest.first()?))
    });
    if let Some(stated) = stated {
        // Out of range is for the tool to refuse; a cast to u64 saturates.
        return Some((stated.round() as u64).into());
    }
    words.iter().find_map(|word| match *word {
        "slowly" | "slow" => Some(250.into()),
        "fast" | "quickly" => Some(10.into()),
        "immediately" | "instantly" | "without" => Some(0.into()),
        _ => None,
    })
}
