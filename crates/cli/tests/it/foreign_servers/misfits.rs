//! A profile with one wrong key, before a sound server: the first look stops with its name.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;

use super::{SECRET, process::Foreign};
use crate::process::{Server, finish, wireproof};

/// How long a wrong key may take to be named.
const NAMED: Duration = Duration::from_secs(3);

const OWN: &str = include_str!("../../../../judge/profiles/wireproof.toml");
const REFERENCE: &str = include_str!("../../../../judge/profiles/reference.toml");

/// A line of a profile, what it is made, and what the sentence must say.
type Row = (&'static str, &'static str, &'static str);

async fn each_is_named(profile: &str, url: &str, credentials: &[&str], rows: &[Row]) -> Result<()> {
    let folder = tempdir()?;
    for (line, wrong, word) in rows {
        let path = folder.path().join("mine.toml");
        ensure!(profile.contains(line), "the profile has no {line}");
        std::fs::write(&path, profile.replace(line, wrong))?;
        is_named(&path, url, credentials, word).await.with_context(|| format!("{wrong} for {line}"))?;
    }
    Ok(())
}

async fn is_named(profile: &Path, url: &str, credentials: &[&str], word: &str) -> Result<()> {
    let mut command = wireproof(["check", url, "--quick", "--profile"]);
    command.arg(profile).args(credentials);
    let began = Instant::now();
    let ended = finish(command).await?;
    let took = began.elapsed();
    ensure!(
        matches!(ended.code, Some(2..=4)),
        "exit code {:?}: {}{}",
        ended.code,
        ended.stdout,
        ended.stderr
    );
    ensure!(ended.stderr.contains(word), "{word:?} is not in: {}", ended.stderr);
    ensure!(ended.stdout.is_empty(), "something was checked: {}", ended.stdout);
    ensure!(took < NAMED, "it took {took:.1?}");
    Ok(())
}

/// One wrong key was 40 failures of a minute in all, each of them blamed on the server.
#[tokio::test]
async fn heavy_a_wrong_key_is_named_before_our_own_server() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let data = folder.path().to_str().context("a path")?;
    let address = server.url.trim_end_matches("/ws").to_owned();
    let rows: &[Row] = &[
        ("path = \"/ws\"", "path = \"/sockets\"", "endpoint.path"),
        ("place = \"header\"", "place = \"query\"", "auth.place"),
        ("place = \"header\"", "", "auth.place"),
        ("ask = '{\"type\":\"chat\"", "ask = '{\"type\":\"talk\"", "messages.ask"),
        ("ask = '{\"type\":\"chat\",\"content\"", "ask = '{\"type\":\"chat\",\"words\"", "messages.ask"),
        ("ping = '{\"type\":\"ping\"", "ping = '{\"type\":\"are_you_there\"", "messages.ping"),
        ("pong = \"pong\"", "pong = \"gnip\"", "messages.pong"),
        ("welcome = [\"connection_established\"]", "welcome = [\"hello\"]", "events.welcome"),
        ("started = [\"agent_started\"]", "started = [\"begun\"]", "events.started"),
        ("completed = [\"agent_completed\"]", "completed = [\"over\"]", "events.completed"),
        ("kind = ", "kind = ", "fields.kind"),
        ("run = \"run_id\"", "run = \"run\"", "fields.run"),
        ("run_seq = \"run_seq\"", "run_seq = \"number\"", "fields.run_seq"),
        ("\nseq = \"seq\"", "\nseq = \"place\"", "fields.seq"),
        ("user = \"user_id\"", "user = \"sub\"", "fields.user"),
        ("thread = \"thread_id\"", "thread = \"chat\"", "fields.thread"),
        ("answer = \"final_response\"", "answer = \"said\"", "fields.answer"),
        ("outcome = \"outcome\"", "outcome = \"how\"", "fields.outcome"),
        ("request = \"id\"", "request = \"thread_id\"", "fields.request"),
        ("connection = \"connection_id\"", "connection = \"number\"", "fields.connection"),
        ("timestamp = \"timestamp\"", "timestamp = \"when\"", "fields.timestamp"),
    ];
    let profile = OWN.replace("[fields]", "[fields]\nkind = \"type\"");
    let rows: Vec<Row> = rows
        .iter()
        .map(|row| if row.2 == "fields.kind" { ("kind = \"type\"", "kind = \"what\"", row.2) } else { *row })
        .collect();
    each_is_named(&profile, &address, &["--data-dir", data], &rows).await
}

/// The same before an application that says nothing of what it does not know.
#[tokio::test]
async fn heavy_a_wrong_key_is_named_before_a_strangers_server() -> Result<()> {
    let server = Foreign::script("reference.py", ["--secret", SECRET]).await?;
    let folder = tempdir()?;
    let key = folder.path().join("key");
    std::fs::write(&key, SECRET)?;
    let address = server.url.trim_end_matches("/ws");
    each_is_named(
        REFERENCE,
        address,
        &["--secret-file", key.to_str().context("a path")?],
        &[
            ("path = \"/ws\"", "path = \"/nothing\"", "endpoint.path"),
            ("path = \"/ws\"", "transport = \"sse\"", "endpoint.transport"),
            ("place = \"header\"", "place = \"query\"", "auth.place"),
            ("ask = '{\"type\":\"chat\"", "ask = '{\"type\":\"talk\"", "messages.ask"),
            (
                "\"payload\":{\"content\":{text},\"thread_id\":{id}}",
                "\"payload\":{\"text\":{text},\"thread_id\":{id}}",
                "messages.ask",
            ),
            ("ping = '{\"type\":\"ping\"}'", "ping = '{\"type\":\"alive\"}'", "messages.ping"),
            ("pong = \"pong\"", "pong = \"gnop\"", "messages.pong"),
            ("started = [\"agent_started\"]", "started = [\"run_started\"]", "events.started"),
            (
                "completed = [\"agent_completed\", \"agent_error\", \"agent_failed\"]",
                "completed = [\"done\"]",
                "events.completed",
            ),
            ("\nrun = \"run_id\"", "\nrun = \"runid\"", "fields.run"),
            ("request = \"thread_id\"", "request = \"id\"", "fields.request"),
            ("\nthread = \"thread_id\"", "\nthread = \"thread\"", "fields.thread"),
            ("answer = \"final_response\"", "answer = \"response\"", "fields.answer"),
        ],
    )
    .await
}
