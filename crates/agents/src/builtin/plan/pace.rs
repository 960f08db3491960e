//! Asks that take their time on purpose: a timer ("wait 3 seconds"), and counting aloud ("count from 1 to 50").

use serde_json::Value;

use super::{Ask, PlanStep, clauses::Clause};

/// The step for an ask to wait.
pub(super) fn timer(clause: &Clause) -> Vec<PlanStep> {
    let words = clause.words();
    let waits = |word: &&str| matches!(*word, "wait" | "sleep" | "pause");
    let Some(at) = words.iter().position(waits) else { return Vec::new() };
    let Some(wait) = milliseconds(&words[at + 1..words.len().min(at + 5)]) else { return Vec::new() };
    vec![PlanStep::new("timer", Ask::Timer, [("seconds", (wait / 1_000.0).into())])]
}

/// The step for an ask to count.
pub(super) fn count(clause: &Clause) -> Vec<PlanStep> {
    let words = clause.words();
    let Some(at) = words.iter().position(|word| *word == "count") else { return Vec::new() };
    let Some((from, to)) = range(&words[at + 1..]) else { return Vec::new() };
    let mut step = PlanStep::new("count", Ask::Count, [("from", from.into()), ("to", to.into())]);
    if let Some(interval) = interval(&words) {
        step.parameters.insert("interval_ms".to_owned(), interval);
    }
    vec![step]
}

/// "from 1 to 50", "to 20", "down from 10 to 1".
fn range(words: &[&str]) -> Option<(i64, i64)> {
    let words = match words {
        ["up" | "down", rest @ ..] => rest,
        words => words,
    };
    match words {
        ["from", from, "to", to, ..] => Some((whole(from)?, whole(to)?)),
        ["to", to, ..] => Some((1, whole(to)?)),
        _ => None,
    }
}

/// "slowly", "fast", "every 100 ms", "every second", "without a pause"; absent, the tool's own pace.
fn interval(words: &[&str]) -> Option<Value> {
    let every = words.iter().position(|word| *word == "every");
    let stated = every.and_then(|at| {
        let rest = &words[at + 1..];
        milliseconds(&rest[..rest.len().min(2)]).or_else(|| unit(rest.first()?))
    });
    if let Some(stated) = stated {
        // Out of range is for the tool to refuse; a cast to u64 saturates.
        return Some((stated.round() as u64).into());
    }
    words.iter().find_map(|word| match *word {
        "slowly" => Some(250.into()),
        "fast" => Some(10.into()),
        "without" => Some(0.into()),
        _ => None,
    })
}

fn whole(word: &str) -> Option<i64> {
    word.parse().ok()
}

/// The first duration among the words, in milliseconds: "3 seconds", "2s".
fn milliseconds(words: &[&str]) -> Option<f64> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    let glued = |word: &&str| {
        let at = word.find(|c: char| c.is_alphabetic())?;
        Some(number(&word[..at])? * unit(&word[at..])?)
    };
    words
        .windows(2)
        .find_map(|pair| Some(number(pair[0])? * unit(pair[1])?))
        .or_else(|| words.iter().find_map(glued))
}

/// How many milliseconds the unit has.
fn unit(word: &str) -> Option<f64> {
    match word {
        "ms" | "millisecond" | "milliseconds" => Some(1.0),
        "s" | "second" | "seconds" => Some(1_000.0),
        "min" | "minute" | "minutes" => Some(60_000.0),
        "hour" | "hours" => Some(3_600_000.0),
        _ => None,
    }
}
