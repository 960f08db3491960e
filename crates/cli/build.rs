//! What `--version` says: the commit, where it is known, and the features of the build.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=WIREPROOF_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let commit = commit().map_or_else(|| "commit unknown".to_owned(), |commit| format!("commit {commit}"));
    let mut features: Vec<String> = env::vars()
        .filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-")))
        .filter(|feature| feature != "default")
        .collect();
    features.sort();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(" ") };
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo:rustc-env=WIREPROOF_VERSION={version} ({commit}, features: {features})");
}

/// The one that is named in WIREPROOF_COMMIT, or the one of the work tree. A debug build asks git nothing: it would be built
/// anew after each commit.
fn commit() -> Option<String> {
    if let Some(named) = env::var("WIREPROOF_COMMIT").ok().filter(|named| !named.is_empty()) {
        return Some(named);
    }
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return None;
    }
    // A source tree inside somebody else's repository would name a commit that is not ours.
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").ok()?).join("../..");
    if !root.join(".git").exists() {
        return None;
    }
    let log = git(&root, &["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo:rerun-if-changed={}", root.join(log).display());
    git(&root, &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

/// What git answers; nothing where there is no git.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
