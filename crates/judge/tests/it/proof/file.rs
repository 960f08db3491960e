//! The history file: what is written is read, what is no history is refused with its line, and the judge says the same
//! of a file as of the history itself. Any test can write one.

use std::io::Cursor;

use serde_json::json;
use wireproof_judge::{
    profile::Profile,
    proof::{
        judge,
        synthetic::{Shape, honest},
    },
    record::{Action, Header, HistoryError, Op, join, of_clients, read, read_file, write, write_file},
};
use wireproof_testkit::TestServer;

fn small() -> (Header, Vec<Op>) {
    honest(3, Shape { users: 2, devices: 2, runs: 2, cut_one_in: 5 }).unwrap()
}

fn written(header: &Header, ops: &[Op]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, header, ops).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_and_judged_alike() {
    let (header, ops) = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    write_file(&path, &header, &ops).unwrap();
    let history = read_file(&path).unwrap();
    assert_eq!((&history.header, &history.ops, history.torn), (&header, &ops, false));
    assert_eq!(judge(&history.header, &history.ops), judge(&header, &ops));
}

#[test]
fn a_torn_last_line_is_told_and_left_out() {
    let (header, ops) = small();
    let bytes = written(&header, &ops);
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    for end in [last + 2, bytes.len() - 2] {
        let history = read(Cursor::new(&bytes[..end])).unwrap();
        assert!(history.torn);
        assert_eq!(history.ops, ops[..ops.len() - 1]);
    }
    // Only the newline is missing: nothing is lost.
    let history = read(Cursor::new(&bytes[..bytes.len() - 1])).unwrap();
    assert_eq!((history.ops.len(), history.torn), (ops.len(), false));
}

/// A line without an end was once read until the memory was full.
#[test]
fn a_line_without_an_end_is_refused_with_its_number() {
    let (header, ops) = small();
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let begun = std::io::Read::chain(Cursor::new(written(&header, &ops)), endless);
    let error = read(begun).unwrap_err();
    let last = ops.len() + 2;
    assert!(matches!(&error, HistoryError::Line { line, .. } if *line == last), "{error}");
    assert!(read(std::io::BufReader::new(std::io::repeat(b'x'))).is_err());
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let (header, ops) = small();
    let good = String::from_utf8(written(&header, &ops)).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let with = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = text;
        lines.join("\n") + "\n"
    };
    let unknown = lines[4].replacen('{', "{\"colour\":\"red\",", 1);
    let later = lines[0].replacen("\"wireproof_history\":1", "\"wireproof_history\":2", 1);
    let rows = [
        (String::new(), 1, "empty"),
        ("hello\n".to_owned(), 1, "no header"),
        ("{}\n".to_owned(), 1, "wireproof_history"),
        (with(1, &later), 1, "form 2"),
        (with(3, ""), 3, "no op"),
        (with(7, "{\"i\":5}"), 7, "missing field"),
        (with(5, &unknown), 5, "colour"),
        (with(6, lines[2]), 6, "comes behind"),
        (with(9, "\u{0}"), 9, "no op"),
    ];
    for (text, wanted, why) in rows {
        match read(Cursor::new(text.as_bytes())) {
            Err(HistoryError::Line { line, why: told }) => {
                assert_eq!(line, wanted, "{told}");
                assert!(told.contains(why), "{told:?} has no {why:?}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

/// Events that came again because the client had asked for them on the open connection were once told as doubled.
#[tokio::test]
async fn who_asks_again_on_an_open_connection_gets_again() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 17*23?").await;
    ada.expect_run_completed(run.run_id).await;
    let epoch = ada.expect("connection_established").await["epoch"].clone();
    for after in [2, 0] {
        ada.send(json!({ "type": "resume", "epoch": epoch, "after": after, "id": format!("from-{after}") }))
            .await;
        ada.expect("caught_up").await;
    }
    let ops = of_clients([("ada", &ada)]).unwrap();
    let header = Header::of(&server.url(), &Profile::find("wireproof").unwrap(), 0);
    let judgement = judge(&header, &ops);
    assert!(judgement.is_clean(), "{}", judgement.tell());
    // Who did not ask gets everything once.
    let unasked: Vec<_> = ops.into_iter().filter(|op| op.f != Action::Resume).collect();
    assert!(judge(&header, &unasked).total.contains_key("duplicate"));
}

/// The position in the answer to a heartbeat was once taken for the number of an event, which came twice then.
#[tokio::test]
async fn the_answer_to_a_heartbeat_is_no_event() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 17*23?").await;
    ada.expect_run_completed(run.run_id).await;
    ada.send(json!({ "type": "heartbeat", "id": "beat" })).await;
    let beat = ada.expect("heartbeat_ack").await;
    assert!(beat["seq"].as_u64().is_some_and(|seq| seq > 0), "{}", beat.text);
    let ops = of_clients([("ada", &ada)]).unwrap();
    let header = Header::of(&server.url(), &Profile::find("wireproof").unwrap(), 0);
    let judgement = judge(&header, &ops);
    assert!(judgement.is_clean(), "{}", judgement.tell());
}

/// The clients of any test have a history that can be written and judged.
#[tokio::test]
async fn the_clients_of_a_test_write_a_history() {
    let server = TestServer::start().await;
    let mut phone = server.user("ada").connect().await;
    let laptop = server.user("ada").connect().await;
    let eve = server.user("eve").connect().await;
    for question in ["What is 17*23?", "How many words are in this sentence?"] {
        let run = phone.chat(question).await;
        laptop.expect_run_completed(run.run_id).await;
        phone.resume().await;
    }
    let run = eve.chat("What is 2+2?").await;
    eve.expect_run_completed(run.run_id).await;
    let ops = of_clients([("ada", &phone), ("ada", &laptop), ("eve", &eve)]).unwrap();
    let header = Header::of(&server.url(), &Profile::find("wireproof").unwrap(), 0);
    let history = read(Cursor::new(written(&header, &ops))).unwrap();
    assert_eq!(history.ops, ops);
    let judgement = judge(&header, &ops);
    let told: Vec<_> = judgement.violations.iter().map(|violation| violation.tell(&header, &ops)).collect();
    assert!(judgement.is_clean(), "{}", told.join("\n"));
    assert_eq!((judgement.counts.users, judgement.counts.connections, judgement.counts.runs), (2, 5, 3));

    // Somebody who gets what is ada's is told, also in a history of several that were put together.
    let foreign =
        ops.iter().find(|op| op.user == "ada" && op.seq.is_some() && op.stream.is_some()).unwrap().clone();
    let eves = ops.iter().find(|op| op.user == "eve").unwrap();
    let leak = Op { user: "eve".into(), conn: eves.conn.clone(), t_ns: u64::MAX, ..foreign };
    let joined = join([("one", &ops[..]), ("one", &[leak])]);
    let judgement = judge(&header, &joined);
    assert!(judgement.total.contains_key("phantom-stream"), "{}", judgement.tell());
}
