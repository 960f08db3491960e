//! Asks about a text: how many words, the longest word, how long it takes to read.
//!
//! "This sentence" is the sentence the ask stands in, from the end of the one before to its own end mark. "This
//! message" and "this text" are the whole message. Else the text is what is quoted, or what follows a colon.

use super::{Ask, Step, clauses::Clause};

/// Which figure is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    /// The number of words.
    Words,
    /// The number of characters.
    Characters,
    /// The number of letters.
    Letters,
    /// The number of sentences.
    Sentences,
    /// The number of lines.
    Lines,
    /// The longest word.
    LongestWord,
    /// The words that occur most.
    FrequentWords,
    /// The time to read it.
    ReadingTime,
    /// All of them.
    Everything,
}

/// Which text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The sentence of the ask.
    Sentence,
    /// The whole message.
    Message,
    /// A text that was given.
    Given,
}

const FOCUSES: [(&str, Focus); 14] = [
    ("longest word", Focus::LongestWord),
    ("most frequent", Focus::FrequentWords),
    ("most common", Focus::FrequentWords),
    ("reading time", Focus::ReadingTime),
    ("long does it take to read", Focus::ReadingTime),
    ("text statistics", Focus::Everything),
    ("statistics", Focus::Everything),
    ("analyse", Focus::Everything),
    ("analyze", Focus::Everything),
    ("words", Focus::Words),
    ("characters", Focus::Characters),
    ("letters", Focus::Letters),
    ("sentences", Focus::Sentences),
    ("lines", Focus::Lines),
];

const COUNTING: [&str; 7] = ["how many", "count", "number of", "what", "which", "give", "tell"];

/// Whether this (in lower case) asks about a text.
pub(super) fn asks(lower: &str) -> bool {
    focus(lower).is_some()
}

fn focus(lower: &str) -> Option<Focus> {
    let has = |phrase: &str| {
        // At the start of a word, so that "words" is not found in "passwords".
        lower.match_indices(phrase).any(|(at, _)| !lower[..at].ends_with(char::is_alphanumeric))
    };
    let (_, focus) = FOCUSES.iter().find(|(phrase, _)| has(phrase))?;
    let counted =
        matches!(focus, Focus::Words | Focus::Characters | Focus::Letters | Focus::Sentences | Focus::Lines);
    (!counted || COUNTING.iter().any(|cue| has(cue))).then_some(*focus)
}

/// The step for an ask about a text.
pub(super) fn steps(clause: &Clause) -> Vec<Step> {
    let Some(focus) = focus(&clause.lower) else { return Vec::new() };
    let this = |noun: &str| {
        clause.lower.contains(&format!("this {noun}")) || clause.lower.contains(&format!("my {noun}"))
    };
    let (text, subject) = if this("sentence") {
        (clause.sentence.trim(), Subject::Sentence)
    } else if let Some(text) = clause.literal() {
        (text, Subject::Given)
    } else if this("message") || this("text") {
        (clause.message, Subject::Message)
    } else {
        return Vec::new();
    };
    vec![Step::new("text_statistics", Ask::Text(focus, subject), [("text", text.into())])]
}
