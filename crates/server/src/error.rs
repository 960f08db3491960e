//! From inside to outside: one place says which code and sentence a refusal has. Causes stay in our log.

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
