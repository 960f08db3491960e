//! The rules of a connection that has a user.

use std::time::{Duration, Instant};

use wireproof_protocol::{
    ClientFrame, CloseCode, ControlBody, ErrorBody, ErrorCode, RequestId, UserId, parse_frame,
};

use super::{may_connect, too_large};
use crate::{
    auth::{AuthError, Permissions, Principal, table},
    error::Refusal,
    limits::{
        Limits,
        rates::{Allowance, RateExceeded},
    },
};

/// How long before the expiry of its token a connection is warned.
const EXPIRY_WARNING: Duration = Duration::from_secs(60);

/// Bytes that may come over the limit beside twice the largest message.
const OVER: u64 = 64 << 10;

/// The next step of a connection that has a user.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Send this.
    Say(ControlBody, Option<RequestId>),
    /// Check this token, then call [`Session::verified`].
    Verify(String, Option<RequestId>),
    /// The user has shown these credentials in place of the earlier ones.
    Renewed(Principal),
    /// Carry this out and send its result.
    CarryOut(ClientFrame, Option<RequestId>),
    /// Ping the client.
    Ping,
    /// Send what is queued, then close.
    Close(CloseCode, &'static str),
}

/// One connection of a user.
#[derive(Debug)]
pub struct Session {
    user_id: UserId,
    permissions: Permissions,
    expires: Instant,
    /// True once the client was told that its token expires.
    warned: bool,
    /// The user's share of the limits.
    allowance: Allowance,
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
}

impl Session {
    /// A connection that opens now for this principal. `spread` in 0..1 keeps the pings of many connections apart.
    pub fn new(
        limits: &Limits,
        principal: &Principal,
        allowance: Allowance,
        now: Instant,
        unix_now: f64,
        spread: f64,
    ) -> Self {
        let heartbeat = Duration::from_secs_f64(limits.heartbeat_seconds);
        let expires = end_of(principal, now, unix_now);
        Self {
            user_id: principal.user_id.clone(),
            permissions: principal.permissions,
            expires,
            warned: is_near(expires, now),
            allowance,
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
        }
    }

    /// Something came from the client: it is alive.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Takes a ping or pong of RFC 6455.
    pub fn control(&mut self, now: Instant) -> Vec<Step> {
        self.heard(now);
        if self.allowance.control(now) {
            return Vec::new();
        }
        vec![Step::Close(CloseCode::Policy, "too many pings")]
    }

    /// The type of the last text frame, if it could be read.
    pub fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    /// Bytes came, of whatever they are. Over the limit the next frame is refused; a client that sends on without one is disconnected.
    pub fn bytes(&mut self, count: u64, now: Instant) -> Vec<Step> {
        if count == 0 || self.allowance.bytes_came(count, now) {
            return Vec::new();
        }
        self.bytes_over += count;
        if self.most_over.is_some_and(|most| self.bytes_over > most) {
            return vec![Step::Close(CloseCode::TryLater, "too many bytes for too long")];
        }
        Vec::new()
    }

    /// Takes a text frame, whose [`bytes`](Self::bytes) are counted: over the limit it has no effect, and its id stays unused.
    pub fn text(&mut self, text: &str, now: Instant) -> Vec<Step> {
        self.heard(now);
        self.kind = None;
        let was_over = std::mem::take(&mut self.bytes_over) > 0;
        if was_over && let Err(exceeded) = self.allowance.bytes(text.len(), now) {
            // The answer names its request even so, where finding the name costs little.
            let cheap = self.message_bytes > 0 && text.len() <= self.message_bytes;
            let id = if cheap { parse_frame(text).map_or_else(|e| e.id, |request| request.id) } else { None };
            return self.too_fast(exceeded, id, now);
        }
        if self.message_bytes > 0 && text.len() > self.message_bytes {
            return match self.count(None, now) {
                Ok(()) => refuse(too_large(self.message_bytes), None),
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
            Err(error) => refuse(error.body, error.id),
            Ok(request) => self.request(request.frame, request.id),
        }
    }

    fn request(&mut self, frame: ClientFrame, id: Option<RequestId>) -> Vec<Step> {
        if let ClientFrame::Authenticate { token } = frame {
            self.verifying = true;
            return vec![Step::Verify(token, id)];
        }
        match table::check_frame(frame.name(), self.permissions) {
            Err(refusal) => refuse(*refusal.body, id),
            Ok(()) => vec![Step::CarryOut(frame, id)],
        }
    }

    /// Counts a frame of this type; one that cannot be understood has none.
    fn count(&self, kind: Option<&'static str>, now: Instant) -> Result<(), RateExceeded> {
        match kind {
            Some(kind) if table::is_light(kind) => self.allowance.other(now),
            _ => self.allowance.message(now),
        }
    }

    /// The refusal for a limit; a client that goes on is disconnected, so that refusals stay cheap.
    fn too_fast(&self, exceeded: RateExceeded, id: Option<RequestId>, now: Instant) -> Vec<Step> {
        let mut steps = vec![Step::Say(ControlBody::Error(*Refusal::from(exceeded).body), id)];
        if !self.allowance.may_be_refused(now) {
            steps.push(Step::Close(CloseCode::TryLater, "too fast for too long"));
        }
        steps
    }

    /// Takes a binary frame.
    pub fn binary(&mut self, now: Instant) -> Vec<Step> {
        self.heard(now);
        vec![Step::Close(CloseCode::Unsupported, "binary frames are not understood")]
    }

    /// Takes the result of checking a token; `unix_now` gives its remaining life.
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
            Err(error) => return refuse(*Refusal::from(error).body, id),
        };
        if principal.user_id != self.user_id {
            let sentence = "A connection cannot change its user; open another one.";
            return refuse(ErrorBody::new(ErrorCode::Forbidden, sentence), id);
        }
        if let Err(refusal) = may_connect(&principal) {
            return refuse(*refusal.body, id);
        }
        self.permissions = principal.permissions;
        self.expires = end_of(&principal, now, unix_now);
        self.warned = is_near(self.expires, now);
        vec![Step::Renewed(principal), Step::Say(ack(), id)]
    }

    /// The steps that are due now.
    pub fn tick(&mut self, now: Instant, unix_now: f64) -> Vec<Step> {
        if now >= self.last_heard + self.dead_after {
            return vec![Step::Close(CloseCode::GoingAway, "nothing was heard for too long")];
        }
        if now >= self.expires + self.token_grace && !self.verifying {
            let mut steps = refuse(*Refusal::from(AuthError::Expired).body, None);
            steps.push(Step::Close(CloseCode::Policy, "the token has expired"));
            return steps;
        }
        let mut steps = Vec::new();
        if !self.warned && is_near(self.expires, now) {
            self.warned = true;
            let expires_at = unix_now + self.expires.saturating_duration_since(now).as_secs_f64();
            steps.push(Step::Say(ControlBody::TokenExpiring { expires_at }, None));
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
        match self.warned {
            false => next.min(self.expires.checked_sub(EXPIRY_WARNING).unwrap_or(self.expires)),
            // The token that is being checked decides.
            true if self.verifying => next,
            true => next.min(self.expires + self.token_grace),
        }
    }
}

/// When the credentials expire.
fn end_of(principal: &Principal, now: Instant, unix_now: f64) -> Instant {
    now + Duration::from_secs_f64((principal.expires_at - unix_now).clamp(0.0, 1e9))
}

/// True when a token expires too soon for a warning.
fn is_near(expires: Instant, now: Instant) -> bool {
    expires <= now + EXPIRY_WARNING
}

fn refuse(error: ErrorBody, id: Option<RequestId>) -> Vec<Step> {
    vec![Step::Say(ControlBody::Error(error), id)]
}

fn ack() -> ControlBody {
    ControlBody::Ack { thread_id: None, run_id: None, approval_id: None, outcome: None }
}

#[cfg(test)]
mod tests;
