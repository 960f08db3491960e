//! `wireproof check` from outside: its reports for people, programs, CI and browsers, and what a wrong call is told.

mod browser;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::tempdir;
use tokio::process::Command;

use crate::{
    clients::{SET_UP, tool},
    process::{Ended, Server, finish, finish_within, run, wireproof},
};

/// Longer than the checks take on a busy machine.
const JUDGING: std::time::Duration = std::time::Duration::from_secs(100);

/// A profile that promises what no server keeps: one of its checks must fail, with signs in its sentence that XML and
/// HTML could trip over.
fn impossible(folder: &Path) -> Result<String> {
    let profile = include_str!("../../../judge/profiles/wireproof.toml");
    let promised = profile.replace("agent_started = [", "agent_started = [\"<b>&\\u0001]]>\", ");
    ensure!(promised != profile, "the shipped profile has no required fields of agent_started");
    let path = folder.join("impossible.toml");
    std::fs::write(&path, promised)?;
    Ok(path.display().to_string())
}

/// Judges a server of its own by a profile with a promise that is not kept; gives the folder's reports.
async fn judged(folder: &Path) -> Result<Ended> {
    let data = folder.join("data");
    let server = Server::start(&data).await?;
    let profile = impossible(folder)?;
    let mut command =
        wireproof(["check", &server.url, "--profile", &profile, "--only", "connect,events", "--seed", "7"]);
    command.arg("--data-dir").arg(&data);
    for (flag, name) in [("--json", "report.json"), ("--junit", "report.xml"), ("--html", "report.html")] {
        command.arg(flag).arg(folder.join(name));
    }
    finish_within(command, JUDGING).await
}

/// Runs a line of Python and gives what it printed.
async fn python(code: &str, argument: &Path) -> Result<String> {
    let mut command = Command::new(tool("WIREPROOF_PYTHON")?);
    command.args(["-c", code]).arg(argument).kill_on_drop(true);
    let ended = finish(command).await.context(SET_UP)?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    Ok(ended.stdout.trim().to_owned())
}

#[tokio::test]
async fn one_result_is_told_in_every_form() -> Result<()> {
    let folder = tempdir()?;
    let ended = judged(folder.path()).await?;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("FAIL  events.required_fields"), "{}", ended.stdout);
    let replay =
        ended.stdout.lines().find(|line| line.trim_start().starts_with("replay")).unwrap_or_default();
    assert!(replay.contains("--only events.required_fields") && replay.ends_with("--seed 0x7"), "{replay}");

    let report = std::fs::read_to_string(folder.path().join("report.json"))?;
    let report: Value = serde_json::from_str(&report)?;
    let schema: Value = serde_json::from_str(include_str!("../../../../docs/schema/report.json"))?;
    let errors: Vec<String> =
        jsonschema::validator_for(&schema)?.iter_errors(&report).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let count = |verdict: &str| {
        report["checks"].as_array().into_iter().flatten().filter(|check| check["verdict"] == verdict).count()
    };
    assert_eq!(count("fail"), 1, "{report}");
    // Fault: a leak of a check that ran beside another was replayed alone, and passed.
    let failed = report["checks"].as_array().into_iter().flatten().find(|check| check["verdict"] == "fail");
    let beside: Vec<&str> = failed
        .and_then(|check| check["beside"].as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert!(!beside.is_empty() && beside.iter().all(|id| replay.contains(id)), "{beside:?} in {replay}");

    let counted = "import sys, xml.etree.ElementTree as t\nr = t.parse(sys.argv[1]).getroot()\nprint(len(list(r.iter('testcase'))), len(list(r.iter('failure'))), len(list(r.iter('skipped'))))";
    let told = python(counted, &folder.path().join("report.xml")).await?;
    let all = report["checks"].as_array().map_or(0, Vec::len);
    assert_eq!(told, format!("{all} 1 {}", count("not_done")));

    let seen = browser::look(&folder.path().join("report.html")).await?;
    assert!(seen.complaints.is_empty(), "the browser complains: {:?}", seen.complaints);
    assert!(seen.page.contains("events.required_fields"), "{}", seen.page);
    assert!(seen.page.contains("&lt;b&gt;&amp;"), "a text became markup: {}", seen.page);
    assert!(seen.page.contains("<svg"), "there is no picture");
    Ok(())
}

#[tokio::test]
async fn the_seed_and_the_only_of_a_report_judge_the_same_again() -> Result<()> {
    let folder = tempdir()?;
    let first = judged(folder.path()).await?;
    let replay =
        first.stdout.lines().find_map(|line| line.trim().strip_prefix("replay")).context("no replay")?;
    // The server is another one by now; its address is all that differs.
    let data = folder.path().join("data");
    let server = Server::start(&data).await?;
    let mut words: Vec<String> = replay.split_whitespace().skip(1).map(str::to_owned).collect();
    words[1] = server.url.clone();
    let again = run(words).await?;
    assert_eq!(again.code, Some(1), "{}{}", again.stdout, again.stderr);
    assert!(again.stdout.contains(" 1 failed"), "{}", again.stdout);
    Ok(())
}

#[tokio::test]
async fn annotations_are_lines_of_the_runner() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    let server = Server::start(&data).await?;
    let profile = impossible(folder.path())?;
    let mut command = wireproof([
        "check",
        &server.url,
        "--profile",
        &profile,
        "--only",
        "events.required_fields",
        "--github",
    ]);
    command.arg("--data-dir").arg(&data);
    let ended = finish(command).await?;
    let lines: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("::error title=wireproof events")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stdout);
    assert!(lines[0].contains("%0Aseen: "), "{}", lines[0]);
    Ok(())
}

/// A server whose error held a line break and a command gave orders to the runner; and only GITHUB_ACTIONS=true was
/// understood, any other value ended the program.
#[tokio::test]
async fn the_runner_takes_no_orders_from_a_judged_server() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    for (value, is_on) in [("true", true), ("1", true), ("", false), ("false", false)] {
        let mut command = wireproof(["check", &server.url, "--only", "connect.welcome_first"]);
        command.arg("--data-dir").arg(folder.path()).env("GITHUB_ACTIONS", value);
        let ended = finish(command).await?;
        assert_eq!(ended.code, Some(0), "{value:?}: {}", ended.stderr);
        let lines: Vec<&str> = ended.stdout.lines().collect();
        let quiet = lines[0].strip_prefix("::stop-commands::");
        assert_eq!(quiet.is_some(), is_on, "{value:?}: {}", ended.stdout);
        if let Some(quiet) = quiet {
            let end = format!("::{quiet}::");
            let end = lines.iter().position(|line| *line == end).context("commands are never taken again")?;
            assert!(lines[..end].iter().any(|line| line.starts_with("1 checks")), "{}", ended.stdout);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_call_is_told_what_is_wrong() -> Result<()> {
    for (arguments, sentence) in [
        (vec!["check", "--embedded", "--only", "nothing.there"], "wireproof check --list"),
        (vec!["check", "ws://127.0.0.1:1", "--profile", "no_such_profile"], "no profile"),
        (vec!["check", "127.0.0.1:1"], "ws://"),
        (vec!["check"], "--embedded"),
        (vec!["check", "--self-test", "--seeds", "many"], "--seeds"),
    ] {
        let ended = run(arguments.clone()).await?;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{arguments:?}: {}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_tested_is_explained_and_fails_only_when_strict() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    let server = Server::start(&data).await?;
    let check = |more: &[&str]| {
        let mut command =
            wireproof(["check", &server.url, "--only", "connect.welcome_first,auth.wrong_audience"]);
        command.args(more).arg("--data-dir").arg(&data);
        finish(command)
    };
    let explained = check(&["--explain"]).await?;
    assert!(explained.stdout.contains("asks for no audience"), "{}", explained.stdout);
    assert!(explained.stdout.contains("1 of 2 checks can be done"), "{}", explained.stdout);
    let done = check(&[]).await?;
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("not done auth.wrong_audience"), "{}", done.stdout);
    assert_eq!(check(&["--strict"]).await?.code, Some(1));
    Ok(())
}

/// A resume on an open connection was once taken for events that came twice: what a check does on purpose is in its
/// record.
#[tokio::test]
async fn the_record_of_a_sound_server_is_clean_offline_too() -> Result<()> {
    let folder = tempdir()?;
    let record = folder.path().join("history.jsonl").display().to_string();
    let arguments =
        ["check", "--embedded", "--quick", "--only", "events,order,resume,isolation", "--record", &record];
    let judged = finish_within(wireproof(arguments), JUDGING).await?;
    assert_eq!(judged.code, Some(0), "{}{}", judged.stdout, judged.stderr);
    let verified = run(["verify", record.as_str()]).await?;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("violations: 0 of "), "{}", verified.stdout);
    Ok(())
}
