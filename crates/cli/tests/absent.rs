//! What a program that was built without a feature says to those who ask for it. `cargo xtask test --only absent`.
#![allow(clippy::unwrap_used)]
#![cfg(not(any(feature = "failpoints", feature = "otel")))]

use std::fs;
use std::process::Command;

use tempfile::tempdir;

/// The code that the program ended with, and all that it wrote.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wireproof"));
    let ended = command.args(arguments).env("WIREPROOF_LOG", "warn").output().unwrap();
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
}

#[test]
fn a_setting_of_a_feature_that_is_absent_ends_the_start_with_2_and_names_both() {
    let folder = tempdir().unwrap();
    let (file, data) = (folder.path().join("wireproof.toml"), folder.path().join("data"));
    fs::write(&file, "[otel]\nendpoint = 'http://127.0.0.1:4318'\n").unwrap();
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let (code, told) = run(&["serve", "--config", file, "--data-dir", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("otel.endpoint") && told.contains("without the feature otel"), "{told}");
}

#[test]
fn the_self_test_does_all_faults_but_those_inside_the_server_and_names_the_feature() {
    let (code, told) = run(&["check", "--self-test", "--only", "order.once,auth.revoked", "--seed", "1"]);
    assert_eq!(code, Some(0), "{told}");
    let sum = "1 checks caught their fault and passed without it, 0 did not, 1 not done";
    assert!(told.contains(sum) && told.contains("--features failpoints"), "{told}");
}

#[test]
fn the_version_names_no_feature() {
    let (code, told) = run(&["--version"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("features: none"), "{told}");
}
