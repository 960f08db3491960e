//! Tests of the rules of a connection that has a user.

use std::net::IpAddr;

use super::*;
use crate::{
    limits::{ClientAddress, rates::Rates},
    metrics::Metrics,
};

fn principal(name: &str, expires_at: f64) -> Principal {
    Principal {
        user_id: UserId::new(name).unwrap(),
        expires_at,
        issued_at: None,
        token_id: None,
        session_id: None,
        permissions: crate::auth::Permissions::of_a_user(),
        key: None,
    }
}

fn open(expires_in: f64) -> (Session, Instant) {
    open_with(&Limits::default(), expires_in)
}

fn open_with(limits: &Limits, expires_in: f64) -> (Session, Instant) {
    let (now, principal) = (Instant::now(), principal("ada", 1000.0 + expires_in));
    let rates = Rates::new(limits, Metrics::new(Default::default()), now);
    let allowance = rates.allowance(&principal.user_id, ClientAddress::of(IpAddr::from([127, 0, 0, 1])));
    (Session::new(limits, &principal, allowance, now, 1000.0, 0.0), now)
}

fn code(steps: &[Step]) -> Option<ErrorCode> {
    steps.iter().find_map(|step| match step {
        Step::Say(ControlBody::Error(error), _) => Some(error.error_code),
        _ => None,
    })
}

fn closes(steps: &[Step]) -> Option<CloseCode> {
    steps.iter().find_map(|step| if let Step::Close(code, _) = step { Some(*code) } else { None })
}

/// Bug: a message as large as a file can say ended each connection.
#[test]
fn no_size_of_a_message_is_so_large_that_it_cannot_be_reckoned_with() {
    let limits = Limits { message_hard_bytes: usize::MAX, ..Limits::default() };
    open_with(&limits, 3600.0);
}

#[test]
fn a_bad_frame_leaves_an_open_connection_open() {
    let (mut session, now) = open(3600.0);
    let long = format!(r#"{{"type":"chat","content":"{}"}}"#, "x".repeat(70_000));
    for (frame, expected) in [
        ("{", ErrorCode::InvalidJson),
        ("[]", ErrorCode::InvalidFrame),
        (r#"{"type":"chat"}"#, ErrorCode::MissingField),
        (r#"{"type":"dance"}"#, ErrorCode::UnknownType),
        (&long, ErrorCode::MessageTooLarge),
    ] {
        let steps = session.text(frame, now);
        assert_eq!((code(&steps), closes(&steps), steps.len()), (Some(expected), None, 1));
    }
}

#[test]
fn a_token_is_renewed_by_its_user_only() {
    let (mut session, now) = open(100.0);
    assert_eq!(session.next_tick(), now + Duration::from_millis(12_500));
    assert!(session.tick(now + Duration::from_secs(41), 1041.0).iter().any(|step| matches!(
        step,
        Step::Say(ControlBody::TokenExpiring { expires_at }, None) if (*expires_at - 1100.0).abs() < 0.01
    )));
    let other = session.verified(Ok(principal("bob", 9000.0)), None, now, 1041.0);
    assert_eq!((code(&other), closes(&other)), (Some(ErrorCode::Forbidden), None));
    let later = now + Duration::from_secs(124);
    session.heard(later);
    assert_eq!(closes(&session.tick(later, 1124.0)), None);
    let over = now + Duration::from_secs(126);
    assert_eq!(closes(&session.tick(over, 1126.0)), Some(CloseCode::Policy));
    let renewed = session.verified(Ok(principal("ada", 9000.0)), None, over, 1126.0);
    assert!(matches!(renewed[..], [Step::Renewed(_), Step::Say(ControlBody::Ack { .. }, None)]));
    assert_eq!(closes(&session.tick(over, 1126.0)), None);
}

/// Bug: a renewal that was being checked when the grace ended was answered with an error and an `ack`, and closed.
#[test]
fn a_renewal_that_came_in_time_is_waited_for() {
    let (mut session, now) = open(100.0);
    session.tick(now + Duration::from_secs(41), 1041.0);
    let steps = session.text(r#"{"type":"authenticate","token":"t"}"#, now + Duration::from_secs(124));
    assert!(matches!(steps[..], [Step::Verify(..)]));
    let over = now + Duration::from_secs(126);
    assert_eq!((closes(&session.tick(over, 1126.0)), session.next_tick() > over), (None, true));
    // A bad one is no reason to wait any longer.
    let refused = session.verified(Err(AuthError::Invalid), None, over, 1126.0);
    assert_eq!((code(&refused), closes(&refused)), (Some(ErrorCode::Unauthenticated), None));
    assert!(session.next_tick() <= over);
    assert_eq!(closes(&session.tick(over, 1126.0)), Some(CloseCode::Policy));
}

#[test]
fn what_the_latest_token_grants_decides() {
    let (mut session, now) = open(3600.0);
    let chat = r#"{"type":"chat","content":"hi"}"#;
    assert!(matches!(session.text(chat, now)[..], [Step::CarryOut(..)]));
    let granting = |names: &[&str]| Principal {
        permissions: Permissions::named(names.iter().copied()),
        ..principal("ada", 9000.0)
    };
    session.verified(Ok(granting(&["threads:read"])), None, now, 1000.0);
    assert_eq!(code(&session.text(chat, now)), Some(ErrorCode::Forbidden));
    // One that a connection cannot live by changes nothing.
    let refused = session.verified(Ok(granting(&["chat"])), None, now, 1000.0);
    assert_eq!((code(&refused), closes(&refused)), (Some(ErrorCode::Forbidden), None));
    assert_eq!(code(&session.text(chat, now)), Some(ErrorCode::Forbidden));
    session.verified(Ok(granting(&["threads:read", "chat"])), None, now, 1000.0);
    assert!(matches!(session.text(chat, now)[..], [Step::CarryOut(..)]));
}

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let (mut session, now) = open(1e6);
    assert!(session.tick(now + Duration::from_secs(13), 0.0).contains(&Step::Ping));
    assert!(session.tick(now + Duration::from_secs(14), 0.0).is_empty());
    assert_eq!(closes(&session.tick(now + Duration::from_secs(60), 0.0)), Some(CloseCode::GoingAway));
}
