//! The fault proxy as a program: its addresses, its flags, its orders over HTTP, its journal and its end.

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};
use wireproof_client::{Connect, RecvError};
use wireproof_protocol::ClientFrame;

use crate::{
    http::{request, request_of_host},
    process::{Server, WITHIN, run, token, wireproof},
};

/// A proxy that has said that it is ready.
struct Proxy {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Proxy {
    async fn start(upstream: &str, arguments: &[&str], stderr: Stdio) -> Result<Self> {
        let mut command = wireproof(["proxy", "--upstream", upstream]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("a pipe to stdout")?).lines();
        let mut proxy = Self { child, stdout, url: String::new() };
        proxy.url = proxy.line("ready ").await?;
        Ok(proxy)
    }

    /// The rest of the next line, which begins like this.
    async fn line(&mut self, begins: &str) -> Result<String> {
        let line = timeout(WITHIN, self.stdout.next_line()).await.context("no line came in time")??;
        let line = line.context("the proxy ended before it was ready")?;
        Ok(line
            .strip_prefix(begins)
            .with_context(|| format!("{line:?} does not begin with {begins:?}"))?
            .to_owned())
    }

    /// Asks it to end, and gives how it ended.
    async fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(id.context("it has ended already")?, signal)?;
        Ok(timeout(WITHIN, self.child.wait()).await.context("it did not end in time")??)
    }
}

/// One request to the control interface: the status and the body.
async fn order(control: &str, first: &str, body: &Value) -> Result<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request(control.trim_start_matches("http://"), first, &[], &body).await?;
    let body = if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.body)? };
    Ok((answer.status, body))
}

fn journal(file: &Path) -> Result<Vec<Value>> {
    Ok(fs::read_to_string(file)?.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?)
}

#[tokio::test]
async fn it_stands_before_a_server_writes_down_what_it_does_and_ends_with_0() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(&folder.path().join("data")).await?;
    let token = token(&folder.path().join("data"), "ada").await?;
    let file = folder.path().join("journal.jsonl");
    let named = file.to_str().context("a path in UTF-8")?;
    for signal in [Signal::TERM, Signal::INT] {
        let flags = [
            "--journal",
            named,
            "--cut-after-bytes",
            "2000",
            "--to",
            "client",
            "--slice",
            "100",
            "--latency",
            "1ms",
        ];
        let proxy = Proxy::start(&server.url, &flags, Stdio::inherit()).await?;
        ensure!(proxy.url.starts_with("ws://127.0.0.1:") && proxy.url.ends_with("/ws"), "{}", proxy.url);
        ensure!(proxy.url != server.url, "it is the server's own");
        let (mut connection, _) = Connect::to(&proxy.url).token(&token).open_welcomed().await?;
        let chat =
            ClientFrame::Chat { content: "Count from 1 to 9.".to_owned(), thread_id: None, agent: None };
        connection.send(&chat, None).await?;
        let ended = loop {
            match connection.recv(WITHIN).await {
                Ok(_) => {}
                Err(RecvError::Ended(ended)) => break ended,
                Err(error) => return Err(error.into()),
            }
        };
        ensure!(ended.code.is_none(), "a reset has no code: {ended:?}");
        ensure!(proxy.stop(signal).await?.code() == Some(0));
    }
    let entries = journal(&file)?;
    let cuts: Vec<_> = entries.iter().filter(|entry| entry["what"] == "cut").collect();
    ensure!(cuts.len() == 2 && cuts.iter().all(|cut| cut["offset"] == 2000), "{entries:?}");
    ensure!(entries.iter().any(|entry| entry["what"] == "slice" && entry["direction"] == "to_client"));
    Ok(())
}

#[tokio::test]
async fn orders_over_http_change_it_while_it_runs() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let token = token(folder.path(), "ada").await?;
    let mut proxy =
        Proxy::start(&server.url, &["--control", "127.0.0.1:0", "--seed", "9"], Stdio::inherit()).await?;
    let control = proxy.line("control ").await?;
    ensure!(order(&control, "GET /", &Value::Null).await?.1["seed"] == 9);

    let toxic = json!({ "fault": { "latency": { "ms": 5 } }, "connections": { "number": 7 } });
    let (status, added) = order(&control, "POST /toxics", &toxic).await?;
    ensure!(
        status == 201 && added["number"] == 1 && added["toxic"]["fault"]["latency"]["ms"] == 5,
        "{added}"
    );
    ensure!(order(&control, "GET /toxics/1", &Value::Null).await? == (200, added.clone()));
    ensure!(order(&control, "GET /toxics", &Value::Null).await?.1["toxics"] == json!([added]));
    ensure!(order(&control, "DELETE /toxics/1", &Value::Null).await?.0 == 204);
    ensure!(order(&control, "DELETE /toxics/1", &Value::Null).await?.0 == 404);
    let (status, set) =
        order(&control, "PUT /toxics", &json!([toxic, { "fault": "drop", "share": 0.0 }])).await?;
    ensure!(status == 200 && set["toxics"].as_array().is_some_and(|toxics| toxics.len() == 2), "{set}");
    ensure!(order(&control, "DELETE /toxics", &Value::Null).await?.0 == 204);

    let (mut connection, _) = Connect::to(&proxy.url).token(&token).open_welcomed().await?;
    let (_, seen) = order(&control, "GET /connections", &Value::Null).await?;
    let first = &seen["connections"][0];
    ensure!(first["number"] == 1 && first["messages_to_client"] == 1 && first.get("end").is_none(), "{seen}");
    let cut = json!({ "cut": "reset" });
    ensure!(order(&control, "POST /connections/1/cut", &cut).await? == (200, json!({ "cut": 1 })));
    let ended = connection.recv(WITHIN).await;
    ensure!(matches!(&ended, Err(RecvError::Ended(ended)) if ended.code.is_none()), "{ended:?}");
    let (_, kept) = order(&control, "GET /journal?since=0", &Value::Null).await?;
    ensure!(kept["entries"][0]["what"] == "ordered_reset" && kept["entries"][0]["connection"] == 1, "{kept}");
    ensure!(order(&control, "GET /journal?since=1", &Value::Null).await?.1 == json!({ "entries": [] }));
    ensure!(order(&control, "POST /connections/cut", &cut).await? == (200, json!({ "cut": 0 })));
    ensure!(proxy.stop(Signal::TERM).await?.code() == Some(0));
    Ok(())
}

#[tokio::test]
async fn a_wrong_order_is_refused_with_a_code_and_changes_nothing() -> Result<()> {
    let mut proxy = Proxy::start("127.0.0.1:1", &["--control", "127.0.0.1:0"], Stdio::inherit()).await?;
    let control = proxy.line("control ").await?;
    let address = control.trim_start_matches("http://");
    for (first, body, status, code) in [
        ("POST /toxics", "{", 400, "invalid_json"),
        ("POST /toxics", "{}", 400, "invalid_body"),
        ("POST /toxics", r#"{"fault":"explode"}"#, 400, "invalid_body"),
        ("POST /toxics", r#"{"fault":"drop","tims":2}"#, 400, "invalid_body"),
        ("POST /toxics", r#"{"fault":"drop","share":2}"#, 422, "invalid_toxic"),
        ("PUT /toxics", r#"[{"fault":"drop"},{"fault":{"slice":{"bytes":0}}}]"#, 422, "invalid_toxic"),
        ("POST /connections/cut", r#"{"cut":"softly"}"#, 400, "invalid_body"),
        ("POST /connections/1/cut", r#"{"cut":"fin"}"#, 404, "not_open"),
        ("POST /connections/x/cut", r#"{"cut":"fin"}"#, 400, "invalid_number"),
        ("GET /toxics/3", "", 404, "not_found"),
        ("GET /journal?from=3", "", 400, "invalid_query"),
        ("PATCH /toxics", "", 405, "method_not_allowed"),
        ("GET /elsewhere", "", 404, "not_found"),
    ] {
        let answer = request(address, first, &[], body).await?;
        let told: Value = serde_json::from_str(&answer.body)?;
        let found = (answer.status, told["error_code"].as_str());
        ensure!(found == (status, Some(code)), "{first} {body}: {}", answer.body);
        ensure!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
    }
    let page = request(address, "DELETE /toxics", &["origin: http://a.example"], "").await?;
    ensure!(page.status == 403, "{}", page.body);
    let large = request(address, "POST /toxics", &[], &" ".repeat((1 << 20) + 1)).await?;
    ensure!(large.status == 413, "{}", large.body);
    ensure!(order(&control, "GET /toxics", &Value::Null).await?.1 == json!({ "toxics": [] }));
    Ok(())
}

/// What docs/operations.md says can be ordered is taken as it stands there.
#[tokio::test]
async fn every_fault_and_trigger_of_the_page_is_taken() -> Result<()> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"))?;
    let (_, page) = page.split_once("## Faults on purpose").context("the page has its section")?;
    let (section, _) = page.split_once("\n## ").context("the section ends")?;
    let (rest, table) = section.split_once("| `fault` |").context("the section has a table of faults")?;
    let quoted = |text: &str| -> Vec<Value> {
        let spans =
            text.split('`').skip(1).step_by(2).map(|span| span.replace(":N", ":3").replace(":M", ":4"));
        spans.filter_map(|span| serde_json::from_str(&span).ok()).collect()
    };
    let mut proxy = Proxy::start("127.0.0.1:1", &["--control", "127.0.0.1:0"], Stdio::inherit()).await?;
    let control = proxy.line("control ").await?;
    let faults = quoted(table);
    ensure!(faults.len() == 21, "{} faults: {faults:?}", faults.len());
    for fault in faults {
        let (status, told) = order(&control, "POST /toxics", &json!({ "fault": fault })).await?;
        ensure!(status == 201, "{fault}: {told}");
    }
    let (_, triggers) = rest.split_once("`when` is ").context("the section names the triggers")?;
    let (triggers, _) = triggers.split_once(';').context("the triggers end")?;
    let triggers = quoted(triggers);
    ensure!(triggers.len() == 7, "{triggers:?}");
    for when in triggers {
        let (status, told) =
            order(&control, "POST /toxics", &json!({ "fault": "drop", "when": when })).await?;
        ensure!(status == 201, "{when}: {told}");
    }
    Ok(())
}

/// Every mutation that docs/operations.md has is taken as it stands there, and `PICK` is a message.
#[tokio::test]
async fn every_mutation_of_the_page_is_taken() -> Result<()> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"))?;
    let (_, page) = page.split_once("\n## Mutations").context("the page has its section")?;
    let (section, _) = page.split_once("\n## ").context("the section ends")?;
    let (_, table) = section.split_once("| mutation |").context("the section has a table")?;
    let first = table.lines().filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let spans = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let pick = r#"{"part":"delta","every":2,"on":"later"}"#;
    let mutations: Vec<Value> =
        spans.filter_map(|span| serde_json::from_str(&span.replace("PICK", pick)).ok()).collect();
    ensure!(mutations.len() == 35, "{} mutations: {mutations:?}", mutations.len());
    let mut proxy = Proxy::start("127.0.0.1:1", &["--control", "127.0.0.1:0"], Stdio::inherit()).await?;
    let control = proxy.line("control ").await?;
    for mutation in &mutations {
        let (status, told) = order(&control, "PUT /mutations", &json!([mutation])).await?;
        ensure!(status == 200, "{mutation}: {told}");
    }
    let (status, told) = order(&control, "PUT /mutations", &json!(mutations)).await?;
    ensure!(status == 200 && told["mutations"].as_array().is_some_and(|all| all.len() == 35), "{told}");
    ensure!(order(&control, "PUT /mutations", &json!(["explode"])).await?.0 == 400);
    ensure!(order(&control, "GET /mutations", &Value::Null).await?.1 == told);
    ensure!(order(&control, "DELETE /mutations", &Value::Null).await?.0 == 204);
    ensure!(order(&control, "GET /mutations", &Value::Null).await?.1 == json!({ "mutations": [] }));
    Ok(())
}

#[tokio::test]
async fn a_mutation_of_the_command_line_is_made() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let token = token(folder.path(), "ada").await?;
    let remove = r#"{"remove":{"role":"connection","pick":{"part":"welcome"}}}"#;
    let stray = r#"{"stray":{"part":"welcome"}}"#;
    let proxy = Proxy::start(&server.url, &["--mutation", stray], Stdio::inherit()).await?;
    let opened = Connect::to(&proxy.url).token(&token).open_welcomed().await;
    ensure!(opened.is_err(), "another message comes first");
    ensure!(proxy.stop(Signal::TERM).await?.code() == Some(0));
    let ended =
        run(["proxy", "--upstream", &server.url, "--mutation", remove, "--profile", "nobodys"]).await?;
    ensure!(ended.code == Some(2) && ended.stderr.contains("no profile"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_and_ends_nothing() -> Result<()> {
    let folder = tempdir()?;
    let log = folder.path().join("stderr");
    let proxy = Proxy::start("ws://127.0.0.1:1/ws", &[], fs::File::create(&log)?.into()).await?;
    for _ in 0..2 {
        let refused = Connect::to(&proxy.url).open().await.err().context("nobody is there")?;
        ensure!(refused.to_string().contains("127.0.0.1"), "{refused}");
    }
    ensure!(proxy.stop(Signal::TERM).await?.code() == Some(0));
    let told = fs::read_to_string(log)?;
    ensure!(told.contains("connection 2: the server cannot be reached at 127.0.0.1:1: "), "{told}");
    Ok(())
}

/// Bug: whatever name a request was addressed to, the control took it: a page whose own name was made to point here could
/// read the journal, and cut connections.
#[tokio::test]
async fn its_control_answers_to_this_machines_names_only() -> Result<()> {
    let mut proxy =
        Proxy::start("ws://127.0.0.1:1/ws", &["--control", "127.0.0.1:0"], Stdio::inherit()).await?;
    let control = proxy.line("control http://").await?;
    for (host, status, code) in [
        ("localhost", 200, ""),
        ("LOCALHOST:1", 200, ""),
        ("127.0.0.1", 200, ""),
        ("[::1]:7", 200, ""),
        ("evil.example", 421, "foreign_host"),
        ("127.0.0.1.evil.example", 421, "foreign_host"),
        ("", 400, "invalid_host"),
        ("a b", 400, "invalid_host"),
    ] {
        let answer = request_of_host(&control, host, "GET /journal").await?;
        ensure!(answer.status == status && answer.body.contains(code), "{host:?}: {}", answer.body);
    }
    let cut = request_of_host(&control, "evil.example", "POST /connections/cut").await?;
    ensure!(cut.status == 421, "{}", cut.body);
    ensure!(request(&control, "GET /", &["host: localhost"], "").await?.status == 400, "two hosts");
    Ok(())
}

#[tokio::test]
async fn what_cannot_work_is_usage() -> Result<()> {
    let upstream = ["proxy", "--upstream", "127.0.0.1:1"];
    for (more, words) in [
        (&["--control", "0.0.0.0:0"][..], "give 127.0.0.1"),
        (&["--toxic", r#"{"fault":"explode"}"#], "explode"),
        (&["--toxic", r#"{"fault":"drop","share":7}"#], "between 0 and 1"),
        (&["--slice", "0"], "1 or more"),
        (&["--mutation", r#"{"lose":{"part":"everything"}}"#], "everything"),
        (&["--latency", "long"], "--latency"),
    ] {
        let ended = run(upstream.iter().chain(more)).await?;
        ensure!(ended.code == Some(2), "{more:?}: {:?} {}", ended.code, ended.stderr);
        ensure!(ended.stderr.contains(words), "{more:?}: {}", ended.stderr);
    }
    let ended = run(["proxy", "--upstream", "nowhere"]).await?;
    ensure!(ended.code == Some(2) && ended.stderr.contains("HOST:PORT"), "{}", ended.stderr);
    let ended = run(["proxy", "--upstream", "no-such-host.invalid:1"]).await?;
    ensure!(ended.code == Some(3) && ended.stdout.is_empty(), "{:?} {}", ended.code, ended.stderr);
    Ok(())
}
