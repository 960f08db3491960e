//! What goes over the wire, letter by letter, and back.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use wireproof_protocol::{ErrorCode, EventBody, Incoming, parse_frame, parse_incoming};

use crate::samples::{EVENT_LINES, controls, events, requests};

fn text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap()
}

fn lines(frames: &[impl Serialize]) -> String {
    frames.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[test]
fn client_frames_are_as_snapshot_and_come_back() {
    let requests = requests();
    insta::assert_snapshot!("client_frames", lines(&requests));
    for request in requests {
        assert_eq!(parse_frame(&text(&request)), Ok(request));
    }
}

#[test]
fn events_are_written_as_they_were_read() {
    let events = events();
    assert_eq!(lines(&events), EVENT_LINES.trim_end());
    let kinds: BTreeSet<_> = events.iter().map(|event| event.body.name()).collect();
    assert_eq!(kinds, EventBody::NAMES.iter().copied().collect(), "events.jsonl needs one of each");
    for event in events {
        let text = text(&event);
        assert_eq!(parse_incoming(&text).unwrap(), Incoming::Event(Box::new(event)), "{text}");
    }
}

#[test]
fn control_frames_are_as_snapshot_and_come_back() {
    let controls = controls();
    insta::assert_snapshot!("control_frames", lines(&controls));
    for control in controls {
        let text = text(&control);
        assert_eq!(parse_incoming(&text).unwrap(), Incoming::Control(Box::new(control)), "{text}");
    }
}

#[test]
fn an_events_name_is_its_type() {
    for event in events() {
        assert_eq!(serde_json::to_value(&event).unwrap()["type"], event.body.name());
        assert_eq!(event.body.is_of_a_run(), event.run.is_some(), "{}", event.body.name());
    }
}

#[test]
fn no_frame_holds_null_for_what_is_absent() {
    let frames = [json!(requests()), json!(controls())];
    for frame in frames.iter().flat_map(|frames| frames.as_array().unwrap()) {
        let fields = frame.as_object().unwrap();
        assert!(fields.values().all(|value| !value.is_null()), "{frame}");
    }
    for event in events() {
        let null_allowed = ["result", "parameters"];
        let frame = json!(event);
        let mut absent = frame.as_object().unwrap().iter().filter(|(_, value)| value.is_null());
        assert!(absent.all(|(name, _)| null_allowed.contains(&name.as_str())), "{frame}");
    }
}

#[test]
fn an_unknown_type_is_passed_over() {
    let frame = json!({"type": "from_the_future", "seq": 1});
    assert_eq!(parse_incoming(&frame.to_string()).unwrap(), Incoming::Unknown(frame));
}

#[test]
fn what_is_no_frame_is_an_error() {
    for text in ["", "null", "[]", "{}", r#"{"type":7}"#, r#"{"type":"pong"}"#, r#"{"type":"pong","seq":-1}"#]
    {
        assert!(parse_incoming(text).is_err(), "{text}");
    }
}

fn changed(kind: &str, change: impl FnOnce(&mut Value)) -> String {
    let event = events().into_iter().find(|event| event.body.name() == kind).unwrap();
    let mut value = json!(event);
    change(&mut value);
    value.to_string()
}

/// Bug: an event of a run with a broken or missing run part was read as an event of no run.
#[test]
fn a_broken_run_part_is_an_error() {
    let remove = |field: &'static str| {
        move |event: &mut Value| {
            event.as_object_mut().unwrap().remove(field);
        }
    };
    for field in ["run_id", "run_seq", "agent_name"] {
        assert!(parse_incoming(&changed("agent_started", remove(field))).is_err(), "without {field}");
        let number = |event: &mut Value| event[field] = json!(-7);
        assert!(parse_incoming(&changed("agent_started", number)).is_err(), "mistyped {field}");
    }
    let none = |event: &mut Value| {
        for field in ["run_id", "run_seq", "agent_name"] {
            remove(field)(event);
        }
    };
    assert!(parse_incoming(&changed("agent_started", none)).is_err());
    assert!(parse_incoming(&changed("thread_created", |_| {})).is_ok());
}

#[test]
fn a_null_result_is_a_result() {
    let text = changed("tool_completed", |_| {});
    let Ok(Incoming::Event(event)) = parse_incoming(&text) else { panic!("{text}") };
    let EventBody::ToolCompleted(call) = event.body else { panic!("{text}") };
    assert_eq!(call.result, Some(Value::Null));
}

#[test]
fn a_refusal_says_its_sentence_twice_and_its_code_once() {
    for &code in ErrorCode::ALL {
        let body = json!(wireproof_protocol::ErrorBody::new(code, "A sentence."));
        assert_eq!(body["error_code"], code.as_str());
        assert_eq!((&body["error"], &body["message"]), (&json!("A sentence."), &json!("A sentence.")));
        assert_eq!(body["retryable"], code.retryable());
    }
}
