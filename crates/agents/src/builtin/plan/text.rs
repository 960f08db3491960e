//! Asks about a text: how many words, the longest word.
//!
//! "This sentence" is the sentence the ask stands in, "this message" and "this text" are the whole message. Else the
//! text is what is quoted.

use super::{Ask, PlanStep, clauses::Clause};

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
    /// A text that was quoted.
    Quoted,
}

const FOCUSES: [(&str, Focus); 8] = [
    ("longest word", Focus::LongestWord),
    ("statistics", Focus::Everything),
    ("analyse", Focus::Everything),
    ("words", Focus::Words),
    ("characters", Focus::Characters),
    ("letters", Focus::Letters),
    ("sentences", Focus::Sentences),
    ("lines", Focus::Lines),
];

/// Phrases that say that a number is wanted.
const COUNTING: [&str; 3] = ["how many", "count", "number of"];

/// The step for an ask about a text.
pub(super) fn steps(clause: &Clause) -> Vec<PlanStep> {
    let Some(focus) = focus(&clause.lower) else { return Vec::new() };
    let this = |noun: &str| clause.lower.contains(noun);
    let (text, subject) = if this("this sentence") {
        (clause.sentence, Subject::Sentence)
    } else if let Some(text) = clause.quoted {
        (text, Subject::Quoted)
    } else if this("this message") || this("this text") {
        (clause.message, Subject::Message)
    } else {
        return Vec::new();
    };
    vec![PlanStep::new("text_statistics", Ask::Text(focus, subject), [("text", text.into())])]
}

fn focus(lower: &str) -> Option<Focus> {
    // At the start of a word, so that "words" is not found in "passwords".
    let has = |phrase: &str| {
        lower.match_indices(phrase).any(|(at, _)| !lower[..at].ends_with(char::is_alphanumeric))
    };
    let (_, focus) = FOCUSES.iter().find(|(phrase, _)| has(phrase))?;
    let counted = !matches!(focus, Focus::LongestWord | Focus::Everything);
    (!counted || COUNTING.iter().any(|cue| has(cue))).then_some(*focus)
}
