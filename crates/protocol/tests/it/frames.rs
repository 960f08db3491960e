//! Frames of clients in every shape that is accepted, and arbitrary ones: each has one outcome, and none panics.

use proptest::prelude::*;
use serde_json::{Value, json};
use wireproof_protocol::{ClientFrame, ErrorCode, parse_frame};

use crate::{samples::requests, schema_check, schema_check::client};

fn frame(value: Value) -> ClientFrame {
    let text = value.to_string();
    parse_frame(&text).unwrap_or_else(|error| panic!("{text}: {error:?}")).frame
}

fn chat(content: &str, thread_id: Option<&str>) -> ClientFrame {
    let thread_id = thread_id.map(|name| name.parse().unwrap());
    ClientFrame::Chat { content: content.to_owned(), thread_id, agent: None }
}

#[test]
fn aliases_are_the_same_frames() {
    assert_eq!(frame(json!({"type": "user_message", "content": "hi"})), chat("hi", None));
    let cancel = ClientFrame::CancelRun { run_id: "r".to_owned() };
    assert_eq!(frame(json!({"type": "stop_agent", "run_id": "r"})), cancel);
}

#[test]
fn fields_may_stand_under_payload() {
    for request in requests() {
        let mut fields = json!(request);
        let kind = fields.as_object_mut().unwrap().remove("type").unwrap();
        let nested = json!({"type": kind, "payload": fields}).to_string();
        assert_eq!(parse_frame(&nested), Ok(request), "{nested}");
    }
}

#[test]
fn the_top_wins_over_payload() {
    let both = json!({"type": "chat", "content": "top", "payload": {"content": "below", "type": "ping"}});
    assert_eq!(frame(both), chat("top", None));
}

/// Bug: `null` at the top hid the field under `payload`, so a message for a thread began a new one.
#[test]
fn null_at_the_top_is_no_field() {
    let sent = json!({"type": "chat", "id": null, "thread_id": null, "timestamp": null,
        "payload": {"id": "r-1", "content": "hi", "thread_id": "t"}});
    let request = parse_frame(&sent.to_string()).unwrap();
    assert_eq!(request.frame, chat("hi", Some("t")));
    assert_eq!(request.id.unwrap().as_str(), "r-1");
    assert_eq!(
        frame(json!({"type": "chat", "content": "hi", "thread_id": null, "payload": null})),
        chat("hi", None)
    );
}

#[test]
fn a_timestamp_and_unknown_fields_are_ignored() {
    for request in requests() {
        let mut fields = json!(request);
        fields["timestamp"] = json!("any time");
        fields["user_id"] = json!("mallory");
        fields["run_id"] = fields.get("run_id").cloned().unwrap_or(json!([1, {"deep": null}]));
        fields["seq"] = json!(-1);
        fields["unknown"] = json!({"type": "ping", "id": 7});
        assert_eq!(parse_frame(&fields.to_string()), Ok(request), "{fields}");
    }
}

#[test]
fn ids_of_one_to_128_characters_are_echoed() {
    for id in ["r", &"i".repeat(128), &"é".repeat(128), "𝄞 \"quoted\" \\ /", "0"] {
        let sent = json!({"type": "ping", "id": id}).to_string();
        assert_eq!(parse_frame(&sent).unwrap().id.unwrap().as_str(), id);
    }
}

/// Fault: a client could not name its threads itself, and a name that no thread can have was `not_found`, as if another
/// one of its kind could be there.
#[test]
fn a_client_names_its_threads_with_one_to_128_characters() {
    let frames = [
        json!({"type": "chat", "content": "hi"}),
        json!({"type": "start_agent", "user_request": "hi"}),
        json!({"type": "create_thread"}),
    ];
    for mut sent in frames {
        for name in ["t", &"é".repeat(128), "thread_1 / ä?#%", " ", "019a0000-0000-7003-8000-00000000000A"]
        {
            sent["thread_id"] = json!(name);
            let read = json!(frame(sent.clone()));
            assert_eq!(read["thread_id"], *name);
        }
        for name in ["", "a\u{0}", "line\nline", "\u{7f}", "\u{9b}", &"t".repeat(129)] {
            sent["thread_id"] = json!(name);
            let error = parse_frame(&sent.to_string()).unwrap_err().body;
            assert_eq!(error.error_code, ErrorCode::InvalidFrame, "{name:?}");
            assert_eq!(error.details.unwrap()["field"], "thread_id", "{name:?}");
        }
    }
}

#[test]
fn content_may_hold_any_character() {
    let content = "a\u{0}b\u{feff}\u{1f600}\u{202e}\n";
    assert_eq!(frame(json!({"type": "chat", "content": content})), chat(content, None));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0_u64..102).prop_map(Value::from),
        "[ a-z0-9\u{0}\u{e9}]{0,4}".prop_map(Value::from),
        "[0-9a-f]{15,17}".prop_map(Value::from),
        prop::sample::select(vec!["approved", "denied", "hi", "", " ", "jwt"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,2}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

const FIELDS: [&str; 18] = [
    "type",
    "id",
    "token",
    "epoch",
    "after",
    "content",
    "thread_id",
    "agent",
    "user_request",
    "run_id",
    "approval_id",
    "decision",
    "edited_arguments",
    "title",
    "metadata",
    "limit",
    "offset",
    "active",
];

/// A frame that is nearly right: a good one with some fields set to something else, or gone.
fn nearly_a_frame() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((prop::sample::select(&FIELDS[..]), prop::option::of(value())), 0..3);
    (prop::sample::select(requests()), changes).prop_map(|(request, changes)| {
        let mut fields = json!(request);
        for (name, value) in changes {
            match value {
                Some(value) => fields[name] = value,
                None => drop(fields.as_object_mut().unwrap().remove(name)),
            }
        }
        fields
    })
}

/// One outcome: a request that comes back as it is, or one of the four errors with a short sentence.
fn has_one_outcome(text: &str) {
    match parse_frame(text) {
        Ok(request) => {
            let again = serde_json::to_string(&request).unwrap();
            assert_eq!(parse_frame(&again), Ok(request));
        }
        Err(error) => {
            use ErrorCode::*;
            let code = error.body.error_code;
            assert!(matches!(code, InvalidJson | InvalidFrame | MissingField | UnknownType), "{code:?}");
            assert!(!error.body.message.is_empty() && error.body.message.len() < 500);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_has_one_outcome(text in any::<String>()) {
        has_one_outcome(&text);
    }

    #[test]
    fn any_json_has_one_outcome(value in value()) {
        has_one_outcome(&value.to_string());
    }

    #[test]
    fn a_frame_with_letters_changed_has_one_outcome(
        request in prop::sample::select(requests()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(any::<char>())), 0..4),
    ) {
        let mut text: Vec<char> = serde_json::to_string(&request).unwrap().chars().collect();
        for (at, letter) in changes {
            let at = at.index(text.len());
            match letter {
                Some(letter) => text[at] = letter,
                None => drop(text.remove(at)),
            }
        }
        has_one_outcome(&text.iter().collect::<String>());
    }

    #[test]
    fn a_good_id_is_echoed_whatever_else_is_wrong(fields in nearly_a_frame(), id in "[!-~é ]{1,128}") {
        let mut fields = fields;
        fields["id"] = json!(id);
        let echoed = match parse_frame(&fields.to_string()) {
            Ok(request) => request.id,
            Err(error) => error.id,
        };
        prop_assert_eq!(echoed.map(String::from), Some(id));
    }

    #[test]
    fn what_is_accepted_is_what_the_schema_allows(fields in nearly_a_frame()) {
        has_one_outcome(&fields.to_string());
        let allowed = schema_check::check(client(), &fields);
        match parse_frame(&fields.to_string()) {
            Ok(_) => prop_assert_eq!(allowed, Ok(())),
            Err(error) => prop_assert!(allowed.is_err(), "{:?}", error),
        }
    }
}
