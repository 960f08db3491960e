//! How a server says "try again later": a rate or a number is reached for now.

use serde_json::Value;

use crate::{
    profile::{Kind, Profile},
    record::{Action, Op, OpOutcome},
};

/// True when something of a history says so: an error with a time to come back, a close with 1013, or HTTP 429.
pub(super) fn was_said(profile: &Profile, history: &[Op]) -> bool {
    history.iter().any(|op| match (op.f, op.outcome) {
        (Action::Recv, _) => is_later(profile, op),
        (Action::Close, _) => op.text.contains("with 1013"),
        (_, OpOutcome::Fail) => op.text.contains("HTTP 429"),
        (Action::Http, _) => op.text.starts_with("429 "),
        _ => false,
    })
}

fn is_later(profile: &Profile, op: &Op) -> bool {
    // What came on a connection by hand has no name in the history.
    if op.ev.as_ref().is_some_and(|name| profile.kind_of(name) != Kind::Error) {
        return false;
    }
    let frame: Value = serde_json::from_str(&op.text).unwrap_or_default();
    let is_error = profile.fields.kind.text(&frame).is_some_and(|name| profile.kind_of(&name) == Kind::Error);
    is_error && matches!(profile.fields.retry_after_ms.number(&frame), Some(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the tokens of two users, 56 checks failed against a sound server: each had what the others had left of its rate.
    #[test]
    fn a_rate_that_is_used_up_is_told_from_a_refusal() {
        let profile = Profile::find("wireproof").unwrap();
        let op = |f, outcome, text: &str| Op { f, outcome, text: text.to_owned(), ..Op::default() };
        let later = [
            op(
                Action::Recv,
                OpOutcome::Ok,
                r#"{"type":"error","error_code":"rate_limited","retry_after_ms":559}"#,
            ),
            op(Action::Close, OpOutcome::Ok, "closed with 1013 (too many connections)"),
            op(Action::Connect, OpOutcome::Fail, "127.0.0.1:1 refused the handshake with HTTP 429"),
        ];
        let never = [
            op(Action::Recv, OpOutcome::Ok, r#"{"type":"error","error_code":"invalid_message"}"#),
            op(Action::Close, OpOutcome::Ok, "closed with 1008"),
            op(Action::Connect, OpOutcome::Fail, "127.0.0.1:1 refused the handshake with HTTP 401"),
        ];
        assert!(!was_said(&profile, &never));
        later.iter().for_each(|op| assert!(was_said(&profile, std::slice::from_ref(op)), "{op:?}"));
    }
}
