//! What ships has no failpoints to switch on.

use std::process::Command;

/// The features of the server in the program, as cargo resolves them.
fn features(more: &[&str]) -> String {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "-p", "wireproof", "-e", "normal,features", "-i", "wireproof-server"])
        .args(more);
    let told = tree.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn the_program_is_built_without_failpoints_unless_asked() {
    let feature = "feature \"failpoints\"";
    assert!(!features(&[]).contains(feature), "{}", features(&[]));
    assert!(features(&["--features", "failpoints"]).contains(&format!("wireproof-server {feature}")));
}
