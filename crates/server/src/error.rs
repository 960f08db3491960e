//! From inside to outside: one place says which code, status and sentence a refusal has. Causes stay in our log.

use http::StatusCode;
use wireproof_protocol::{ErrorBody, ErrorCode};

/// Something that was refused, as the outside sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Code and sentence.
    pub body: Box<ErrorBody>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, sentence: impl Into<String>) -> Self {
        Self { body: Box::new(ErrorBody::new(code, sentence)) }
    }

    /// The same, with the time after which the request may succeed, in seconds.
    pub fn after(mut self, seconds: f64) -> Self {
        self.body.retry_after_ms = Some((seconds * 1000.0).ceil() as u64);
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.body.error_code
    }
}

impl From<ErrorBody> for Refusal {
    fn from(body: ErrorBody) -> Self {
        Self { body: Box::new(body) }
    }
}

/// The HTTP status of a code.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidJson => StatusCode::BAD_REQUEST,
        ErrorCode::InvalidFrame | ErrorCode::MissingField | ErrorCode::UnknownType => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorCode::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited | ErrorCode::TooManyConnections | ErrorCode::TooManyRuns => {
            StatusCode::TOO_MANY_REQUESTS
        }
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::QuotaExceeded => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::IdReused | ErrorCode::CursorAhead | ErrorCode::NameTaken => StatusCode::CONFLICT,
        ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_code_with_its_status() {
        let page = include_str!("../../../docs/protocol.md");
        // The one code that the server never sends.
        for &code in ErrorCode::ALL.iter().filter(|code| **code != ErrorCode::AgentFailed) {
            let retryable = if code.retryable() { "yes" } else { "no" };
            let row = format!("| `{}` | {} | {retryable} |", code.as_str(), status(code).as_u16());
            assert!(
                page.contains(&row),
                "\"Errors\" of docs/protocol.md lacks the row\n{row} when | details |"
            );
        }
    }
}
