//! The rules of one connection, without I/O: what each frame of the client, and each tick of the clock, brings about.

use std::time::{Duration, Instant};

use wireproof_protocol::{
    ClientFrame, CloseCode, ControlBody, ErrorBody, ErrorCode, RequestId, UserId, parse_frame,
};

use crate::{
    auth::{AuthError, Principal},
    error::Refusal,
    limits::Limits,
};

/// How long before its token expires a connection is told.
const EXPIRY_WARNING: Duration = Duration::from_secs(60);

/// What the connection has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Say this.
    Say(ControlBody, Option<RequestId>),
    /// Check this token and come back with [`Session::verified`].
    Verify(String, Option<RequestId>),
    /// The connection has a user now: welcome it.
    Welcome(Principal),
    /// Carry this out and say what came of it.
    CarryOut(ClientFrame, Option<RequestId>),
    /// Ping the client.
    Ping,
    /// Say what there is to say, then close.
    Close(CloseCode, &'static str),
}

/// Whose connection it is, once that is known.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Unauthenticated { deadline: Instant },
    Open { user_id: UserId, expires: Instant, warned: bool },
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    message_bytes: usize,
    heartbeat: Duration,
    dead_after: Duration,
    token_grace: Duration,
    last_heard: Instant,
    next_ping: Instant,
}

impl Session {
    /// A connection that begins now, without a user. `spread` in 0..1 keeps the pings of many connections apart.
    pub fn new(limits: &Limits, now: Instant, spread: f64) -> Self {
        let heartbeat = Duration::from_secs_f64(limits.heartbeat_seconds);
        Self {
            phase: Phase::Unauthenticated {
                deadline: now + Duration::from_secs_f64(limits.authenticate_seconds),
            },
            message_bytes: limits.message_bytes,
            heartbeat,
            dead_after: Duration::from_secs_f64(limits.dead_seconds),
            token_grace: Duration::from_secs_f64(limits.token_grace_seconds),
            last_heard: now,
            next_ping: now + heartbeat.mul_f64(0.5 + spread / 2.0),
        }
    }

    /// Anything was heard of the client: it is alive.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Takes a text frame.
    pub fn text(&mut self, text: &str, now: Instant) -> Vec<Step> {
        self.heard(now);
        if self.message_bytes > 0 && text.len() > self.message_bytes {
            let sentence =
                format!("The message is larger than {} bytes and was not carried out.", self.message_bytes);
            let error =
                ErrorBody::new(ErrorCode::MessageTooLarge, sentence).detail("limit", self.message_bytes);
            return self.refuse(error, None);
        }
        match parse_frame(text) {
            Err(error) => self.refuse(error.body, error.id),
            Ok(request) => match (&self.phase, request.frame) {
                (_, ClientFrame::Authenticate { token }) => vec![Step::Verify(token, request.id)],
                (Phase::Unauthenticated { .. }, _) => {
                    let refusal = Refusal::from(AuthError::Missing);
                    self.refuse(*refusal.body, request.id)
                }
                (Phase::Open { .. }, frame) => vec![Step::CarryOut(frame, request.id)],
            },
        }
    }

    /// An error ends a connection that has no user yet, and no other.
    fn refuse(&self, error: ErrorBody, id: Option<RequestId>) -> Vec<Step> {
        let mut steps = vec![Step::Say(ControlBody::Error(error), id)];
        if matches!(self.phase, Phase::Unauthenticated { .. }) {
            steps.push(Step::Close(CloseCode::Policy, "authentication is needed"));
        }
        steps
    }

    /// Takes a binary frame.
    pub fn binary(&mut self, now: Instant) -> Vec<Step> {
        self.heard(now);
        vec![Step::Close(CloseCode::Unsupported, "binary frames are not understood")]
    }

    /// Takes what came of a token; `unix_now` tells how long it lives.
    pub fn verified(
        &mut self,
        result: Result<Principal, AuthError>,
        id: Option<RequestId>,
        now: Instant,
        unix_now: f64,
    ) -> Vec<Step> {
        let principal = match result {
            Ok(principal) => principal,
            Err(error) => return self.refuse(*Refusal::from(error).body, id),
        };
        let expires = now + Duration::from_secs_f64((principal.expires_at - unix_now).clamp(0.0, 1e9));
        let first = match &self.phase {
            Phase::Unauthenticated { .. } => true,
            Phase::Open { user_id, .. } if *user_id == principal.user_id => false,
            Phase::Open { .. } => {
                let error = ErrorBody::new(
                    ErrorCode::Forbidden,
                    "A connection cannot change its user; open another one.",
                );
                return self.refuse(error, id);
            }
        };
        // A token that is born near its end was bought knowing it: the warning would tell nothing new.
        let warned = expires <= now + EXPIRY_WARNING;
        self.phase = Phase::Open { user_id: principal.user_id.clone(), expires, warned };
        if first {
            let mut steps = vec![Step::Welcome(principal)];
            // The first token needs no answer but the welcome, unless one was asked for.
            if id.is_some() {
                steps.push(Step::Say(ack(), id));
            }
            return steps;
        }
        vec![Step::Say(ack(), id)]
    }

    /// What the clock brings about.
    pub fn tick(&mut self, now: Instant, unix_now: f64) -> Vec<Step> {
        if now >= self.last_heard + self.dead_after {
            return vec![Step::Close(CloseCode::GoingAway, "nothing was heard for too long")];
        }
        let mut steps = Vec::new();
        match &mut self.phase {
            Phase::Unauthenticated { deadline } if now >= *deadline => {
                let refusal = Refusal::from(AuthError::Missing);
                return self.refuse(*refusal.body, None);
            }
            Phase::Open { expires, .. } if now >= *expires + self.token_grace => {
                steps.push(Step::Say(ControlBody::Error(*Refusal::from(AuthError::Expired).body), None));
                steps.push(Step::Close(CloseCode::Policy, "the token has expired"));
                return steps;
            }
            Phase::Open { expires, warned, .. } if !*warned && now + EXPIRY_WARNING >= *expires => {
                *warned = true;
                let expires_at = unix_now + expires.saturating_duration_since(now).as_secs_f64();
                steps.push(Step::Say(ControlBody::TokenExpiring { expires_at }, None));
            }
            _ => {}
        }
        if now >= self.next_ping {
            self.next_ping = now + self.heartbeat;
            steps.push(Step::Ping);
        }
        steps
    }

    /// When [`Session::tick`] has something to do next.
    pub fn next_tick(&self) -> Instant {
        let next = self.next_ping.min(self.last_heard + self.dead_after);
        match &self.phase {
            Phase::Unauthenticated { deadline } => next.min(*deadline),
            Phase::Open { expires, warned: true, .. } => next.min(*expires + self.token_grace),
            Phase::Open { expires, .. } => next.min(expires.checked_sub(EXPIRY_WARNING).unwrap_or(*expires)),
        }
    }
}

fn ack() -> ControlBody {
    ControlBody::Ack { thread_id: None, run_id: None, approval_id: None, outcome: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(name: &str, expires_at: f64) -> Principal {
        Principal {
            user_id: UserId::new(name).unwrap(),
            expires_at,
            issued_at: None,
            token_id: None,
            session_id: None,
            permissions: crate::auth::Permissions::of_a_user(),
        }
    }

    fn open(expires_in: f64) -> (Session, Instant) {
        let now = Instant::now();
        let mut session = Session::new(&Limits::default(), now, 0.0);
        let steps = session.verified(Ok(principal("ada", 1000.0 + expires_in)), None, now, 1000.0);
        assert!(matches!(steps[..], [Step::Welcome(_)]));
        (session, now)
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

    #[test]
    fn nothing_is_carried_out_before_a_user_is_known() {
        let now = Instant::now();
        for frame in [r#"{"type":"ping"}"#, r#"{"type":"chat","content":"hi"}"#, "nonsense"] {
            let mut session = Session::new(&Limits::default(), now, 0.0);
            let steps = session.text(frame, now);
            assert!(code(&steps).is_some());
            assert_eq!(closes(&steps), Some(CloseCode::Policy), "{frame}");
        }
        let mut session = Session::new(&Limits::default(), now, 0.0);
        assert_eq!(closes(&session.tick(now + Duration::from_secs(5), 0.0)), Some(CloseCode::Policy));
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
        assert!(matches!(renewed[..], [Step::Say(ControlBody::Ack { .. }, None)]));
        assert_eq!(closes(&session.tick(over, 1126.0)), None);
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_closed() {
        let (mut session, now) = open(1e6);
        assert!(session.tick(now + Duration::from_secs(13), 0.0).contains(&Step::Ping));
        assert!(session.tick(now + Duration::from_secs(14), 0.0).is_empty());
        assert_eq!(closes(&session.tick(now + Duration::from_secs(60), 0.0)), Some(CloseCode::GoingAway));
    }
}
