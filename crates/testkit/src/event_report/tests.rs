//! The report on histories with a planted fault each: it must see it, and say where.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ClientReport, EventReport, RunReport, contradictions};
use crate::{history::History, recording::Recording};

const RUN: &str = "0193a5a0-0000-7000-8000-000000000001";
const CALL: &str = "0193a5a0-0000-7000-8000-0000000000c1";

/// An event of the run as it is on the wire.
fn event(seq: u64, kind: &str, fields: Value) -> Value {
    let mut event = json!({
        "type": kind, "seq": seq, "event_id": format!("0193a5a0-0000-7000-8000-{seq:012}"), "user_id": "ada",
        "thread_id": "0193a5a0-0000-7000-8000-00000000000a", "timestamp": 1.0, "run_id": RUN, "run_seq": seq,
        "agent_name": "builtin",
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    event
}

/// A good run with one tool.
fn good() -> Vec<Value> {
    let usage = json!({ "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 });
    vec![
        event(1, "agent_started", json!({ "message": "I work." })),
        event(2, "agent_thinking", json!({ "reasoning": "A tool.", "step_number": 1 })),
        event(3, "tool_executing", json!({ "tool_call_id": CALL, "tool_name": "t", "parameters": {} })),
        event(
            4,
            "tool_completed",
            json!({ "tool_call_id": CALL, "tool_name": "t", "result": 1, "duration_ms": 1.0 }),
        ),
        event(5, "agent_completed", json!({ "outcome": "cancelled", "usage": usage, "duration_ms": 5.0 })),
    ]
}

fn history(frames: &[Value]) -> History {
    let mut history = History::default();
    history.opened(None);
    let welcome = json!({ "type": "connection_established", "user_id": "ada" });
    for frame in std::iter::once(&welcome).chain(frames) {
        let _ = history.text(Instant::now(), &frame.to_string());
    }
    history
}

fn run(frames: &[Value]) -> RunReport {
    let mut runs = RunReport::all("ada", Some("ada"), &history(frames));
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.remove(0)
}

#[test]
fn a_good_run_has_no_problem() {
    let run = run(&good());
    assert!(run.is_complete() && run.out_of_order.is_empty(), "{run}");
}

#[test]
fn each_fault_in_the_order_is_told_in_words_and_once() {
    let swapped = |a: usize, b: usize| {
        let mut frames = good();
        let (x, y) = (frames[a]["seq"].clone(), frames[b]["seq"].clone());
        frames.swap(a, b);
        // The numbers are in order: only what they number is not.
        for (frame, seq) in [(a, x), (b, y)] {
            (frames[frame]["run_seq"], frames[frame]["seq"]) = (seq.clone(), seq);
        }
        frames
    };
    let without = |index: usize| {
        let mut frames = good();
        frames.remove(index);
        frames
    };
    let doubled = {
        let mut frames = good();
        let mut second = frames[4].clone();
        (second["seq"], second["run_seq"]) = (json!(6), json!(6));
        frames.push(second);
        frames
    };
    for (words, frames) in [
        ("agent_thinking before agent_started", swapped(0, 1)),
        ("completed but not executing", swapped(2, 3)),
        ("with 1 open tool calls", swapped(3, 4)),
        ("agent_completed after agent_completed", doubled),
        ("run_seq 3 where 2 comes next", without(1)),
    ] {
        let run = run(&frames);
        assert!(
            run.out_of_order.iter().any(|broken| broken.contains(words)),
            "{words}: {:?}",
            run.out_of_order
        );
        assert!(run.out_of_order.len() <= 2 && !run.is_complete(), "{words}: {:?}", run.out_of_order);
    }
}

#[test]
fn what_did_not_come_is_missing_by_name() {
    for (index, name) in [(1, "agent_thinking"), (3, "tool_completed"), (4, "agent_completed")] {
        let mut frames = good();
        frames.remove(index);
        let run = run(&frames);
        assert_eq!((run.missing.as_slice(), run.coverage), ([name].as_slice(), 0.8));
        assert!(run.problems().iter().any(|words| words.contains(&format!("no {name}"))), "{run}");
    }
}

#[test]
fn events_of_others_and_doubled_ones_are_told() {
    let mut frames = good();
    frames[1]["user_id"] = json!("eve");
    frames.push(frames[4].clone());
    let report = ClientReport::new("ada", &history(&frames));
    assert_eq!(report.foreign, ["agent_thinking (seq 2) of eve"]);
    assert_eq!(report.doubled, [5]);
    let all = EventReport { clients: vec![report], runs: Vec::new(), contradictions: Vec::new() };
    let problems = all.problems().join("\n");
    assert!(problems.contains("events of others") && problems.contains("seq 5 to 5 came"), "{problems}");
}

#[test]
fn two_devices_that_were_told_different_things_contradict_each_other() {
    let mut other = good();
    other[1]["event_id"] = json!("0193a5a0-0000-7000-8000-0000000000ff");
    let log =
        |client: &str, frames: &[Value]| (client.to_owned(), history(frames).events().cloned().collect());
    let found = contradictions(&[log("phone", &good()), log("laptop", &other)]);
    assert_eq!(found, ["phone was told agent_thinking and laptop agent_thinking under seq 2 of ada"]);
    assert!(contradictions(&[log("phone", &good()), log("laptop", &good())]).is_empty());
}
