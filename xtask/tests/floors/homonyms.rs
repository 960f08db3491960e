//! No two public types of one name in one crate: a reader who looks one up must find one.

use std::collections::BTreeMap;

use crate::paths::tokens;
use crate::{Source, assert_none, sources_of};

const CRATES: [&str; 11] = [
    "protocol",
    "client",
    "agents",
    "model",
    "server",
    "testkit",
    "faultproxy",
    "judge",
    "cli",
    "bench",
    "fuzzing",
];

/// Every name of a public type that is given more than once, with the places.
fn homonyms(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        for three in tokens(source).windows(3) {
            let [public, kind, name] = three else { continue };
            let is_type = ["struct", "enum", "union", "trait", "type"].contains(&kind.text.as_str());
            // A macro that makes types has no name there.
            let is_named = name.text != "$";
            if public.text == "pub" && is_type && is_named && !name.in_tests() {
                places.entry(name.text.clone()).or_default().push(format!("{}:{}", source.file, name.line));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[test]
fn no_two_public_types_of_a_crate_have_one_name() {
    let mut wrong = Vec::new();
    for name in CRATES {
        let found = homonyms(&sources_of(name));
        wrong.extend(
            found.iter().map(|(word, places)| format!("{name}: `{word}` is {}", places.join(" and "))),
        );
    }
    assert_none(&wrong);
}

#[test]
fn a_planted_homonym_is_found() {
    let planted = [
        Source::planted("a.rs", "pub struct Order; pub struct Kind; struct Place;"),
        Source::planted("b.rs", "pub enum Order { A } struct Kind; pub type Place = u8;"),
        Source::planted("c.rs", "mod tests { pub struct Place; } pub(crate) struct Kind; // pub struct Kind"),
        Source::planted("d.rs", "macro_rules! m { () => { pub enum $name {} pub enum $other {} } }"),
    ];
    let found = homonyms(&planted);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Order"]);
    assert_eq!(found["Order"], ["a.rs:1", "b.rs:1"]);
}
