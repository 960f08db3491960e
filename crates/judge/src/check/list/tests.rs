//! The list as a whole: its names, its sentences, its page in the docs.

use std::{collections::BTreeSet, fmt::Write};

use super::CHECKS;
use crate::check::{Check, FAULTS};

/// The page of all checks.
fn page() -> String {
    let mut page = String::from(
        "# The checks\n\nWhat `wireproof check` puts to the test. Each promise is normative: a server either keeps it or breaks it. The fault is \
         what the kit's\nown server is given to show that the check fails when it must; `wireproof check --self-test` does so for all of \
         them.\n",
    );
    let mut group = "";
    for check in CHECKS.iter() {
        let (name, _) = check.id.split_once('.').unwrap();
        if name != group {
            group = name;
            write!(page, "\n## {name}\n\n| check | promise | broken, it is | fault that it catches |\n|---|---|---|---|\n").unwrap();
        }
        let severity = format!("{:?}", check.severity).to_lowercase();
        let sentence = check.sentence.replace('|', "\\|");
        writeln!(page, "| `{}` | {sentence} | {severity} | `{}` |", check.id, check.fault_name).unwrap();
    }
    page
}

/// The page of the self-test. What was measured stays with the rows whose check, fault and source are still the same.
fn matrix(kept: &str) -> String {
    let mut page = String::from(
        "# Can the checks fail? The matrix\n\nEvery check against the sound server and against the one with its fault, as `check --self-test` \
         shows it. The source says what makes the\nfault ([decision 9](decisions/0009-faults-outside-the-server.md)). \"Seeds\" are runs with many \
         seeds, fault caught and sound server passed\nalike. The last column has the other quick checks that the fault makes fail: one run with `--matrix` and seed 1, on a busy \
         machine, where\na check that measures rates or times may fail by chance. The first three columns are written by a test, the \
         others by whoever measures.\n\n`performance.nodelay` needs a machine \
         that is not saturated.\n\n| check | fault | source | caught | sound | seeds | caught as well by |\n|---|---|---|---|---|---|---|\n",
    );
    for check in CHECKS.iter() {
        let row = format!("| `{}` | `{}` | {} |", check.id, check.fault_name, check.fault().source.name());
        let measured = kept.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or("  |  |  |  |");
        writeln!(page, "{row}{measured}").unwrap();
    }
    page
}

#[test]
fn the_page_of_the_checks_is_generated() {
    wireproof_generated::file(env!("CARGO_PKG_NAME"), "docs/checks.md", |_| page());
}

#[test]
fn the_matrix_of_the_self_test_is_generated() {
    wireproof_generated::file(env!("CARGO_PKG_NAME"), "docs/check-matrix.md", matrix);
}

#[test]
fn every_check_has_a_name_a_bug_and_a_sentence_of_its_own() {
    assert!(CHECKS.len() >= 60, "{}", CHECKS.len());
    let single = |take: fn(&'static Check) -> &'static str| {
        let all: BTreeSet<&str> = CHECKS.iter().map(|check| take(check)).collect();
        assert_eq!(all.len(), CHECKS.len());
    };
    single(|check| &check.id);
    single(|check| check.fault_name);
    single(|check| check.sentence);
    for check in CHECKS.iter() {
        assert!(check.sentence.ends_with('.') && !check.sentence.contains('\n'), "{}", check.id);
        assert!(check.id.split('.').count() == 2, "{}", check.id);
    }
}

#[test]
fn every_check_has_its_fault_in_the_table_and_every_fault_a_check() {
    let there: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    let named: BTreeSet<&str> = CHECKS.iter().map(|check| check.fault_name).collect();
    assert_eq!(there.len(), FAULTS.len(), "a name stands twice");
    assert_eq!(there, named);
}
