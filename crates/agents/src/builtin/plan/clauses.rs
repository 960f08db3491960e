//! Parts a message into sentences, and a sentence into clauses where a new ask begins.

use std::ops::Range;

use super::literals::Literal;

/// What stands in a clause for a literal, so that rules for words do not read what is only quoted.
pub(super) const PLACEHOLDER: char = '\u{FFFC}';

/// Words that begin an ask after "and", "then", a comma or the like.
const STARTERS: [&str; 43] = [
    "what",
    "what's",
    "whats",
    "how",
    "when",
    "which",
    "where",
    "who",
    "calculate",
    "compute",
    "evaluate",
    "convert",
    "count",
    "find",
    "search",
    "look",
    "wait",
    "sleep",
    "pause",
    "set",
    "start",
    "tell",
    "show",
    "give",
    "is",
    "query",
    "get",
    "extract",
    "read",
    "say",
    "add",
    "subtract",
    "please",
    "did",
    "have",
    "time",
    "date",
    "days",
    "weekday",
    "solve",
    "analyse",
    "analyze",
    "timer",
];

/// Words that join two asks.
const JOINERS: [&str; 6] = ["and", "then", "also", "plus", "afterwards", "&"];

/// Abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 10] = ["e.g", "i.e", "a.m", "p.m", "vs", "dr", "mr", "mrs", "ms", "st"];

/// Most closing marks looked past for the space behind a sentence.
const MAX_CLOSING: usize = 4;

/// A part of the message that asks for one kind of thing.
#[derive(Debug)]
pub(super) struct Clause<'a> {
    /// The whole message.
    pub(super) message: &'a str,
    /// The literals of the whole message.
    pub(super) all_literals: &'a [Literal],
    /// The literals of this clause.
    pub(super) literals: &'a [Literal],
    /// The clause as written.
    pub(super) text: &'a str,
    /// The sentence it stands in.
    pub(super) sentence: &'a str,
    /// The clause with placeholders for literals.
    pub(super) masked: String,
    /// The same in lower case.
    pub(super) lower: String,
}

impl<'a> Clause<'a> {
    /// The first literal of the clause, without its marks.
    pub(super) fn literal(&self) -> Option<&'a str> {
        self.literals.first().map(|literal| &self.message[literal.inner.clone()])
    }

    /// The words in lower case without punctuation at their edges; placeholders are left out.
    pub(super) fn words(&self) -> Vec<&str> {
        self.lower.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
    }
}

/// A word without the punctuation at its edges.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '-' | '°' | '$' | '€'))
        .trim_end_matches(['-', '+'])
}

/// All clauses in order, made as they are asked for.
pub(super) fn split<'a>(message: &'a str, literals: &'a [Literal]) -> impl Iterator<Item = Clause<'a>> {
    let mut next_literal = 0;
    sentences(message, literals).into_iter().flat_map(move |sentence| {
        let parts = parts(message, sentence.clone(), literals, &mut next_literal);
        let sentence = &message[sentence];
        parts
            .into_iter()
            .map(move |(range, within)| clause(message, literals, &literals[within], range, sentence))
    })
}

fn clause<'a>(
    message: &'a str,
    all_literals: &'a [Literal],
    literals: &'a [Literal],
    range: Range<usize>,
    sentence: &'a str,
) -> Clause<'a> {
    let (mut masked, mut at) = (String::with_capacity(range.len()), range.start);
    for literal in literals {
        masked.push_str(&message[at..literal.outer.start]);
        masked.extend([' ', PLACEHOLDER, ' ']);
        at = literal.outer.end;
    }
    masked.push_str(&message[at..range.end.max(at)]);
    let lower = masked.to_lowercase();
    let text = &message[range];
    Clause { message, all_literals, literals, text, sentence, masked, lower }
}

/// The stretches of sentences: up to an end mark before a space, to a new line, or to the end.
fn sentences(message: &str, literals: &[Literal]) -> Vec<Range<usize>> {
    let (mut sentences, mut start, mut skip) = (Vec::new(), 0, 0);
    let mut literals = literals.iter().peekable();
    for (at, character) in message.char_indices() {
        if let Some(literal) = literals.next_if(|literal| literal.outer.start <= at) {
            skip = literal.outer.end;
        }
        let end = at + character.len_utf8();
        if at >= skip && ends_sentence(message, at, character) {
            sentences.push(start..end);
            start = end;
        }
    }
    sentences.push(start..message.len());
    sentences.retain(|range| !message[range.clone()].trim().is_empty());
    sentences
}

fn ends_sentence(message: &str, at: usize, character: char) -> bool {
    let after = &message[at + character.len_utf8()..];
    let closing = |c: &char| matches!(c, '"' | '\'' | ')' | '”' | '»');
    let spaced = || after.chars().take(MAX_CLOSING).find(|c| !closing(c)).is_some_and(char::is_whitespace);
    match character {
        '\n' | '。' | '！' | '？' => true,
        '?' | '…' => spaced(),
        '.' => spaced() && !is_abbreviation(&message[..at]),
        // After a number it is a factorial, unless a new sentence follows.
        '!' => {
            let factorial = message[..at].ends_with(|c: char| c.is_ascii_digit() || c == ')');
            spaced() && (!factorial || after.trim_start().starts_with(char::is_uppercase))
        }
        _ => false,
    }
}

fn is_abbreviation(before: &str) -> bool {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let word = before.get(start..).unwrap_or_default();
    word.len() < 5 && ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
        || word.len() < 8 && (word.to_lowercase().ends_with("p.m") || word.to_lowercase().ends_with("a.m"))
}

/// The clauses of a sentence, each with the literals inside it.
fn parts(
    message: &str,
    sentence: Range<usize>,
    literals: &[Literal],
    next_literal: &mut usize,
) -> Vec<(Range<usize>, Range<usize>)> {
    let mut starts = vec![sentence.start];
    let mut first = *next_literal;
    let mut bounds = Vec::new();
    let mut previous = "";
    for (at, word) in words(message, sentence.clone()) {
        while literals.get(*next_literal).is_some_and(|literal| literal.outer.end <= at) {
            *next_literal += 1;
        }
        let quoted = literals.get(*next_literal).is_some_and(|literal| literal.outer.contains(&at));
        let begins = STARTERS.contains(&bare(word).to_lowercase().as_str());
        let parted =
            previous.ends_with([',', ';', ':', '.']) || JOINERS.contains(&previous.to_lowercase().as_str());
        if !quoted && begins && parted {
            bounds.push((at, *next_literal));
        }
        previous = word;
    }
    while literals.get(*next_literal).is_some_and(|literal| literal.outer.start < sentence.end) {
        *next_literal += 1;
    }
    bounds.push((sentence.end, *next_literal));
    bounds
        .into_iter()
        .map(|(end, literal)| {
            let start = starts.pop().unwrap_or(end);
            starts.push(end);
            let within = std::mem::replace(&mut first, literal)..literal;
            (start..end, within)
        })
        .collect()
}

/// The words of a stretch and where they start.
fn words(message: &str, range: Range<usize>) -> impl Iterator<Item = (usize, &str)> {
    let text = &message[range.clone()];
    text.split_whitespace()
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize + range.start, word))
}
