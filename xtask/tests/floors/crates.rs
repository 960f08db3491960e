//! The order of the crates: each depends on lower ones only, and the protocol on nothing that does I/O.

use std::process::Command;

use serde_json::Value;

use crate::pure::OUTSIDE;
use crate::{assert_none, root};

/// From the lowest up. A crate depends on those of lower rows only; `xtask` on none of them.
const ORDER: [&[&str]; 5] = [
    &["xtask", "wireproof-protocol"],
    &["wireproof-client", "wireproof-agents"],
    &["wireproof-server"],
    &["wireproof-testkit"],
    &["wireproof", "wireproof-bench", "wireproof-fuzzing"],
];

fn row_of(name: &str) -> Option<usize> {
    ORDER.iter().position(|names| names.contains(&name))
}

/// Every package with the names of what it depends on, for building and testing too.
fn packages() -> Vec<(String, Vec<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(name).collect()))
        .collect()
}

fn violations(packages: &[(String, Vec<String>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, dependencies) in packages {
        let Some(row) = row_of(name) else {
            found.push(format!("crate {name} has no place in the order of the crates"));
            continue;
        };
        for dependency in dependencies {
            if row_of(dependency).is_some_and(|other| other >= row) {
                found.push(format!("crate {name} depends on {dependency}, which is not below it"));
            }
            let crate_name = dependency.replace('-', "_");
            if name == "wireproof-protocol" && OUTSIDE.contains(&crate_name.as_str()) {
                found.push(format!("the protocol depends on {dependency}: it does no I/O"));
            }
        }
    }
    found
}

#[test]
fn crates_depend_on_lower_ones_only() {
    let packages = packages();
    assert!(packages.iter().any(|(name, _)| name == "wireproof-server"), "{packages:?}");
    assert_none(&violations(&packages));
}

#[test]
fn a_planted_violation_is_found() {
    for (name, dependency) in [
        ("wireproof-server", "wireproof-testkit"),
        ("wireproof-client", "wireproof-agents"),
        ("wireproof-protocol", "tokio"),
        ("wireproof-protocol", "tokio-tungstenite"),
        ("wireproof-new", "serde"),
    ] {
        let planted = [(name.to_owned(), vec![dependency.to_owned()])];
        assert_eq!(violations(&planted).len(), 1, "{name} -> {dependency}");
    }
    let allowed = [("wireproof".to_owned(), vec!["wireproof-server".to_owned(), "tokio".to_owned()])];
    assert_none(&violations(&allowed));
}
