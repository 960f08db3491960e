//! Ids and epochs as text and back.

use proptest::prelude::*;
use serde_json::json;
use wireproof_protocol::{
    CloseCode, Epoch, EventId, IdError, MAX_TEXT_ID, Position, RequestId, RunId, ThreadId, UserId,
};

#[test]
fn new_ids_sort_by_birth() {
    let ids: Vec<EventId> = (0..1_000).map(|_| EventId::new()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string()));
}

#[test]
fn what_is_no_uuid_is_no_id() {
    for text in
        ["", "7", "run-1", "019a0000-0000-7003-8000-00000000000", "019a0000-0000-7003-8000-00000000000g"]
    {
        assert_eq!(text.parse::<RunId>(), Err(IdError::NotAUuid), "{text}");
        assert!(serde_json::from_value::<RunId>(json!(text)).is_err(), "{text}");
    }
}

#[test]
fn text_ids_are_bounded_in_characters() {
    assert_eq!(UserId::new(""), Err(IdError::Length));
    assert!(UserId::new("é".repeat(MAX_TEXT_ID)).is_ok());
    assert_eq!(UserId::new("é".repeat(MAX_TEXT_ID + 1)), Err(IdError::Length));
    for control in ['\0', '\n', '\u{7f}', '\u{9f}'] {
        assert_eq!(UserId::new(format!("a{control}")), Err(IdError::ControlCharacter));
    }
}

#[test]
fn generated_thread_ids_sort_by_birth_and_are_uuids() {
    let ids: Vec<ThreadId> = (0..1_000).map(|_| ThreadId::generate()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(ids.iter().all(|id| id.as_str().parse::<RunId>().is_ok()));
}

/// Fault: a name in capitals, or another spelling of a UUID, named the same thread.
#[test]
fn names_that_differ_in_case_or_form_are_different() {
    let name = |text: &str| ThreadId::new(text).unwrap();
    assert_ne!(name("Plans"), name("plans"));
    assert_ne!(name("caf\u{e9}"), name("cafe\u{301}"));
    assert_ne!(name("019A0000-0000-7003-8000-000000000001"), name("019a0000-0000-7003-8000-000000000001"));
}

#[test]
fn a_client_comes_back_after_what_passes() {
    use CloseCode::*;
    for code in [GoingAway, Internal, Restart, TryLater, SlowConsumer] {
        assert!(CloseCode::should_reconnect(code.number()), "{code:?}");
    }
    for code in [Normal, ProtocolError, Unsupported, InvalidUtf8, Policy, TooBig] {
        assert!(!CloseCode::should_reconnect(code.number()), "{code:?}");
    }
    assert!(CloseCode::should_reconnect(1006), "an abnormal end");
}

proptest! {
    #[test]
    fn epochs_round_trip(number: u64, seq: u64) {
        let epoch = Epoch::new(number);
        let text = epoch.to_string();
        prop_assert_eq!(text.len(), 16);
        prop_assert_eq!(text.parse(), Ok(epoch));
        let position = Position { epoch, seq };
        prop_assert_eq!(serde_json::from_value::<Position>(json!(position)).unwrap(), position);
    }

    #[test]
    fn any_text_is_an_epoch_or_not(text in ".{0,20}|[0-9a-fA-F+]{15,17}") {
        if let Ok(epoch) = text.parse::<Epoch>() {
            prop_assert_eq!(epoch.to_string(), text);
        }
    }

    #[test]
    fn uuid_ids_round_trip(bytes: [u8; 16]) {
        let id = RunId::from_bytes(bytes);
        prop_assert_eq!(id.as_bytes(), &bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(json!(id), json!(id.to_string()));
        prop_assert_eq!(serde_json::from_value::<RunId>(json!(id)).unwrap(), id);
    }

    #[test]
    fn text_ids_round_trip(text in any::<String>()) {
        match RequestId::new(&text) {
            Ok(id) => {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(serde_json::from_value::<RequestId>(json!(id)).unwrap(), id);
            }
            Err(_) => prop_assert!(
                text.is_empty() || text.chars().count() > 128 || text.chars().any(char::is_control)
            ),
        }
    }
}
