//! Asks about a JSON text that the message carries: a path into it, or a figure about what the path selects.

use serde_json::Value;

use super::{
    Ask, Step,
    clauses::{Clause, bare},
};

const SUMMARIES: [(&str, &str); 12] = [
    ("how many", "length"),
    ("length", "length"),
    ("keys", "keys"),
    ("type", "type"),
    ("sum", "sum"),
    ("total", "sum"),
    ("average", "average"),
    ("mean", "average"),
    ("minimum", "min"),
    ("smallest", "min"),
    ("maximum", "max"),
    ("largest", "max"),
];

/// Words after which a bare name is a path: "the name of", "at users[0]", "key a".
const BEFORE_PATH: [&str; 10] =
    ["at", "path", "key", "field", "get", "extract", "query", "select", "the", "is"];

/// The step for an ask about JSON.
pub(super) fn steps(clause: &Clause) -> Vec<Step> {
    let own = clause
        .literals
        .iter()
        .map(|literal| &clause.message[literal.inner.clone()])
        .find(|text| is_json(text));
    let path = path(clause);
    let json = match own {
        Some(json) => json,
        // A later sentence may ask about JSON given before, but only with a path that leaves no doubt.
        None if path.as_deref().is_some_and(|path| path.starts_with("$.") || path.starts_with("$[")) => {
            let given = clause.all_literals.iter().map(|literal| &clause.message[literal.inner.clone()]);
            match given.into_iter().find(|text| is_json(text)) {
                Some(json) => json,
                None => return Vec::new(),
            }
        }
        // Brackets that do not parse: the tool says what is wrong with them.
        None if clause.lower.contains("json") => match clause.text.find(['{', '[']) {
            Some(start) => clause.text[start..].trim(),
            None => return Vec::new(),
        },
        None => return Vec::new(),
    };
    let mut step = Step::new("query_json", Ask::Json, [("json", json.into())]);
    if let Some(path) = path {
        step.parameters.insert("path".to_owned(), path.into());
    }
    if let Some(summary) = summary(clause) {
        step.parameters.insert("summary".to_owned(), summary);
    }
    vec![step]
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn summary(clause: &Clause) -> Option<Value> {
    let words = format!(" {} ", clause.words().join(" "));
    SUMMARIES
        .iter()
        .find(|(cue, _)| words.contains(&format!(" {cue} ")))
        .map(|(_, summary)| (*summary).into())
}

/// The path: a word that can be nothing else, or a plain name where a path is to be expected.
fn path(clause: &Clause) -> Option<String> {
    let words: Vec<&str> =
        clause.masked.split_whitespace().map(tidy).filter(|word| !word.is_empty()).collect();
    let certain = words.iter().find(|word| {
        word.starts_with('$') || (word.starts_with(['.', '/']) && word.len() > 1) || looks_deep(word)
    });
    if let Some(path) = certain {
        return Some((*path).to_owned());
    }
    let is_name = |word: &str| {
        word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') && !is_filler(&word.to_lowercase())
    };
    let mut pairs = words.windows(2).map(|pair| (bare(pair[0]).to_lowercase(), pair[1]));
    let after = pairs.find(|(before, word)| BEFORE_PATH.contains(&before.as_str()) && is_name(word));
    after.map(|(_, word)| word.to_owned())
}

/// `users[0].name` or `a.b`, but not a number and not the end of a sentence.
fn looks_deep(word: &str) -> bool {
    let inside = word.trim_end_matches('.');
    inside.contains(['.', '[']) && inside.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tidy(word: &str) -> &str {
    word.trim_matches(|c: char| matches!(c, '?' | '!' | ',' | ';' | ':' | '"' | '\'' | '(' | ')'))
        .trim_end_matches('.')
}

fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 16] = [
        "the",
        "json",
        "value",
        "path",
        "in",
        "of",
        "at",
        "from",
        "this",
        "following",
        "key",
        "field",
        "object",
        "array",
        "a",
        "document",
    ];
    FILLERS.contains(&word) || SUMMARIES.iter().any(|(cue, _)| cue == &word)
}
