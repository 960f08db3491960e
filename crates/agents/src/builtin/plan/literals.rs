//! Stretches of a message that are given, not said: quotes, code, JSON, and a text after a colon.
//! Each search stops where an earlier one of its kind failed, so that the time stays in line with the length.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::text;

/// Most brackets tried as the start of JSON in vain.
const MAX_JSON_FAILURES: usize = 32;

/// How far back from a colon its ask may start, in bytes.
const MAX_HEAD: usize = 200;

/// A given stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    /// With its marks.
    pub(super) outer: Range<usize>,
    /// Without its marks.
    pub(super) inner: Range<usize>,
}

/// Marks that open and close a quote.
const QUOTES: [(&str, &str); 6] =
    [("```", "```"), ("`", "`"), ("\"", "\""), ("“", "”"), ("«", "»"), ("„", "“")];

/// Finds all literals, in order, none inside another.
pub(super) fn find(message: &str) -> Vec<Literal> {
    let mut search =
        Search { message, no_close: [false; QUOTES.len()], no_apostrophe: false, json_failures: 0 };
    let (mut literals, mut at) = (Vec::new(), 0);
    let mut sentence = 0;
    while let Some(character) = message[at..].chars().next() {
        let literal = match character {
            '{' | '[' => search.json(at),
            ':' => search.after_colon(at, sentence),
            '\'' => search.apostrophes(at),
            _ => search.quote(at),
        };
        match literal {
            Some(literal) => {
                at = literal.outer.end;
                literals.push(literal);
            }
            None => at += character.len_utf8(),
        }
        if matches!(character, '\n' | '.' | '?' | '!') {
            sentence = at;
        }
    }
    literals
}

struct Search<'a> {
    message: &'a str,
    no_close: [bool; QUOTES.len()],
    no_apostrophe: bool,
    json_failures: usize,
}

impl Search<'_> {
    fn quote(&mut self, at: usize) -> Option<Literal> {
        let rest = &self.message[at..];
        let (kind, (open, close)) =
            QUOTES.iter().enumerate().find(|(_, (open, _))| rest.starts_with(open))?;
        if self.no_close[kind] {
            return None;
        }
        let start = at + open.len();
        match self.message[start..].find(close) {
            Some(0) => None,
            Some(length) => {
                Some(Literal { outer: at..start + length + close.len(), inner: start..start + length })
            }
            None => {
                self.no_close[kind] = true;
                None
            }
        }
    }

    /// `'text'` with the marks at the edges of words, so that "what's" is none.
    fn apostrophes(&mut self, at: usize) -> Option<Literal> {
        if self.no_apostrophe || self.message[..at].ends_with(char::is_alphanumeric) {
            return None;
        }
        let start = at + 1;
        let closes = |end: usize| !self.message[end + 1..].starts_with(char::is_alphanumeric);
        let found = self.message[start..]
            .match_indices('\'')
            .map(|(length, _)| start + length)
            .find(|end| closes(*end));
        self.no_apostrophe = found.is_none();
        found.filter(|end| *end > start).map(|end| Literal { outer: at..end + 1, inner: start..end })
    }

    /// An object or an array that parses.
    fn json(&mut self, at: usize) -> Option<Literal> {
        // A bracket right behind a name is an index of a path, as in `users[0]`.
        let is_index =
            self.message[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | ']'));
        if is_index || self.json_failures == MAX_JSON_FAILURES {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(&self.message[at..]).into_iter::<IgnoredAny>();
        if let Some(Ok(_)) = values.next() {
            let range = at..at + values.byte_offset();
            return Some(Literal { outer: range.clone(), inner: range });
        }
        self.json_failures += 1;
        None
    }

    /// The rest of the line after "how many words are in:", or of the message if the line ends there.
    fn after_colon(&self, at: usize, sentence: usize) -> Option<Literal> {
        let start = at + 1;
        let rest = &self.message[start..];
        if at - sentence > MAX_HEAD || !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return None;
        }
        if !text::asks(&self.message[sentence..at].to_lowercase()) {
            return None;
        }
        let line = rest.lines().next().filter(|line| !line.trim().is_empty()).unwrap_or(rest);
        let given = line.trim();
        let skipped = line.len() - line.trim_start().len();
        let inner = start + skipped..start + skipped + given.len();
        // A quote or JSON after the colon is found as such.
        let is_plain = !given.is_empty() && !given.starts_with(['"', '“', '«', '„', '`', '\'', '{', '[']);
        is_plain.then_some(Literal { outer: start..inner.end, inner })
    }
}
