//! Asks to search in the user's own threads.

use super::{
    Ask, PlanStep,
    clauses::{Clause, bare},
};

/// Where one may ask to search; the first that fits is cut out of the query.
const PLACES: [&str; 6] = ["threads", "thread", "messages", "conversations", "chats", "notes"];

/// How an ask to search begins; what follows is the query.
const OPENINGS: [&str; 3] = ["what did i say about", "search for", "look for"];

/// The step for an ask to search.
pub(super) fn steps(clause: &Clause) -> Vec<PlanStep> {
    let words = clause.words();
    let opening = OPENINGS.iter().find_map(|opening| {
        let at = clause.lower.find(opening)?;
        Some(&clause.lower[at + opening.len()..])
    });
    let place = words.iter().position(|word| PLACES.contains(word));
    let verb = words.iter().position(|word| matches!(*word, "search" | "find" | "look"));
    let query = match (clause.quoted, opening, verb, place) {
        (Some(quoted), Some(_), ..) | (Some(quoted), _, Some(_), Some(_)) => quoted.trim().to_owned(),
        (None, Some(rest), ..) => without_place(&rest.split_whitespace().map(bare).collect::<Vec<_>>()),
        (None, None, Some(verb), Some(_)) => without_place(&words[verb + 1..]),
        _ => return Vec::new(),
    };
    if query.is_empty() {
        return Vec::new();
    }
    vec![PlanStep::new("search_threads", Ask::Search, [("query", query.into())])]
}

/// The words to search for: what is left without "in my threads" and without "for", "about".
fn without_place(words: &[&str]) -> String {
    let mut words = words.to_vec();
    if let Some(place) = words.iter().position(|word| PLACES.contains(word)) {
        let inner = |word: &&&str| matches!(**word, "in" | "my" | "all" | "the" | "");
        let before = words[..place].iter().rev().take_while(inner).count();
        words.drain(place - before..=place);
    }
    let filler = |word: &&&str| matches!(**word, "for" | "about" | "and" | "then" | "");
    let skipped = words.iter().take_while(filler).count();
    let trailing = words[skipped..].iter().rev().take_while(filler).count();
    words[skipped..words.len() - trailing].join(" ")
}
