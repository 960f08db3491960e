//! Messages that are posted, each answered with a stream of events.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, header};

use super::TargetError;

/// How long the first answer is read.
const LEAVE: Duration = Duration::from_secs(1);
/// What an event stream says that it is.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// Where messages are posted, and with what; each message takes a clone of it.
pub(crate) struct Post(pub(super) RequestBuilder);

impl Post {
    /// The request for a message; a request without a stream for a body can always be cloned.
    pub(crate) fn of(&self, message: String) -> Option<RequestBuilder> {
        let request = self.0.try_clone()?.header(header::ACCEPT, EVENT_STREAM);
        Some(request.header(header::CONTENT_TYPE, "application/json").body(message))
    }

    /// Whether somebody is there who answers a message with events and lets the judge in.
    pub(crate) async fn reach(&self, url: &str, message: String) -> Result<(), TargetError> {
        let unreachable = |why: String| TargetError::Unreachable(format!("{url} {why}"));
        let Some(request) = self.of(message) else { return Err(unreachable("cannot be asked".to_owned())) };
        let mut answer = request
            .send()
            .await
            .map_err(|error| unreachable(format!("does not answer: {}", root(&error))))?;
        match (answer.status().as_u16(), content_type(&answer)) {
            (status @ (401 | 403), _) => {
                Err(TargetError::Refused(format!("{url} refused the message with HTTP {status}")))
            }
            (421, _) => Err(TargetError::Misaddressed(format!("{url} refused the message with HTTP 421"))),
            (200, kind) if kind.starts_with(EVENT_STREAM) => {
                // A run that is left in its middle may hurt others: that is for a check to find out.
                let rest = async { while matches!(answer.chunk().await, Ok(Some(_))) {} };
                let _ = tokio::time::timeout(LEAVE, rest).await;
                Ok(())
            }
            (status, kind) => Err(unreachable(format!(
                "does not speak this protocol: it answered a message with HTTP {status} and {kind:?} in place of {EVENT_STREAM} (endpoint.transport, endpoint.path)"
            ))),
        }
    }
}

/// What an answer says that it is.
pub(crate) fn content_type(answer: &Response) -> String {
    let named = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.unwrap_or("no content type").to_owned()
}

/// The innermost cause: the outer ones say only that a request failed.
pub(crate) fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
