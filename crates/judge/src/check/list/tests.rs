//! The list as a whole: its names, its sentences, its page in the docs.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use super::CHECKS;
use crate::check::{Check, FAULTS};

/// The page of all checks.
fn page() -> String {
    let mut page = String::from(
        "# The checks\n\nWhat `wireproof check` puts to the test. Each promise is normative: a server either keeps it or breaks it. The bug is \
         what is switched\non in the kit's own server to show that the check fails when it must; `wireproof check --prove` does so for all of \
         them.\n",
    );
    let mut group = "";
    for check in CHECKS.iter() {
        let (name, _) = check.id.split_once('.').unwrap();
        if name != group {
            group = name;
            write!(page, "\n## {name}\n\n| check | promise | broken, it is | bug that it catches |\n|---|---|---|---|\n").unwrap();
        }
        let severity = format!("{:?}", check.severity).to_lowercase();
        let sentence = check.sentence.replace('|', "\\|");
        writeln!(page, "| `{}` | {sentence} | {severity} | `{}` |", check.id, check.bug).unwrap();
    }
    page
}

#[test]
fn the_page_in_the_docs_is_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks.md");
    let text = page();
    if std::env::var_os("WIREPROOF_UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/checks.md is not the list; write it anew with\n    \
         WIREPROOF_UPDATE=1 cargo nextest run -p wireproof-judge the_page_in_the_docs"
    );
}

#[test]
fn every_check_has_a_name_a_bug_and_a_sentence_of_its_own() {
    assert!(CHECKS.len() >= 60, "{}", CHECKS.len());
    let single = |take: fn(&Check) -> &'static str| {
        let all: BTreeSet<&str> = CHECKS.iter().map(|check| take(check)).collect();
        assert_eq!(all.len(), CHECKS.len());
    };
    single(|check| check.id);
    single(|check| check.bug);
    single(|check| check.sentence);
    for check in CHECKS.iter() {
        assert!(check.sentence.ends_with('.') && !check.sentence.contains('\n'), "{}", check.id);
        assert!(check.id.split('.').count() == 2, "{}", check.id);
    }
}

#[test]
fn every_check_has_its_fault_in_the_table_and_every_fault_a_check() {
    let there: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    let named: BTreeSet<&str> = CHECKS.iter().map(|check| check.bug).collect();
    assert_eq!(there.len(), FAULTS.len(), "a name stands twice");
    assert_eq!(there, named);
}
