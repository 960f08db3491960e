//! Asks to calculate: formulas anywhere in a clause, and lists such as "the gcd of 12 and 18".
//!
//! After a cue such as "what is" any formula counts. Without one it must be more than a dash or a slash between
//! numbers, which are as often a range, a date or "24/7".

use super::{
    Ask, Step,
    clauses::{Clause, bare},
    expressions, numerals,
};
use crate::builtin::tools::{calculate::FUNCTIONS, date_time::find_date};

/// Phrases that say that a value is wanted.
const CUES: [&str; 10] = [
    "what is",
    "what's",
    "whats",
    "what are",
    "calculate",
    "compute",
    "evaluate",
    "how much is",
    "solve",
    "value of",
];

/// Words that promise an expression, so that a broken one is worth the tool's explanation.
const COMMANDS: [&str; 4] = ["calculate", "compute", "evaluate", "solve"];

/// The steps for an ask to calculate.
pub(super) fn steps(clause: &Clause) -> Vec<Step> {
    let lower = clause.lower.as_str();
    if let Some(expression) = listed(&clause.words()) {
        return vec![step(expression)];
    }
    let command = COMMANDS.iter().find_map(|command| lower.trim_start().strip_prefix(command));
    if let (Some(_), Some(quoted)) = (command, clause.literal()) {
        return vec![step(quoted.trim().to_owned())];
    }
    let cued = CUES.iter().any(|cue| lower.contains(cue));
    let formulas = expressions::find(lower);
    let alone =
        formulas.len() == 1 && lower.split_whitespace().all(|word| !bare(word).contains(char::is_alphabetic));
    let found: Vec<Step> =
        formulas.into_iter().filter(|formula| cued || alone || is_certain(formula)).map(step).collect();
    if !found.is_empty() {
        return found;
    }
    match command.map(str::trim) {
        Some(rest) if rest.contains(|c: char| c.is_ascii_digit()) => {
            vec![step(rest.trim_end_matches(['?', '.', '=', ' ']).to_owned())]
        }
        _ => Vec::new(),
    }
}

fn step(expression: String) -> Step {
    Step::new("calculate", Ask::Calculate, [("expression", expression.into())])
}

/// Whether a formula can hardly be anything else.
fn is_certain(formula: &str) -> bool {
    let inner = formula.trim_matches(|c: char| !c.is_alphanumeric() && c != ')');
    inner.contains(['*', '^', '+', '×', '÷', '√', '(']) || inner.contains("% of") || inner.contains(" / ")
}

/// Whether a word can stand in a formula: digits and signs, and names of functions between them.
pub(super) fn is_formula(word: &str) -> bool {
    let sign = |c: char| c.is_ascii_digit() || "._,+-−–*/×÷·^%!()√²³π".contains(c);
    let known = |name: &str| FUNCTIONS.contains(&name) || matches!(name, "" | "pi" | "mod" | "e");
    let date = find_date(&[word]).is_some();
    !date
        && word.split(sign).all(known)
        && word.contains(|c: char| c.is_ascii_digit() || sign(c) || c.is_alphabetic())
}

/// "the sum of 1, 2 and 3", "average of 4 and 5", "gcd of 12 and 18".
fn listed(words: &[&str]) -> Option<String> {
    let at = words.iter().position(|word| *word == "of").filter(|at| *at > 0)?;
    let numbers: Vec<String> = words[at + 1..]
        .iter()
        .take_while(|word| matches!(**word, "and" | "the" | "numbers") || numerals::number(word).is_some())
        .filter(|word| !matches!(**word, "and" | "the" | "numbers" | "a" | "an"))
        .map(|word| numerals::digits(word).unwrap_or_else(|| word.replace(',', "")))
        .collect();
    if numbers.len() < 2 {
        return None;
    }
    let joined = |sign: &str| numbers.join(sign);
    match words[at - 1] {
        "sum" | "total" => Some(joined(" + ")),
        "product" => Some(joined(" * ")),
        "average" | "mean" => Some(format!("({}) / {}", joined(" + "), numbers.len())),
        "gcd" | "divisor" => Some(format!("gcd({})", joined(", "))),
        "lcm" | "multiple" => Some(format!("lcm({})", joined(", "))),
        "max" | "maximum" | "largest" => Some(format!("max({})", joined(", "))),
        "min" | "minimum" | "smallest" => Some(format!("min({})", joined(", "))),
        _ => None,
    }
}
