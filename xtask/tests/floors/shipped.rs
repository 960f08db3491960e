//! What ships has no bugs to switch on.

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
fn the_program_is_built_without_sabotage_unless_asked() {
    assert!(!features(&[]).contains("sabotage"), "{}", features(&[]));
    assert!(features(&["--features", "sabotage"]).contains("wireproof-server feature \"sabotage\""));
}
