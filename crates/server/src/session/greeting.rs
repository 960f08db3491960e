//! The rules of a connection that has no user yet: one good token in time, and nothing else.

use std::time::{Duration, Instant};

use wireproof_protocol::{ClientFrame, CloseCode, ErrorBody, ErrorCode, RequestId, parse_frame};

use super::{may_connect, too_large};
use crate::{
    auth::{AuthError, Principal},
    error::Refusal,
    limits::Limits,
};

/// The end of a connection that never had a user.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// The error to send first, and the request that it answers.
    pub error: Option<(Box<ErrorBody>, Option<RequestId>)>,
    /// How to close.
    pub close: (CloseCode, &'static str),
}

impl Refused {
    /// A refusal with an error, which decides how to close.
    fn by(error: ErrorBody, id: Option<RequestId>) -> Self {
        let close = match error.error_code {
            ErrorCode::RateLimited => (CloseCode::TryLater, "too fast: come back later"),
            _ => (CloseCode::Policy, "authentication is needed"),
        };
        Self { error: Some((Box::new(error), id)), close }
    }

    fn without_token(id: Option<RequestId>) -> Self {
        Self::by(*Refusal::from(AuthError::Missing).body, id)
    }

    fn silently(code: CloseCode, reason: &'static str) -> Self {
        Self { error: None, close: (code, reason) }
    }

    /// The code of its error.
    pub fn code(&self) -> Option<ErrorCode> {
        self.error.as_ref().map(|(error, _)| error.error_code)
    }
}

/// The token of a first frame, and the request that showed it.
pub type ShownToken = (String, Option<RequestId>);

/// A connection without a user.
#[derive(Debug)]
pub struct Greeting {
    /// When a token must have been shown.
    deadline: Instant,
    /// When the silence of the client ends the connection.
    silent_until: Instant,
    message_bytes: usize,
    /// The type of the last frame, if it could be read.
    kind: Option<&'static str>,
}

impl Greeting {
    /// A connection that begins now.
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            deadline: now + Duration::from_secs_f64(limits.authenticate_seconds),
            silent_until: now + Duration::from_secs_f64(limits.dead_seconds),
            message_bytes: limits.message_bytes,
            kind: None,
        }
    }

    /// The type of the last text frame, if it could be read.
    pub fn kind(&self) -> Option<&'static str> {
        self.kind
    }

    /// Takes a text frame: the token to check, unless the connection ends.
    pub fn text(&mut self, text: &str) -> Result<ShownToken, Refused> {
        self.kind = None;
        if self.message_bytes > 0 && text.len() > self.message_bytes {
            return Err(Refused::by(too_large(self.message_bytes), None));
        }
        let request = parse_frame(text).map_err(|error| {
            // The error is that a token is missing; an error of the frame helps only in a frame that shows a token.
            if is_authenticate(text) {
                Refused::by(error.body, error.id)
            } else {
                Refused::without_token(error.id)
            }
        })?;
        self.kind = Some(request.frame.name());
        match request.frame {
            ClientFrame::Authenticate { token } => Ok((token, request.id)),
            _ => Err(Refused::without_token(request.id)),
        }
    }

    /// Takes a binary frame.
    pub fn binary(&self) -> Refused {
        Refused::silently(CloseCode::Unsupported, "binary frames are not understood")
    }

    /// Takes the result of checking a token.
    pub fn verified(
        &self,
        result: Result<Principal, AuthError>,
        id: Option<RequestId>,
    ) -> Result<Principal, Refused> {
        let allowed = result.map_err(Refusal::from).and_then(|principal| {
            may_connect(&principal)?;
            Ok(principal)
        });
        allowed.map_err(|refusal| Refused::by(*refusal.body, id))
    }

    /// The refusal that is due now.
    pub fn tick(&self, now: Instant) -> Option<Refused> {
        if now >= self.silent_until {
            return Some(Refused::silently(CloseCode::GoingAway, "nothing was heard for too long"));
        }
        (now >= self.deadline).then(|| Refused::without_token(None))
    }

    /// When [`Greeting::tick`] has something to do.
    pub fn next_tick(&self) -> Instant {
        self.deadline.min(self.silent_until)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(now: Instant) -> Greeting {
        Greeting::new(&Limits::default(), now)
    }

    #[test]
    fn nothing_is_carried_out_before_a_user_is_known() {
        let now = Instant::now();
        for frame in [r#"{"type":"ping"}"#, r#"{"type":"chat","content":"hi"}"#, "nonsense"] {
            let refused = greeting(now).text(frame).unwrap_err();
            assert_eq!(refused.code(), Some(ErrorCode::Unauthenticated), "{frame}");
            assert_eq!(refused.close.0, CloseCode::Policy, "{frame}");
        }
        let late = greeting(now).tick(now + Duration::from_secs(5)).unwrap();
        assert_eq!(late.close.0, CloseCode::Policy);
    }

    #[test]
    fn a_frame_that_shows_a_token_is_checked_and_told_what_is_wrong_with_it() {
        let now = Instant::now();
        let shown = greeting(now).text(r#"{"type":"authenticate","token":"t","id":"r"}"#);
        assert_eq!(shown, Ok(("t".to_owned(), Some(RequestId::new("r").unwrap()))));
        let refused = greeting(now).text(r#"{"type":"authenticate"}"#).unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::MissingField));
    }
}
