//! The commands that end by themselves: their output, and the exit code that says how it went.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
    time::{Instant, sleep_until, timeout},
};
use wireproof_protocol::{CRITICAL_EVENTS, Event, EventBody, Incoming, parse_incoming};

use crate::{
    history::fold,
    process::{Server, WITHIN, finish, run, token, wireproof},
};

/// A port that no server ever has.
const CLOSED: &str = "ws://127.0.0.1:1/ws";

struct Chats {
    folder: TempDir,
    server: Server,
    token: String,
}

impl Chats {
    async fn start() -> Result<Self> {
        let folder = tempdir()?;
        let server = Server::start(folder.path()).await?;
        let token = token(folder.path(), "ada").await?;
        Ok(Self { folder, server, token })
    }

    fn chat(&self, arguments: &[&str]) -> Command {
        let mut command = wireproof(["chat", "--url", &self.server.url, "--token", &self.token]);
        command.args(arguments);
        command
    }
}

/// The events among the raw lines of `chat --json`, each of which must be a frame of the protocol.
fn events(lines: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for line in lines.lines() {
        match parse_incoming(line).with_context(|| format!("the line {line}"))? {
            Incoming::Event(event) => events.push(*event),
            Incoming::Control(_) => {}
            Incoming::Unknown(value) => anyhow::bail!("no frame of the protocol: {value}"),
        }
    }
    Ok(events)
}

/// The five in the text, each behind the one before.
fn assert_in_order(shown: &str) {
    let mut rest = shown;
    for name in CRITICAL_EVENTS {
        let Some((_, after)) = rest.split_once(name) else {
            panic!("{name} is missing in its place:\n{shown}")
        };
        rest = after;
    }
}

#[tokio::test]
async fn a_token_is_good_before_the_first_serve_and_until_it_expires() -> Result<()> {
    let folder = tempdir()?;
    let data_dir = folder.path().join("not-made-yet");
    let long = token(&data_dir, "ada").await?;
    let mut command = wireproof(["token", "--user", "ada", "--ttl", "1s", "--data-dir"]);
    command.arg(&data_dir);
    let short = finish(command).await?.stdout.trim_end().to_owned();
    let expired_at = Instant::now() + Duration::from_secs(1);
    let server = Server::start(&data_dir).await?;
    let code = async |token: &str| {
        Ok::<_, anyhow::Error>(
            run(["chat", "--url", &server.url, "--token", token, "What is 2+2?"]).await?.code,
        )
    };
    assert_eq!(code(&long).await?, Some(0));
    // The token's own life, not a wait for anything to happen.
    sleep_until(expired_at).await;
    assert_eq!(code(&short).await?, Some(4));
    assert_eq!(code(&long).await?, Some(0));
    for ttl in ["0s", "-1h", "soon"] {
        let ended = run(["token", "--user", "ada", &format!("--ttl={ttl}")]).await?;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ttl}: {}", ended.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn chat_shows_the_five_events_and_the_answer() -> Result<()> {
    let chats = Chats::start().await?;
    let ended = finish(chats.chat(&["What is 17*23, and how many words are in this sentence?"])).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_in_order(&ended.stdout);
    assert!(ended.stdout.contains("391") && ended.stdout.contains("11 words"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "colours in a pipe:\n{}", ended.stdout);
    Ok(())
}

#[tokio::test]
async fn chat_json_is_the_wire_line_by_line() -> Result<()> {
    let chats = Chats::start().await?;
    let ended = finish(chats.chat(&["--json", "What is 6*7?"])).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("{\"type\":\"connection_established\""), "{}", ended.stdout);
    let events = events(&ended.stdout)?;
    fold(&events)?;
    assert!(events.last().is_some_and(|event| matches!(event.body, EventBody::AgentCompleted { .. })));
    Ok(())
}

#[tokio::test]
async fn lines_of_stdin_are_a_conversation_in_one_thread() -> Result<()> {
    let chats = Chats::start().await?;
    let mut child = chats.chat(&["--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("a pipe to stdin")?;
    stdin.write_all(b"What is 6*7?\n\nSearch my threads for 6*7\n").await?;
    drop(stdin);
    let output = timeout(WITHIN, child.wait_with_output()).await??;
    assert_eq!(output.status.code(), Some(0));
    let events = events(&String::from_utf8(output.stdout)?)?;
    let state = fold(&events)?;
    ensure!(state.threads.len() == 1 && state.runs.len() == 2, "{state:?}");
    let thread = state.threads.keys().next().context("a thread")?.to_string();
    let more = finish(chats.chat(&["--json", "--thread", &thread, "What is 2+2?"])).await?;
    assert_eq!(more.code, Some(0), "{}", more.stderr);
    assert!(!more.stdout.contains("thread_created") && more.stdout.contains(&thread), "{}", more.stdout);
    Ok(())
}

/// The whole way: a client in a terminal, a server that dies under its run, and another one on the same folder.
#[tokio::test]
async fn chat_goes_on_where_it_was_when_the_server_is_killed_and_back() -> Result<()> {
    let Chats { folder, server, token } = Chats::start().await?;
    let mut command = wireproof(["chat", "--json", "--url", &server.url, "--token", &token]);
    let mut child = command.arg("Count from 1 to 100.").stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe from stdout")?).lines();
    let mut shown = String::new();
    while !shown.contains("message_delta") {
        let line = timeout(WITHIN, lines.next_line()).await??.context("the chat ended early")?;
        shown.extend([&line, "\n"]);
    }
    let address = server.address().to_owned();
    server.kill().await?;
    let mut command = wireproof(["serve", "--listen", &address, "--data-dir"]);
    command.arg(folder.path());
    let _server = Server::launch(command).await?;
    while let Some(line) = timeout(WITHIN, lines.next_line()).await?? {
        shown.extend([&line, "\n"]);
    }
    let status = timeout(WITHIN, child.wait()).await??;
    assert_eq!(status.code(), Some(1), "the run failed, and the exit code says so:\n{shown}");
    let events = events(&shown)?;
    fold(&events).context("nothing is missing, nothing comes twice")?;
    let last = events.last().context("an event")?;
    assert_eq!(last.body.name(), "agent_completed");
    Ok(())
}

#[tokio::test]
async fn exit_codes_tell_usage_from_no_server_from_a_refusal() -> Result<()> {
    let chats = Chats::start().await?;
    let url = chats.server.url.as_str();
    let web = TcpListener::bind("127.0.0.1:0").await?;
    let not_ours = format!("ws://{}/ws", web.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            // A client that leaves first is of no interest.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        }
    });
    let other = tempdir()?;
    let foreign = token(other.path(), "ada").await?;
    let too_long = "x".repeat(129);
    let no_name = ["--thread", &too_long];
    let too_much = "x".repeat(70_000);
    for (code, said, arguments) in [
        (3, "wireproof serve", vec!["chat", "--url", CLOSED, "--token", &chats.token, "hi"]),
        (3, "check the address", vec!["chat", "--url", &not_ours, "--token", &chats.token, "hi"]),
        (3, "wireproof serve", vec!["load", "--url", CLOSED, "--token", &chats.token, "-c", "2"]),
        (4, "wireproof token", vec!["chat", "--url", url, "--token", "nonsense", "hi"]),
        (4, "wireproof token", vec!["chat", "--url", url, "--token", &foreign, "hi"]),
        (4, "at most 65536", vec!["chat", "--url", url, "--token", &chats.token, &too_much]),
        (2, "--thread", [&["chat", "--url", url, "--token", &chats.token, "hi"], &no_name[..]].concat()),
        (2, "ws://", vec!["chat", "--url", "http://127.0.0.1:1", "--token", &chats.token, "hi"]),
        (2, "--token", vec!["chat", "--url", url, "hi"]),
        (2, "--user", vec!["token"]),
        (2, "--user", vec!["token", "--user", ""]),
        (2, "--connections", vec!["load", "--connections", "0"]),
        (2, "--nonsense", vec!["serve", "--nonsense"]),
        (2, "nonsense", vec!["nonsense"]),
    ] {
        let ended = run(&arguments).await?;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {said:?} is missing in: {}", ended.stderr);
    }
    assert_eq!(run(["--version"]).await?.code, Some(0));
    assert!(run(["help"]).await?.stdout.contains("Exit codes: 0 fine"));
    Ok(())
}

#[tokio::test]
async fn the_demo_shows_the_five_events_and_that_nothing_was_lost() -> Result<()> {
    for (text, answer) in [(None, "17*23 = 391"), (Some("What is 6*7?"), "6*7 = 42")] {
        let ended = run(["demo"].into_iter().chain(text)).await?;
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        assert_in_order(&ended.stdout);
        assert!(ended.stdout.contains(answer), "{}", ended.stdout);
        assert!(
            ended.stdout.contains("socket killed") && ended.stdout.contains("resumed"),
            "{}",
            ended.stdout
        );
        assert!(
            ended.stdout.contains("Nothing lost, nothing twice, nothing out of order."),
            "{}",
            ended.stdout
        );
    }
    Ok(())
}
