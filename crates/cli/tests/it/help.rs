//! What the program says of itself: its version, scripts for shells, and manual pages.

use std::fs;

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;
use tokio::process::Command;

use crate::process::{finish, run};

#[tokio::test]
async fn the_version_names_the_commit_and_the_features() -> Result<()> {
    let ended = run(["--version"]).await?;
    let version = ended.stdout.trim_end();
    let built = version.strip_prefix(concat!("wireproof ", env!("CARGO_PKG_VERSION"), " (commit "));
    let (commit, features) = built
        .and_then(|built| built.strip_suffix(')'))
        .and_then(|built| built.split_once(", features: "))
        .with_context(|| format!("another version than we build: {version}"))?;
    assert!(!commit.is_empty() && !commit.contains(' '), "{version}");
    assert_eq!(features.split(' ').any(|name| name == "otel"), cfg!(feature = "otel"), "{version}");
    assert_eq!(run(["-V"]).await?.stdout, concat!("wireproof ", env!("CARGO_PKG_VERSION"), "\n"));
    Ok(())
}

#[tokio::test]
async fn bash_completes_a_command_and_its_flags() -> Result<()> {
    let folder = tempdir()?;
    let script = folder.path().join("wireproof.bash");
    fs::write(&script, run(["completions", "bash"]).await?.stdout)?;
    for (typed, offered) in [("wireproof re", "restore"), ("wireproof serve --da", "--data-dir")] {
        let words: Vec<&str> = typed.split(' ').collect();
        let (last, before) = (words.last().context("a word")?, words[words.len() - 2]);
        let mut bash = Command::new("bash");
        bash.arg("-euc").arg(format!(
            "source {}; COMP_WORDS=({typed}); COMP_CWORD={}; COMPREPLY=(); \
             _wireproof wireproof {last} {before}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len() - 1,
        ));
        let ended = finish(bash).await?;
        ensure!(
            ended.stdout.lines().any(|line| line == offered),
            "{typed}: {} {}",
            ended.stdout,
            ended.stderr
        );
    }
    for shell in ["zsh", "fish"] {
        ensure!(run(["completions", shell]).await?.stdout.contains("restore"), "{shell}");
    }
    assert_eq!(run(["completions", "cmd.exe"]).await?.code, Some(2));
    Ok(())
}

#[tokio::test]
async fn every_command_has_a_manual_page() -> Result<()> {
    let folder = tempdir()?;
    let path = folder.path().to_str().context("a path in UTF-8")?;
    assert_eq!(run(["man", "--to", path]).await?.code, Some(0));
    let help = run(["help"]).await?.stdout;
    let listed = help.split_once("Commands:").and_then(|(_, rest)| rest.split_once("\n\n"));
    let commands = listed.context("a list of commands")?.0.lines();
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(names.contains(&"serve"), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = fs::read_to_string(folder.path().join(format!("wireproof-{name}.1")))?;
        ensure!(page.contains(&format!(".TH wireproof-{name} 1")), "{name}: {page}");
        ensure!(page.contains("Exit codes"), "{name} does not say how it ends");
        assert_eq!(run(["man", name]).await?.stdout, page, "{name}");
    }
    ensure!(folder.path().join("wireproof.1").exists(), "the program has no page");
    assert_eq!(run(["man", "nonsense"]).await?.code, Some(2));
    Ok(())
}
