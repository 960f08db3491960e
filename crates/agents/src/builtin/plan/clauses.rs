//! Parts a message into sentences, and a sentence into clauses where a new ask begins. What is quoted is left whole.

use std::ops::Range;

/// Words that begin an ask after "and", "then", a comma or the like.
const STARTERS: [&str; 20] = [
    "what",
    "what's",
    "whats",
    "how",
    "which",
    "calculate",
    "compute",
    "count",
    "find",
    "search",
    "look",
    "wait",
    "sleep",
    "pause",
    "tell",
    "give",
    "fail",
    "did",
    "please",
    "analyse",
];

/// Words that join two asks.
const JOINERS: [&str; 4] = ["and", "then", "also", "&"];

/// Marks that open and close a quote.
const QUOTES: [(&str, &str); 5] = [("`", "`"), ("\"", "\""), ("“", "”"), ("«", "»"), ("„", "“")];

/// A part of the message that asks for one kind of thing.
#[derive(Debug)]
pub(super) struct Clause<'a> {
    /// The whole message.
    pub(super) message: &'a str,
    /// The sentence it stands in.
    pub(super) sentence: &'a str,
    /// The clause in lower case, without what is quoted.
    pub(super) lower: String,
    /// What is quoted first in it, without its marks.
    pub(super) quoted: Option<&'a str>,
}

impl Clause<'_> {
    /// The words in lower case without punctuation at their edges.
    pub(super) fn words(&self) -> Vec<&str> {
        self.lower.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
    }
}

/// A word without the punctuation at its edges.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '-')).trim_end_matches(['-', '+'])
}

/// All clauses in order, made as they are asked for.
pub(super) fn split(message: &str) -> impl Iterator<Item = Clause<'_>> {
    let quotes = quotes(message);
    parts(message, &quotes).into_iter().map(move |(range, sentence)| {
        let from = quotes.partition_point(|quote| quote.outer.end <= range.start);
        let (mut lower, mut at, mut quoted) = (String::with_capacity(range.len()), range.start, None);
        for quote in quotes[from..].iter().take_while(|quote| quote.outer.start < range.end) {
            lower.push_str(&message[at.min(quote.outer.start)..quote.outer.start].to_lowercase());
            lower.push(' ');
            at = quote.outer.end;
            quoted.get_or_insert(&message[quote.inner.clone()]);
        }
        lower.push_str(&message[at..range.end.max(at)].to_lowercase());
        Clause { message, sentence: message[sentence].trim(), lower, quoted }
    })
}

/// The stretches of clauses, each with that of its sentence.
fn parts(message: &str, quotes: &[Quote]) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut parts, mut open) = (Vec::new(), Vec::new());
    let (mut sentence, mut clause, mut previous, mut ended) = (0, 0, "", false);
    let mut quotes = quotes.iter().peekable();
    let mut close = |open: &mut Vec<Range<usize>>, sentence: Range<usize>| {
        parts.extend(open.drain(..).map(|clause| (clause, sentence.clone())));
    };
    for (at, word) in words(message) {
        while quotes.next_if(|quote| quote.outer.end <= at).is_some() {}
        let end = at + word.len();
        let quote = quotes.peek().filter(|quote| quote.outer.start < end);
        if quote.is_none_or(|quote| quote.outer.start >= at) {
            if ended || message[..at].trim_end_matches([' ', '\t']).ends_with('\n') {
                open.push(clause..at);
                close(&mut open, sentence..at);
                (sentence, clause) = (at, at);
            } else if at > clause && begins_ask(previous, word) {
                open.push(clause..at);
                clause = at;
            }
        }
        // What stands behind a quote ends the sentence, what stands in it does not.
        let behind = quote.map_or(at, |quote| quote.outer.end.clamp(at, end));
        let closing = |c: char| matches!(c, ')' | '\'' | '*' | '_');
        ended =
            message[behind..end].trim_end_matches(closing).ends_with(['.', '?', '!', '…', '。', '？', '！']);
        previous = word;
    }
    open.push(clause..message.len());
    close(&mut open, sentence..message.len());
    parts
}

fn begins_ask(previous: &str, word: &str) -> bool {
    // Longer than any word that begins an ask or joins two, whatever their case.
    let known =
        |word: &str, words: &[&str]| word.len() < 16 && words.contains(&bare(word).to_lowercase().as_str());
    let parted = previous.ends_with([',', ';', ':']) || previous == "&" || known(previous, &JOINERS);
    parted && known(word, &STARTERS)
}

/// The words of a message and where they start.
fn words(message: &str) -> impl Iterator<Item = (usize, &str)> {
    message.split_whitespace().map(move |word| (word.as_ptr() as usize - message.as_ptr() as usize, word))
}

/// A quoted stretch, with and without its marks.
struct Quote {
    outer: Range<usize>,
    inner: Range<usize>,
}

/// All quotes in order, none inside another. A mark that is never closed is searched for once.
fn quotes(message: &str) -> Vec<Quote> {
    let (mut quotes, mut at, mut unclosed) = (Vec::new(), 0, [false; QUOTES.len()]);
    while let Some(character) = message[at..].chars().next() {
        let rest = &message[at..];
        at += character.len_utf8();
        let Some(kind) = QUOTES.iter().position(|(open, _)| rest.starts_with(open)) else { continue };
        if unclosed[kind] {
            continue;
        }
        match message[at..].find(QUOTES[kind].1) {
            Some(length) => {
                let inner = at..at + length;
                let outer = at - character.len_utf8()..inner.end + QUOTES[kind].1.len();
                at = outer.end;
                quotes.push(Quote { outer, inner });
            }
            None => unclosed[kind] = true,
        }
    }
    quotes
}
