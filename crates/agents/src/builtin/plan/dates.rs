//! Asks about clocks and the calendar: now, a time elsewhere, a weekday, days between dates, a date moved.
//! The words of dates and places go to the tool as written; whether they exist is for the tool to say.

use serde_json::Value;

use super::{
    Ask, Step,
    clauses::{Clause, bare},
    numerals::whole,
};
use crate::builtin::tools::date_time::{find_date, find_time, is_zone, month_named};

/// The steps for an ask about date or time.
pub(super) fn steps(clause: &Clause) -> Vec<Step> {
    let words = clause.words();
    if words.is_empty() {
        return Vec::new();
    }
    let single =
        between(&words).or_else(|| moved(&words)).or_else(|| weekday(&words)).or_else(|| converted(&words));
    single.map_or_else(|| now(clause, &words), |step| vec![step])
}

fn step<const N: usize>(operation: &str, ask: Ask, parameters: [(&str, Value); N]) -> Step {
    let mut step = Step::new("date_time", ask, parameters);
    step.parameters.insert("operation".to_owned(), operation.into());
    step
}

fn has(words: &[&str], any: &[&str]) -> bool {
    words.iter().any(|word| any.contains(word))
}

fn phrase(words: &[&str], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// "days between A and B", "how long from A to B", "how many days until B", "days since A".
fn between(words: &[&str]) -> Option<Step> {
    if !has(words, &["days", "weeks", "long", "time"])
        || !has(words, &["between", "from", "until", "till", "since", "to"])
    {
        return None;
    }
    let (start, end) = find_date(words)?;
    let first = words[start..end].join(" ");
    let second = find_date(&words[end..]).map(|(start, finish)| words[end + start..end + finish].join(" "));
    let (date, other) = match second {
        Some(second) if has(words, &["between", "from", "until", "till", "to", "since"]) => (first, second),
        None if has(words, &["until", "till", "to"]) => ("today".to_owned(), first),
        None if has(words, &["since"]) => (first, "today".to_owned()),
        _ => return None,
    };
    Some(step("between", Ask::Between, [("date", date.into()), ("other_date", other.into())]))
}

/// "90 days after 2024-01-01", "3 weeks ago", "in 10 days", "add 2 months to 1 May 2024".
fn moved(words: &[&str]) -> Option<Step> {
    let unit_of = |word: &str| match word {
        "day" | "days" => Some("days"),
        "week" | "weeks" => Some("weeks"),
        "month" | "months" => Some("months"),
        "year" | "years" => Some("years"),
        _ => None,
    };
    let amount_of = |word: &str| whole(word).or(if matches!(word, "a" | "an") { Some(1) } else { None });
    let (at, amount, unit) = (words.windows(2).enumerate())
        .find_map(|(at, pair)| unit_of(pair[1]).and_then(|unit| Some((at, amount_of(pair[0])?, unit))))?;
    let back = has(words, &["before", "ago", "earlier", "subtract", "minus"]);
    let forward = has(words, &["after", "later", "hence", "add", "plus"]) || phrase(words, "from now");
    let from = words[at + 2..].first() == Some(&"from");
    let ahead = at > 0
        && words[at - 1] == "in"
        && has(words, &["date", "what", "which"])
        && !phrase(words, "how many");
    if !(back || forward || from || ahead) {
        return None;
    }
    // The date may stand before or behind, but not hold the amount itself.
    let date = find_date(&words[at + 2..])
        .map(|(start, end)| words[at + 2 + start..at + 2 + end].join(" "))
        .or_else(|| find_date(&words[..at]).map(|(start, end)| words[start..end].join(" ")));
    let asked = has(words, &["what", "which", "date", "day", "when", "add", "subtract"]);
    if date.is_none() && !asked {
        return None;
    }
    let amount = if back { amount.saturating_neg() } else { amount };
    let date = date.unwrap_or_else(|| "today".to_owned());
    Some(step(
        "add",
        Ask::AddToDate,
        [("date", date.into()), ("amount", amount.into()), ("unit", unit.into())],
    ))
}

/// "what day of the week was 29 February 2024", "weekday of tomorrow".
fn weekday(words: &[&str]) -> Option<Step> {
    let asked = phrase(words, "what day") || phrase(words, "which day") || has(words, &["weekday"]);
    let asked = asked || phrase(words, "day of the week");
    let (start, end) = find_date(words).filter(|_| asked)?;
    Some(step("weekday", Ask::Weekday, [("date", words[start..end].join(" ").into())]))
}

/// "convert 15:00 Berlin to Tokyo", "what is 3 pm in London in New York".
fn converted(words: &[&str]) -> Option<Step> {
    let (start, end) = find_time(words)?;
    let rest = &words[end..];
    let joint = rest.iter().rposition(|word| matches!(*word, "to" | "in" | "into" | "for"))?;
    let place = |words: &[&str]| {
        let words = words
            .iter()
            .filter(|word| !matches!(**word, "in" | "from" | "time" | "the" | "at" | "and" | "local"));
        words.copied().collect::<Vec<_>>().join(" ")
    };
    let (from, to) = (place(&rest[..joint]), place(&rest[joint + 1..]));
    let known = is_zone(&from) || is_zone(&to);
    let asked = has(&words[..start], &["convert", "what", "what's", "whats", "when", "translate"]);
    if to.is_empty() || !(known || asked) {
        return None;
    }
    let zone = if from.is_empty() { "UTC".to_owned() } else { from };
    let parameters =
        [("time", words[start..end].join(" ").into()), ("zone", zone.into()), ("to_zone", to.into())];
    Some(step("convert", Ask::ConvertTime, parameters))
}

/// "what time is it in Tokyo and Berlin", "today's date", "what day is it".
fn now(clause: &Clause, words: &[&str]) -> Vec<Step> {
    const ASKS: [&str; 16] = [
        "time is it",
        "what time",
        "the time",
        "current time",
        "time in",
        "time now",
        "local time",
        "what is the date",
        "what's the date",
        "the date",
        "current date",
        "today's date",
        "date today",
        "date in",
        "what day is",
        "what's today",
    ];
    let asked = words.iter().take(2).any(|word| {
        matches!(
            *word,
            "what" | "what's" | "whats" | "tell" | "give" | "show" | "current" | "time" | "date" | "today's"
        )
    });
    let named =
        ASKS.iter().any(|ask| phrase(words, ask)) || matches!(words, ["time" | "date" | "now" | "today"]);
    if !(named && (asked || words.len() == 1 || phrase(words, "time is it"))) {
        return Vec::new();
    }
    let places = places(clause);
    let places = if places.is_empty() { vec!["UTC".to_owned()] } else { places };
    places.into_iter().map(|place| step("now", Ask::Now, [("zone", place.into())])).collect()
}

/// The places after the first "in" or "at", parted by "and" and commas.
fn places(clause: &Clause) -> Vec<String> {
    let mut places = vec![Vec::new()];
    let mut words =
        clause.lower.split_whitespace().skip_while(|word| !matches!(bare(word), "in" | "at" | "for"));
    words.next();
    for word in words {
        let name = bare(word);
        let filler = matches!(
            name,
            "" | "now"
                | "right"
                | "currently"
                | "today"
                | "in"
                | "at"
                | "the"
                | "moment"
                | "please"
                | "then"
                | "is"
                | "it"
        );
        if matches!(name, "and" | "or") {
            places.push(Vec::new());
        } else if !filler && month_named(name).is_none() {
            places.last_mut().into_iter().for_each(|place| place.push(name));
        }
        if word.ends_with(',') {
            places.push(Vec::new());
        }
    }
    places.iter().filter(|place| !place.is_empty()).map(|place| place.join(" ")).collect()
}
