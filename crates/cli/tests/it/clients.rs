//! Clients that are not ours: Python's `websockets`, Node's `ws`, and a browser. Each holds the same conversation.

pub(crate) mod browser;
mod fields;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tempfile::tempdir;
use tokio::{net::TcpListener, process::Command};
use wireproof_protocol::{CRITICAL_EVENTS, Incoming, SUBPROTOCOL, parse_incoming};

use crate::{
    history::{all_ended, fold},
    process::{Server, finish, serve, token},
};
use fields::assert_well_formed;

const USER: &str = "ada";
/// What to do when a tool is missing.
pub(crate) const SET_UP: &str = "`cargo xtask setup` installs what this test needs";

/// What a client got: the frames of its two connections, as they were on the wire.
#[derive(Deserialize)]
struct Conversation {
    /// The subprotocol that the server selected.
    protocol: Option<String>,
    first: Vec<String>,
    second: Vec<String>,
}

/// Runs a client's script, which prints its conversation.
async fn script(mut command: Command) -> Result<Conversation> {
    command.kill_on_drop(true);
    let ended = finish(command).await.context(SET_UP)?;
    ensure!(ended.code == Some(0), "the client failed ({SET_UP}):\n{}", ended.stderr);
    serde_json::from_str(&ended.stdout).with_context(|| format!("no conversation: {}", ended.stdout))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

pub(crate) fn tool(variable: &str) -> Result<OsString> {
    env::var_os(variable).with_context(|| format!("{variable} is not set; cargo sets it, and {SET_UP}"))
}

async fn python(shown_in: &str) -> Result<Conversation> {
    let (folder, python) = (tempdir()?, tool("WIREPROOF_PYTHON")?);
    let server = Server::start(folder.path()).await?;
    let mut command = Command::new(python);
    command.arg(scripts().join("talk.py")).args([&server.url, &token(folder.path(), USER).await?, shown_in]);
    script(command).await
}

#[tokio::test]
async fn python_websockets_with_the_token_in_a_header() -> Result<()> {
    let conversation = python("header").await?;
    assert_eq!(conversation.protocol, None, "none was offered");
    assert_right(&conversation)
}

#[tokio::test]
async fn python_websockets_with_the_token_in_a_subprotocol() -> Result<()> {
    let conversation = python("subprotocol").await?;
    assert_eq!(conversation.protocol.as_deref(), Some(SUBPROTOCOL));
    assert_right(&conversation)
}

#[tokio::test]
async fn node_ws_with_the_token_in_a_subprotocol() -> Result<()> {
    let (folder, modules) = (tempdir()?, tool("WIREPROOF_NODE_MODULES")?);
    let server = Server::start(folder.path()).await?;
    let mut command = Command::new("node");
    command.arg(scripts().join("node.mjs")).args([&server.url, &token(folder.path(), USER).await?]);
    command.env("WIREPROOF_NODE_MODULES", modules);
    let conversation = script(command).await?;
    assert_eq!(conversation.protocol.as_deref(), Some(SUBPROTOCOL));
    assert_right(&conversation)
}

#[tokio::test]
async fn a_page_in_chromium() -> Result<()> {
    let folder = tempdir()?;
    // The page is not the server's own: it is another origin, which the server has to be told of.
    let pages = TcpListener::bind("127.0.0.1:0").await?;
    let mut command = serve(folder.path());
    command.env("WIREPROOF_HTTP_ALLOWED_ORIGINS", format!("http://{}", pages.local_addr()?));
    let server = Server::launch(command).await?;
    let conversation = browser::converse(pages, &server.url, &token(folder.path(), USER).await?).await?;
    assert_eq!(conversation.protocol.as_deref(), Some(SUBPROTOCOL));
    assert_right(&conversation)
}

fn parsed(frames: &[String]) -> serde_json::Result<Vec<Value>> {
    frames.iter().map(|frame| serde_json::from_str(frame)).collect()
}

/// The whole conversation is as the protocol has it, whoever held it.
fn assert_right(conversation: &Conversation) -> Result<()> {
    let (first, second) = (parsed(&conversation.first)?, parsed(&conversation.second)?);
    for frame in first.iter().chain(&second) {
        assert_well_formed(frame, USER);
    }
    assert_eq!((&first[0]["type"], &first[0]["seq"]), (&"connection_established".into(), &0.into()));
    assert_eq!(first[0]["resumed"], false);
    let answered = first.iter().position(|frame| frame["type"] == "agent_completed").context("an answer")?;
    assert_answered(&first[..=answered]);
    assert_resumed(&first, &second);

    // No number is missing, none comes twice, and the runs obey their rules across the two connections.
    let mut events = Vec::new();
    for frame in conversation.first.iter().chain(&conversation.second) {
        if let Incoming::Event(event) = parse_incoming(frame)? {
            events.push(*event);
        }
    }
    all_ended(&fold(&events)?)
}

/// The five events in order, each tool with its result, and the right answer, once as pieces and once as a whole.
fn assert_answered(frames: &[Value]) {
    let of = |kind: &str| frames.iter().filter(|frame| frame["type"] == kind).collect::<Vec<_>>();
    let mut names: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    names.retain(|name| CRITICAL_EVENTS.contains(name));
    // Two asks in one message are two calls, which run at the same time.
    let [started, thinking, executing, completed, over] = CRITICAL_EVENTS;
    assert_eq!(names, [started, thinking, executing, executing, completed, completed, over]);
    for call in of(executing) {
        let same = |done: &&&Value| ["tool_call_id", "tool_name"].iter().all(|name| done[name] == call[name]);
        let done = of(completed);
        let Some(done) = done.iter().find(same) else { panic!("no end of {call}") };
        match call["tool_name"].as_str() {
            Some("calculate") => assert_eq!(done["result"]["result"], "391", "{done}"),
            Some("text_statistics") => assert_eq!(done["result"]["words"], 11, "{done}"),
            _ => panic!("an unexpected tool: {call}"),
        }
    }
    let over = of(over)[0];
    let text: String = of("message_delta").iter().filter_map(|delta| delta["delta"].as_str()).collect();
    assert_eq!(
        (over["outcome"].as_str(), over["final_response"].as_str()),
        (Some("success"), Some(text.as_str()))
    );
    assert!(text.contains("391") && text.contains("11 words"), "{text}");
    assert_eq!(of("message_created")[0]["role"], "user");
}

/// The second run was lost in the middle and resumed: the rest came behind a welcome that says so.
fn assert_resumed(first: &[Value], second: &[Value]) {
    let at = |kind: &str| second.iter().position(|frame| frame["type"] == kind);
    let seen = first.iter().rev().find(|frame| frame.get("event_id").is_some()).map(|frame| &frame["seq"]);
    assert_eq!(
        (&second[0]["type"], &second[0]["epoch"]),
        (&"connection_established".into(), &first[0]["epoch"])
    );
    assert_eq!(second[0]["resumed"], true);
    assert!(second[0]["seq"].as_u64() >= seen.and_then(Value::as_u64), "{} after {seen:?}", second[0]);
    let accepted = first.iter().filter(|frame| frame["type"] == "accepted").collect::<Vec<_>>();
    assert!(accepted.len() == 1 && accepted[0]["id"] == "zwölf 🦀", "{accepted:?}");
    let over = &second[at("agent_completed").unwrap_or_default()];
    assert_eq!(over["run_id"], accepted[0]["run_id"]);
    let counted: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    let response = over["final_response"].as_str().unwrap_or_default();
    assert!(response.starts_with(&format!("{}.", counted.join(", "))), "{response}");
    assert!(at("caught_up").is_some(), "a replay says where it ends");
}
