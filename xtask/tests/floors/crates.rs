//! The order of the crates: each depends on lower ones only, and the protocol on nothing that does I/O.

use std::process::Command;

use serde_json::Value;

use crate::pure::OUTSIDE;
use crate::{assert_none, root};

/// From the lowest up. A crate depends on those of lower rows only; `xtask` on none of them. What is built for tests only
/// counts as well, but in [`TEST_EACH_OTHER`].
const ORDER: [&[&str]; 7] = [
    &["xtask", "wireproof-generated"],
    &["wireproof-protocol"],
    &["wireproof-client", "wireproof-agents"],
    &["wireproof-server", "wireproof-model"],
    &["wireproof-testkit", "wireproof-faultproxy"],
    &["wireproof-judge"],
    &["wireproof", "wireproof-bench", "wireproof-fuzzing"],
];

/// Their tests may use each other, and their own crate with other features.
const TEST_EACH_OTHER: [&str; 3] = ["wireproof-testkit", "wireproof-faultproxy", "wireproof-judge"];

/// What a package depends on, and whether only its tests do.
type Dependency = (String, bool);

fn row_of(name: &str) -> Option<usize> {
    ORDER.iter().position(|names| names.contains(&name))
}

/// Every package with the names of what it depends on, for building and testing too.
fn packages() -> Vec<(String, Vec<Dependency>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let dependency = |value: &Value| (name(value), value["kind"] == "dev");
    packages
        .iter()
        .map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(dependency).collect()))
        .collect()
}

fn violations(packages: &[(String, Vec<Dependency>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, dependencies) in packages {
        let Some(row) = row_of(name) else {
            found.push(format!("crate {name} has no place in the order of the crates"));
            continue;
        };
        for (dependency, for_tests) in dependencies {
            let both = [name, dependency];
            if *for_tests && both.iter().all(|name| TEST_EACH_OTHER.contains(&name.as_str())) {
                continue;
            }
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
    let planted = |name: &str, dependency: &str, for_tests: bool| {
        [(name.to_owned(), vec![(dependency.to_owned(), for_tests)])]
    };
    for (name, dependency, for_tests) in [
        ("wireproof-server", "wireproof-testkit", true),
        ("wireproof-testkit", "wireproof-judge", false),
        ("wireproof-faultproxy", "wireproof-testkit", false),
        ("wireproof-client", "wireproof-agents", false),
        ("wireproof-protocol", "tokio", false),
        ("wireproof-protocol", "tokio-tungstenite", true),
        ("wireproof-new", "serde", false),
    ] {
        assert_eq!(violations(&planted(name, dependency, for_tests)).len(), 1, "{name} -> {dependency}");
    }
    for (name, dependency, for_tests) in [
        ("wireproof", "wireproof-server", false),
        ("wireproof", "tokio", false),
        ("wireproof-faultproxy", "wireproof-testkit", true),
    ] {
        assert_none(&violations(&planted(name, dependency, for_tests)));
    }
}
