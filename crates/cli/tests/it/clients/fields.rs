//! Every field that the protocol gives a frame, and what it must be: from the specification, not from the code.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Any text.
    Text,
    /// A text that says something.
    Filled,
    Uuid,
    /// 16 lower-case hex digits.
    Epoch,
    /// A whole number from 0, or from 1.
    Whole,
    Positive,
    /// Milliseconds, with fractions.
    Milliseconds,
    /// Unix seconds as a float, about now.
    Time,
    Flag,
    Object,
    List,
    Any,
}

type Field = (&'static str, Kind);

const STORED: [Field; 5] = [
    ("seq", Kind::Positive),
    ("event_id", Kind::Uuid),
    ("user_id", Kind::Filled),
    ("thread_id", Kind::Uuid),
    ("timestamp", Kind::Time),
];

const OF_A_RUN: [Field; 3] =
    [("run_id", Kind::Uuid), ("run_seq", Kind::Positive), ("agent_name", Kind::Filled)];

const LIMITS: [Field; 6] = [
    ("message_bytes", Kind::Whole),
    ("message_hard_bytes", Kind::Whole),
    ("connections_per_user", Kind::Whole),
    ("concurrent_runs", Kind::Whole),
    ("queued_runs", Kind::Whole),
    ("heartbeat_seconds", Kind::Any),
];

const USAGE: [Field; 3] =
    [("input_tokens", Kind::Whole), ("output_tokens", Kind::Whole), ("total_tokens", Kind::Whole)];

/// Where a type of frame stands: a control frame, an event of a thread, an event of a run; and its own fields.
fn fields_of(kind: &str) -> (&'static [&'static [Field]], &'static [Field]) {
    use Kind::*;
    const CONTROL: &[&[Field]] = &[&[("timestamp", Kind::Time)]];
    const THREAD: &[&[Field]] = &[&STORED];
    const RUN: &[&[Field]] = &[&STORED, &OF_A_RUN];
    match kind {
        "connection_established" => (
            CONTROL,
            &[
                ("connection_id", Uuid),
                ("user_id", Filled),
                ("epoch", Epoch),
                ("seq", Whole),
                ("resumed", Flag),
                ("active_runs", List),
                ("limits", Object),
                ("server_time", Time),
            ],
        ),
        "accepted" => (CONTROL, &[("id", Filled), ("run_id", Uuid), ("thread_id", Uuid), ("seq", Positive)]),
        "caught_up" => (CONTROL, &[("seq", Whole)]),
        "thread_created" | "thread_updated" => (THREAD, &[("title", Text)]),
        "message_created" => (THREAD, &[("message_id", Uuid), ("role", Filled), ("content", Filled)]),
        "agent_started" => (RUN, &[("message", Filled)]),
        "agent_thinking" => (RUN, &[("reasoning", Filled), ("step_number", Positive)]),
        "message_delta" => (RUN, &[("message_id", Uuid), ("delta", Text)]),
        "tool_executing" => (RUN, &[("tool_call_id", Uuid), ("tool_name", Filled), ("parameters", Object)]),
        "tool_completed" => (
            RUN,
            &[("tool_call_id", Uuid), ("tool_name", Filled), ("result", Any), ("duration_ms", Milliseconds)],
        ),
        "agent_completed" => (
            RUN,
            &[
                ("outcome", Filled),
                ("message_id", Uuid),
                ("final_response", Filled),
                ("usage", Object),
                ("duration_ms", Milliseconds),
            ],
        ),
        other => panic!("a frame of type {other:?} has no place in this conversation"),
    }
}

/// The frame is flat, has each field of its type, and each is what it must be.
pub(super) fn assert_well_formed(frame: &Value, user: &str) {
    let Some(kind) = frame["type"].as_str() else { panic!("a frame without a type: {frame}") };
    let (place, own) = fields_of(kind);
    place.iter().copied().chain([own]).for_each(|fields| assert_fields(frame, fields));
    for (name, value) in frame.as_object().into_iter().flatten() {
        assert!(!value.is_null(), "{name} is null where it should be absent: {frame}");
        let snake =
            name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
        assert!(snake, "{name} is not in snake_case: {frame}");
    }
    if let Some(found) = frame.get("user_id") {
        assert_eq!(found, user);
    }
    match kind {
        "connection_established" => assert_fields(&frame["limits"], &LIMITS),
        "agent_completed" => assert_fields(&frame["usage"], &USAGE),
        _ => {}
    }
}

fn assert_fields(frame: &Value, fields: &[Field]) {
    for (name, kind) in fields {
        let Some(value) = frame.get(name) else { panic!("the field {name} is missing in {frame}") };
        assert!(kind.fits(value), "the field {name} is {value}, not {kind:?}, in {frame}");
    }
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Kind::Text => text.is_some(),
            Kind::Filled => text.is_some_and(|text| !text.trim().is_empty()),
            Kind::Uuid => text.is_some_and(is_uuid),
            Kind::Epoch => text.is_some_and(|text| text.len() == 16 && text.bytes().all(is_hex)),
            Kind::Whole => value.is_u64(),
            Kind::Positive => value.as_u64().is_some_and(|number| number > 0),
            Kind::Milliseconds => value.as_f64().is_some_and(|number| (0.0..60_000.0).contains(&number)),
            Kind::Time => value.is_f64() && value.as_f64().is_some_and(|time| (time - now()).abs() < 120.0),
            Kind::Flag => value.is_boolean(),
            Kind::Object => value.is_object(),
            Kind::List => value.is_array(),
            Kind::Any => true,
        }
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Version 7, in lower case.
fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text.bytes().all(|byte| byte == b'-' || is_hex(byte));
    hex && lengths == [8, 4, 4, 4, 12] && text.as_bytes()[14] == b'7'
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
