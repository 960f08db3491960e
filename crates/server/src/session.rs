//! The rules of one connection, without I/O: what each frame of the client, and each tick of the clock, brings about.

use std::time::{Duration, Instant};

use wireproof_protocol::{
    ClientFrame, CloseCode, ControlBody, ErrorBody, ErrorCode, RequestId, UserId, parse_frame,
};

use crate::{
    auth::{AuthError, Permissions, Principal, table},
    error::Refusal,
    limits::{
        Limits,
        rates::{Allowance, Exceeded},
    },
    sabotage::{Bug, Bugs},
};

/// How long before its token expires a connection is told.
const EXPIRY_WARNING: Duration = Duration::from_secs(60);

/// Bytes that may come over the limit beside twice the largest message.
const OVER: u64 = 64 << 10;

/// What never comes in the life of a test.
const NEVER: Duration = Duration::from_secs(1 << 20);

/// What the connection has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Say this.
    Say(ControlBody, Option<RequestId>),
    /// Check this token and come back with [`Session::verified`].
    Verify(String, Option<RequestId>),
    /// The connection has a user now: welcome it, and answer the request that named it.
    Welcome(Principal, Option<RequestId>),
    /// The connection's user has shown this in place of the earlier credentials.
    Renewed(Principal),
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
    Open { user_id: UserId, permissions: Permissions, expires: Instant, warned: bool },
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    /// What the user may still do; nobody has any before there is a user, and needs none: one bad frame is the last.
    allowance: Option<Allowance>,
    /// Bytes over the limit since the last frame that was refused for them.
    bytes_over: u64,
    /// How many of them there may be; none is no bound.
    most_over: Option<u64>,
    /// True while a token is checked: one that came before the grace ended counts.
    verifying: bool,
    /// The type of the last frame, if it could be read.
    kind: Option<&'static str>,
    message_bytes: usize,
    heartbeat: Duration,
    dead_after: Duration,
    token_grace: Duration,
    last_heard: Instant,
    next_ping: Instant,
    bugs: Bugs,
}

impl Session {
    /// A connection that begins now, without a user. `spread` in 0..1 keeps the pings of many connections apart.
    pub fn new(limits: &Limits, now: Instant, spread: f64) -> Self {
        let heartbeat = Duration::from_secs_f64(limits.heartbeat_seconds);
        Self {
            phase: Phase::Unauthenticated {
                deadline: now + Duration::from_secs_f64(limits.authenticate_seconds),
            },
            allowance: None,
            bytes_over: 0,
            most_over: (limits.message_hard_bytes > 0)
                .then(|| (limits.message_hard_bytes as u64).saturating_mul(2).saturating_add(OVER)),
            verifying: false,
            kind: None,
            message_bytes: limits.message_bytes,
            heartbeat,
            dead_after: Duration::from_secs_f64(limits.dead_seconds),
            token_grace: Duration::from_secs_f64(limits.token_grace_seconds),
            last_heard: now,
            next_ping: now + heartbeat.mul_f64(0.5 + spread / 2.0),
            bugs: Bugs::default(),
        }
    }

    /// The same connection, broken on purpose.
    pub fn with_bugs(mut self, bugs: Bugs) -> Self {
        if let Phase::Unauthenticated { deadline } = &mut self.phase
            && bugs.on(Bug::StrangerStays)
        {
            *deadline += NEVER;
        }
        Self { bugs, ..self }
    }

    /// Anything was heard of the client: it is alive.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// From now on the user's limits hold.
    pub fn limit(&mut self, allowance: Allowance) {
        self.allowance = Some(allowance);
    }

    /// Takes a ping or pong of RFC 6455.
    pub fn control(&mut self, now: Instant) -> Vec<Step> {
        self.heard(now);
        match &self.allowance {
            Some(allowance) if !allowance.control(now) => {
                vec![Step::Close(CloseCode::Policy, "too many pings")]
            }
            _ => Vec::new(),
        }
    }

    /// The type of the last text frame, if it could be read.
    pub fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    /// Bytes came, of whatever they are. Over the limit the next frame is refused; who sends on without one is sent away.
    pub fn bytes(&mut self, count: u64, now: Instant) -> Vec<Step> {
        if count == 0 || self.allowance.as_ref().is_none_or(|allowance| allowance.bytes_came(count, now)) {
            return Vec::new();
        }
        self.bytes_over += count;
        if self.most_over.is_some_and(|most| self.bytes_over > most) {
            return vec![Step::Close(CloseCode::TryLater, "too many bytes for too long")];
        }
        Vec::new()
    }

    /// Takes a text frame, whose [`bytes`](Self::bytes) are counted: over the limit it has no effect, and its id is as good as new.
    pub fn text(&mut self, text: &str, now: Instant) -> Vec<Step> {
        self.heard(now);
        let was_bad = self.kind.is_none();
        self.kind = None;
        let was_over = std::mem::take(&mut self.bytes_over) > 0;
        let allowance = self.allowance.as_ref().filter(|_| was_over);
        if let Some(Err(exceeded)) = allowance.map(|allowance| allowance.bytes(text.len(), now)) {
            // The answer names its request even so, where finding the name costs little.
            let cheap = self.message_bytes > 0 && text.len() <= self.message_bytes;
            let id = if cheap { parse_frame(text).map_or_else(|e| e.id, |request| request.id) } else { None };
            return self.too_fast(exceeded, id, now);
        }
        if self.message_bytes > 0 && text.len() > self.message_bytes && !self.bugs.on(Bug::SizeLimitIgnored) {
            let sentence =
                format!("The message is larger than {} bytes and was not carried out.", self.message_bytes);
            let error =
                ErrorBody::new(ErrorCode::MessageTooLarge, sentence).detail("limit", self.message_bytes);
            return match self.count(None, now) {
                Ok(()) => self.refuse(error, None),
                Err(exceeded) => self.too_fast(exceeded, None, now),
            };
        }
        let parsed = parse_frame(text);
        self.kind = parsed.as_ref().ok().map(|request| request.frame.name());
        if let Err(exceeded) = self.count(self.kind, now) {
            let id = parsed.map_or_else(|error| error.id, |request| request.id);
            return self.too_fast(exceeded, id, now);
        }
        match parsed {
            // A stranger is told what is missing; only what is wrong with the frame that shows a token is of use to it.
            Err(error) if matches!(self.phase, Phase::Unauthenticated { .. }) && !is_authenticate(text) => {
                self.refuse(*Refusal::from(AuthError::Missing).body, error.id)
            }
            Err(error) if self.swallows(error.body.error_code, was_bad) => Vec::new(),
            Err(error) => {
                let mut steps = self.refuse(error.body, error.id);
                if self.leaves_over(text) {
                    steps.push(Step::Close(CloseCode::Policy, "the frame was bad"));
                }
                steps
            }
            Ok(request) => match (&self.phase, request.frame) {
                (_, ClientFrame::Authenticate { token }) => {
                    self.verifying = true;
                    vec![Step::Verify(token, request.id)]
                }
                (Phase::Unauthenticated { .. }, _) => {
                    let refusal = Refusal::from(AuthError::Missing);
                    self.refuse(*refusal.body, request.id)
                }
                (Phase::Open { permissions, .. }, frame) => {
                    match table::check_frame(frame.name(), *permissions) {
                        Ok(()) => vec![Step::CarryOut(frame, request.id)],
                        Err(_) if self.bugs.on(Bug::PermissionsIgnored) => {
                            vec![Step::CarryOut(frame, request.id)]
                        }
                        Err(refusal) => self.refuse(*refusal.body, request.id),
                    }
                }
            },
        }
    }

    /// Bugs: the frame gets no answer.
    fn swallows(&self, code: ErrorCode, was_bad: bool) -> bool {
        let ignored = match code {
            ErrorCode::InvalidJson => Bug::InvalidJsonIgnored,
            ErrorCode::UnknownType => Bug::UnknownTypeIgnored,
            ErrorCode::MissingField => Bug::MissingFieldIgnored,
            _ => return was_bad && self.bugs.on(Bug::OneErrorForMany),
        };
        self.bugs.on(ignored) || (was_bad && self.bugs.on(Bug::OneErrorForMany))
    }

    /// Bugs: the connection ends over a frame.
    fn leaves_over(&self, text: &str) -> bool {
        let nested = text.starts_with(&"[".repeat(100)) && self.bugs.on(Bug::DeepJsonClosesConnection);
        let array = text.starts_with('[') && self.bugs.on(Bug::ArrayClosesConnection);
        nested || array || self.bugs.on(Bug::ErrorClosesConnection)
    }

    /// Counts a frame of this type; one that cannot be understood has none.
    fn count(&self, kind: Option<&'static str>, now: Instant) -> Result<(), Exceeded> {
        match (&self.allowance, kind) {
            (None, _) => Ok(()),
            (Some(allowance), Some(kind)) if table::is_light(kind) => allowance.other(now),
            (Some(_), _) if self.bugs.on(Bug::RateLimitNotEnforced) => Ok(()),
            (Some(allowance), _) => allowance.message(now),
        }
    }

    /// Says that a limit was reached; who goes on all the same is sent away, so that refusals stay cheap.
    fn too_fast(&self, mut exceeded: Exceeded, id: Option<RequestId>, now: Instant) -> Vec<Step> {
        if self.bugs.on(Bug::RetryAfterLies) {
            exceeded.wait /= 100;
        }
        let mut steps = vec![Step::Say(ControlBody::Error(*Refusal::from(exceeded).body), id)];
        if self.allowance.as_ref().is_some_and(|allowance| !allowance.may_be_refused(now)) {
            steps.push(Step::Close(CloseCode::TryLater, "too fast for too long"));
        }
        steps
    }

    /// An error ends a connection that has no user yet, and no other.
    fn refuse(&self, error: ErrorBody, id: Option<RequestId>) -> Vec<Step> {
        let later = error.error_code == ErrorCode::RateLimited;
        let mut steps = vec![Step::Say(ControlBody::Error(error), id)];
        if matches!(self.phase, Phase::Unauthenticated { .. }) && later {
            steps.push(Step::Close(CloseCode::TryLater, "too fast: come back later"));
        } else if matches!(self.phase, Phase::Unauthenticated { .. }) {
            steps.push(Step::Close(CloseCode::Policy, "authentication is needed"));
        }
        steps
    }

    /// Takes a binary frame.
    pub fn binary(&mut self, now: Instant) -> Vec<Step> {
        self.heard(now);
        if self.bugs.on(Bug::BinaryIgnored) {
            return Vec::new();
        }
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
        self.verifying = false;
        let principal = match result {
            Ok(principal) => principal,
            Err(error) => return self.refuse(*Refusal::from(error).body, id),
        };
        let expires = now + Duration::from_secs_f64((principal.expires_at - unix_now).clamp(0.0, 1e9));
        let first = match &self.phase {
            Phase::Unauthenticated { .. } => true,
            Phase::Open { user_id, .. } if *user_id == principal.user_id => false,
            Phase::Open { .. } if self.bugs.on(Bug::RenewalChangesUser) => false,
            Phase::Open { .. } => {
                let error = ErrorBody::new(
                    ErrorCode::Forbidden,
                    "A connection cannot change its user; open another one.",
                );
                return self.refuse(error, id);
            }
        };
        let expires = match &self.phase {
            _ if self.bugs.on(Bug::ExpiredConnectionStays) => now + NEVER,
            Phase::Open { expires, .. } if self.bugs.on(Bug::RenewalForgotten) => *expires,
            _ => expires,
        };
        let permissions = principal.permissions;
        if let Err(refusal) = table::CONNECTION.check(permissions) {
            return self.refuse(*refusal.body, id);
        }
        // A token that is born near its end was bought knowing it: the warning would tell nothing new.
        let warned = expires <= now + EXPIRY_WARNING;
        self.phase = Phase::Open { user_id: principal.user_id.clone(), permissions, expires, warned };
        if first {
            return vec![Step::Welcome(principal, id)];
        }
        vec![Step::Renewed(principal), Step::Say(ack(), id)]
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
            Phase::Open { expires, .. } if now >= *expires + self.token_grace && !self.verifying => {
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
            // What is being checked decides.
            Phase::Open { warned: true, .. } if self.verifying => next,
            Phase::Open { expires, warned: true, .. } => next.min(*expires + self.token_grace),
            Phase::Open { expires, .. } => next.min(expires.checked_sub(EXPIRY_WARNING).unwrap_or(*expires)),
        }
    }
}

/// True for a frame that says it shows a token, however wrong the rest of it is.
fn is_authenticate(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed {
        r#type: String,
    }
    serde_json::from_str::<Typed>(text).is_ok_and(|frame| frame.r#type == "authenticate")
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
            key: None,
        }
    }

    fn open(expires_in: f64) -> (Session, Instant) {
        let now = Instant::now();
        let mut session = Session::new(&Limits::default(), now, 0.0);
        let steps = session.verified(Ok(principal("ada", 1000.0 + expires_in)), None, now, 1000.0);
        assert!(matches!(steps[..], [Step::Welcome(..)]));
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

    /// Bug: a message as large as a file can say ended each connection.
    #[test]
    fn no_size_of_a_message_is_so_large_that_it_cannot_be_reckoned_with() {
        let limits = Limits { message_hard_bytes: usize::MAX, ..Limits::default() };
        Session::new(&limits, Instant::now(), 0.5);
    }

    #[test]
    fn nothing_is_carried_out_before_a_user_is_known() {
        let now = Instant::now();
        for frame in [r#"{"type":"ping"}"#, r#"{"type":"chat","content":"hi"}"#, "nonsense"] {
            let mut session = Session::new(&Limits::default(), now, 0.0);
            let steps = session.text(frame, now);
            assert_eq!(code(&steps), Some(ErrorCode::Unauthenticated), "{frame}");
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
}
