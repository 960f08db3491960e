//! The files for service managers and containers: they name what is there, and the program takes what they say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::process::run;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| name.to_owned())
}

/// The flags of a command line are ones that `serve` has.
async fn serve_takes<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let help = run(["serve", "--help"]).await?.stdout;
    for flag in words.into_iter().filter(|word| word.starts_with("--")) {
        ensure!(help.contains(flag), "serve has no {flag}");
    }
    Ok(())
}

#[tokio::test]
async fn the_unit_starts_what_there_is_and_gives_it_little() -> Result<()> {
    let unit = read("packaging/wireproof.service")?;
    let settings: Vec<(&str, &str)> = unit
        .lines()
        .filter(|line| !line.starts_with(['#', '[']) && !line.is_empty())
        .map(|line| line.split_once('=').with_context(|| format!("{line:?} is no setting")))
        .collect::<Result<_>>()?;
    let of = |key: &str| settings.iter().rfind(|(name, _)| *name == key).map(|(_, value)| *value);
    for section in ["[Unit]", "[Service]", "[Install]"] {
        assert_eq!(unit.lines().filter(|line| *line == section).count(), 1, "{section}");
    }
    let start: Vec<_> = of("ExecStart").context("nothing is started")?.split(' ').collect();
    assert!(start[0].starts_with('/') && start[1] == "serve", "{start:?}");
    serve_takes(start).await?;
    assert!(of("User").is_some_and(|user| user != "root"));
    assert_eq!((of("UMask"), of("StateDirectoryMode")), (Some("0077"), Some("0700")));
    assert_eq!((of("CapabilityBoundingSet"), of("ProtectSystem")), (Some(""), Some("strict")));
    for key in
        ["NoNewPrivileges", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"]
    {
        assert_eq!(of(key), Some("yes"), "{key}");
    }
    // Without it the service manager kills a drain that goes its way.
    assert!(
        of("TimeoutStopSec").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 40))
    );
    Ok(())
}

#[tokio::test]
async fn the_container_copies_what_there_is_and_is_nobodys_root() -> Result<()> {
    let text = read("packaging/Containerfile")?.replace("\\\n", " ");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    let of = |word: &str| {
        let prefix = format!("{word} ");
        lines.iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::trim).collect::<Vec<_>>()
    };
    assert_eq!(of("FROM").len(), 2, "a stage that builds, and one that runs");
    for copied in of("COPY").into_iter().filter(|copied| !copied.starts_with("--from")) {
        let mut words: Vec<_> = copied.split_whitespace().collect();
        words.pop();
        for source in words {
            ensure!(root().join(source).exists(), "{source} is copied and not there");
        }
    }
    // All that the workspace is made of is copied, or the build stops at the first missing member.
    for member in ["crates", "xtask"] {
        assert!(of("COPY").iter().any(|copied| copied.starts_with(member)), "{member} is missing");
    }
    let user = of("USER");
    assert!(user.last().is_some_and(|user| user.parse::<u32>().is_ok_and(|user| user > 0)), "{user:?}");
    assert!(of("HEALTHCHECK").first().is_some_and(|check| check.contains("/health")));
    let command: Vec<String> = serde_json::from_str(of("CMD").last().context("no command")?)?;
    assert_eq!(command.first().map(String::as_str), Some("serve"));
    serve_takes(command.iter().map(String::as_str)).await
}
