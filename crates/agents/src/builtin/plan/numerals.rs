//! Small numbers in words, and amounts of something: "three seconds", "2.5s", "a minute".

const WORDS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// The digits for a number in words.
pub(super) fn digits(word: &str) -> Option<String> {
    if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    WORDS.iter().position(|known| *known == word).map(|number| number.to_string())
}

/// The number for a word that says one, "a" and "an" included.
pub(super) fn number(word: &str) -> Option<f64> {
    if matches!(word, "a" | "an") {
        return Some(1.0);
    }
    let text = digits(word).unwrap_or_else(|| word.replace(',', ""));
    let plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// The whole number for a word that says one.
pub(super) fn whole(word: &str) -> Option<i64> {
    digits(word).unwrap_or_else(|| word.replace(',', "")).parse().ok()
}

/// The first duration among the words, in milliseconds: "3 seconds", "2s", "a minute".
pub(super) fn milliseconds(words: &[&str]) -> Option<f64> {
    let glued = |word: &str| {
        let at = word.find(|c: char| c.is_alphabetic())?;
        Some(number(&word[..at])? * unit(&word[at..])?)
    };
    let apart = |pair: &[&str]| Some(number(pair[0])? * unit(pair[1])?);
    words.windows(2).find_map(apart).or_else(|| words.iter().find_map(|word| glued(word)))
}

/// How many milliseconds the unit has.
pub(super) fn unit(word: &str) -> Option<f64> {
    match word {
        "ms" | "millisecond" | "milliseconds" => Some(1.0),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1_000.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60_000.0),
        "h" | "hour" | "hours" => Some(3_600_000.0),
        _ => None,
    }
}
