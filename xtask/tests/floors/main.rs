//! Keeps the floors of docs/architecture.md true: imports point down only, and pure rooms stay pure.
#![allow(clippy::unwrap_used, reason = "every line here is a test's")]

mod crates;
mod homonyms;
mod kit;
mod paths;
mod pure;
mod server;
mod shipped;

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust source file: where it is, which module it is, and what it holds.
struct Source {
    file: String,
    module: Vec<String>,
    text: String,
}

impl Source {
    /// A file that exists in a test only, such as `store/embedded.rs`.
    fn planted(file: &str, text: &str) -> Source {
        Source { file: file.to_owned(), module: module_of(Path::new(file)), text: text.to_owned() }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace").to_owned()
}

/// The sources of a crate, from its `src`. There is at least one.
fn sources_of(name: &str) -> Vec<Source> {
    let folder = root().join("crates").join(name).join("src");
    let mut sources = Vec::new();
    collect(&folder, &folder, &mut sources);
    assert!(!sources.is_empty(), "no sources in {}", folder.display());
    sources
}

fn collect(src: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(src, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root()).unwrap().display().to_string();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            sources.push(Source { file, module: module_of(path.strip_prefix(src).unwrap()), text });
        }
    }
}

/// `delivery/replay.rs` is the module `delivery::replay`; `lib.rs` is the crate's root.
fn module_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names == ["lib"] || names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    names
}

/// Fails with one line a violation.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}
