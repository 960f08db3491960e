//! Asks to convert an amount: "5 miles to km", "how many feet are in 3 meters".

use super::{Ask, Step, arithmetic::is_formula, clauses::Clause, numerals};
use crate::builtin::tools::calculate::{is_unit, joins_units};

/// Most words in the name of a unit.
const MAX_UNIT_WORDS: usize = 3;

/// The step for an ask to convert.
pub(super) fn steps(clause: &Clause) -> Vec<Step> {
    let words: Vec<&str> =
        clause.masked.split_whitespace().map(tidy).filter(|word| !word.is_empty()).collect();
    match how_many(&words).or_else(|| amount_to_unit(&words)) {
        Some(expression) => vec![Step::new("calculate", Ask::Calculate, [("expression", expression.into())])],
        None => Vec::new(),
    }
}

/// A word without the punctuation around it; degrees and powers stay.
fn tidy(word: &str) -> &str {
    word.trim_matches(|c: char| matches!(c, '?' | ',' | ';' | ':' | '"' | '=')).trim_end_matches(['.', '!'])
}

/// "how many FEET are there in 3 METERS".
fn how_many(words: &[&str]) -> Option<String> {
    let start = words.windows(2).position(|pair| {
        pair[0].eq_ignore_ascii_case("how")
            && (pair[1].eq_ignore_ascii_case("many") || pair[1].eq_ignore_ascii_case("much"))
    })?;
    let (to, length) = unit_at(words, start + 2)?;
    let rest = &words[start + 2 + length..];
    let inside = rest.iter().take(4).position(|word| word.eq_ignore_ascii_case("in"))?;
    let (amount, from, _) = amount_at(rest, inside + 1)?;
    Some(format!("{amount} {from} to {to}"))
}

/// "5 MILES to KM".
fn amount_to_unit(words: &[&str]) -> Option<String> {
    let joins: Vec<bool> =
        words.iter().map(|word| word.len() < 5 && joins_units(&word.to_lowercase())).collect();
    // Most words of a message are far from any "to": those are not looked at.
    let near = |start: &usize| joins[*start..words.len().min(start + MAX_UNIT_WORDS + 2)].contains(&true);
    (0..words.len()).filter(near).find_map(|start| {
        let (amount, from, end) = amount_at(words, start)?;
        let (to, _) = unit_at(words, end + 1).filter(|_| joins.get(end) == Some(&true))?;
        Some(format!("{amount} {from} to {to}"))
    })
}

/// The longest name of a unit that starts here, and its length in words.
fn unit_at(words: &[&str], start: usize) -> Option<(String, usize)> {
    let longest = MAX_UNIT_WORDS.min(words.len().saturating_sub(start));
    (1..=longest).rev().find_map(|length| {
        let name = words[start..start + length].join(" ");
        is_unit(&name).then_some((name, length))
    })
}

/// An amount and its unit, apart or glued, and the place after them.
fn amount_at(words: &[&str], start: usize) -> Option<(String, String, usize)> {
    let word = words.get(start)?;
    if let Some(amount) = amount(word) {
        let (unit, length) = unit_at(words, start + 1)?;
        return Some((amount, unit, start + 1 + length));
    }
    let split = word.find(|c: char| c.is_alphabetic() || c == '°').filter(|split| *split > 0)?;
    let amount = amount(&word[..split])?;
    is_unit(&word[split..]).then(|| (amount, word[split..].to_owned(), start + 1))
}

fn amount(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    match lower.as_str() {
        "a" | "an" => Some("1".to_owned()),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '−' | '.' | '('))
            && is_formula(word) =>
        {
            Some(word.to_owned())
        }
        _ => numerals::digits(&lower),
    }
}
