//! Asks to calculate: formulas anywhere in a clause.
//!
//! After a cue such as "what is" any formula counts. Without one it must be more than a dash or a slash between
//! numbers, which are as often a range, a date or "24/7".

use super::{Ask, PlanStep, clauses::Clause};

/// Phrases that say that a value is wanted.
const CUES: [&str; 5] = ["what is", "what's", "calculate", "compute", "how much is"];

/// Words between two numbers, and what they stand for.
const SIGNS: [(&str, &str); 4] = [("times", "*"), ("x", "*"), ("plus", "+"), ("minus", "-")];

/// The steps for an ask to calculate.
pub(super) fn steps(clause: &Clause) -> Vec<PlanStep> {
    let cued = CUES.iter().any(|cue| clause.lower.contains(cue));
    let (formulas, alone) = find(&clause.lower);
    let certain = |formula: &str| cued || alone || formula.contains(['*', '^', '+', '×', '÷', '(']);
    let steps = formulas.into_iter().filter(|formula| certain(formula));
    steps
        .map(|formula| PlanStep::new("calculate", Ask::Calculate, [("expression", formula.into())]))
        .collect()
}

/// All formulas with an operation, in order, and whether the text has nothing else.
fn find(lower: &str) -> (Vec<String>, bool) {
    let (mut formulas, mut formula, mut alone) = (Vec::new(), String::new(), true);
    for word in lower.split_whitespace() {
        let bare = word.trim_end_matches(['?', ';', ':', '.', ',', '!', '=']);
        let sign = SIGNS.iter().find(|(name, _)| *name == bare && !formula.is_empty());
        let piece = sign.map_or(bare, |(_, sign)| sign);
        let fits =
            !piece.is_empty() && piece.chars().all(|c| c.is_ascii_digit() || ".+-−*×÷/^%()".contains(c));
        if fits {
            if !formula.is_empty() {
                formula.push(' ');
            }
            formula.push_str(piece);
        }
        alone &= fits || bare.is_empty();
        if !fits || bare.len() < word.len() {
            finish(&mut formula, &mut formulas);
        }
    }
    finish(&mut formula, &mut formulas);
    (formulas, alone)
}

/// Keeps the formula if it has something to calculate, and starts anew.
fn finish(formula: &mut String, formulas: &mut Vec<String>) {
    let text = std::mem::take(formula);
    let acts = |c: char| "+-−*×÷/^%".contains(c);
    let operands = text.split(acts).filter(|part| part.contains(|c: char| c.is_ascii_digit())).count();
    if operands > 1 {
        formulas.push(text);
    }
}
