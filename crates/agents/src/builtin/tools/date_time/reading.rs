//! Dates and clock times as people write them. A date that reads two ways, such as 1/2/2024, is refused.

use jiff::{
    ToSpan,
    civil::{Date, Time},
};

use crate::ToolFailure;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Times of day that have a name, and their hour.
const SPOKEN: [(&str, i8); 3] = [("noon", 12), ("midday", 12), ("midnight", 0)];

/// Most words that one date takes: "the 29th of February, 2024".
const MAX_WORDS: usize = 5;

/// The number of the month of this name or of its first three letters (four for "sept").
pub(crate) fn month_named(word: &str) -> Option<i8> {
    let word = word.to_lowercase();
    let fits =
        |month: &&str| **month == word || month[..3] == word || word == "sept" && month.starts_with("sept");
    MONTHS.iter().position(fits).and_then(|place| i8::try_from(place + 1).ok())
}

/// Reads the whole text as a date.
pub(super) fn date(text: &str, today: Date) -> Result<Date, ToolFailure> {
    let words = words(text);
    read_date(&words, today).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let message = format!(
            "I cannot read {shown:?} as one certain date: write it like 2024-02-29 or 29 February 2024."
        );
        ToolFailure::new("invalid_date", message)
    })
}

/// The first stretch of words that looks like a date: where it starts and ends among them.
pub(crate) fn find_date(words: &[&str]) -> Option<(usize, usize)> {
    // Only the form counts here; whether such a day exists is for the tool to say.
    let words: Vec<String> = words.iter().map(|word| clean(word)).collect();
    (0..words.len()).find_map(|start| {
        let longest = MAX_WORDS.min(words.len() - start);
        (1..=longest)
            .rev()
            .find(|length| looks_like_date(&words[start..start + length]))
            .map(|n| (start, start + n))
    })
}

fn looks_like_date(words: &[String]) -> bool {
    match words {
        [one] => {
            let mut parts = one.split(['-', '/', '.']);
            let numeric =
                |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            let year = one.split(['-', '/', '.']).any(|part| part.len() == 4);
            let day = matches!(one.as_str(), "today" | "tomorrow" | "yesterday" | "now");
            day || year && (0..3).all(|_| parts.next().is_some_and(numeric)) && parts.next().is_none()
        }
        [first, .., last] => {
            let edges = first != "of" && last != "of" && last != "the";
            edges && fields(words).is_some()
        }
        [] => false,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().take(MAX_WORDS + 1).map(clean).collect()
}

/// A word without the punctuation around it, in lower case.
fn clean(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn read_date(words: &[String], today: Date) -> Option<Date> {
    match words {
        [one] if matches!(one.as_str(), "today" | "now") => Some(today),
        [one] if one == "tomorrow" => today.checked_add(1.day()).ok(),
        [one] if one == "yesterday" => today.checked_sub(1.day()).ok(),
        [one] => {
            let parts: Vec<&str> = one.split(['-', '/']).collect();
            match parts.as_slice() {
                [year, month, day] if year.len() == 4 => {
                    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
                }
                _ => None,
            }
        }
        several => {
            let (year, month, day) = fields(several)?;
            Date::new(year.unwrap_or(today.year()), month, day).ok()
        }
    }
}

/// Year, month and day of a date with its month in letters, in either order.
fn fields(words: &[String]) -> Option<(Option<i16>, i8, i8)> {
    let mut words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !matches!(*word, "the" | "of")).collect();
    let year = match words.as_slice() {
        [_, _, year] if year.len() == 4 => Some(year.parse().ok()?),
        [_, _] => None,
        _ => return None,
    };
    words.truncate(2);
    let (month, day) = match (month_named(words[0]), month_named(words[1])) {
        (Some(month), None) => (month, words[1]),
        (None, Some(month)) => (month, words[0]),
        _ => return None,
    };
    let day = ["st", "nd", "rd", "th"].iter().find_map(|ending| day.strip_suffix(ending)).unwrap_or(day);
    Some((year, month, day.parse().ok().filter(|day| (1..=31).contains(day))?))
}

/// Reads a clock time: `15:00`, `15:00:30`, `3pm`, `3:30 pm`, `noon`, `midnight`.
pub(super) fn time(text: &str) -> Result<Time, ToolFailure> {
    read_time(text).ok_or_else(|| {
        let shown: String = text.chars().take(20).collect();
        ToolFailure::new(
            "invalid_time",
            format!("I cannot read {shown:?} as a time: write it like 15:30 or 3:30 pm."),
        )
    })
}

/// The first clock time among the words: where it starts and ends.
pub(crate) fn find_time(words: &[&str]) -> Option<(usize, usize)> {
    let begins = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit()) || SPOKEN.iter().any(|(name, _)| word == *name)
    };
    (0..words.len()).filter(|start| begins(words[*start])).find_map(|start| {
        let certain = |end: usize| {
            let text = words.get(start..end)?.join(" ");
            // A bare number is no time of day.
            (text.contains(|c: char| !c.is_ascii_digit()) && read_time(&text).is_some())
                .then_some((start, end))
        };
        certain(start + 2).or_else(|| certain(start + 1))
    })
}

fn read_time(text: &str) -> Option<Time> {
    let text =
        text.trim_matches(|c: char| !c.is_alphanumeric() && c != '.').to_lowercase().replace("a.m.", "am");
    let text = text.replace("p.m.", "pm");
    let text = text.trim_end_matches('.');
    if let Some((_, hour)) = SPOKEN.iter().find(|(name, _)| text == *name) {
        return Time::new(*hour, 0, 0, 0).ok();
    }
    let (digits, afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(digits), _) => (digits.trim_end(), Some(false)),
        (_, Some(digits)) => (digits.trim_end(), Some(true)),
        _ => (text, None),
    };
    let mut parts = digits.split(':');
    let mut next =
        || parts.next().map(|part| part.parse::<i8>().ok().filter(|_| !part.starts_with(['+', '-'])));
    let hour = next()??;
    let minute = next().unwrap_or(Some(0))?;
    let second = next().unwrap_or(Some(0))?;
    let hour = match afternoon {
        None if digits.contains(':') => hour,
        Some(afternoon) if (1..=12).contains(&hour) => hour % 12 + if afternoon { 12 } else { 0 },
        _ => return None,
    };
    Time::new(hour, minute, second, 0).ok().filter(|_| next().is_none())
}
