//! Why a store did not do what it was asked, and what the client is told then.

use wireproof_protocol::{ErrorBody, ErrorCode};

use super::QuotaUse;
use crate::error::Refusal;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or it is another user's.
    #[error("not found")]
    NotFound,
    /// The request id was used with another body.
    #[error("the request id was used before with another body")]
    IdReused,
    /// The user keeps as much as a quota allows.
    #[error("{0}")]
    QuotaExceeded(QuotaUse),
    /// The log no longer reaches back to the position.
    #[error("the log begins after seq {floor}")]
    TooOld {
        /// The last number that is gone.
        floor: u64,
    },
    /// The run is leased by another node, or is over.
    #[error("the run is no longer leased by this node")]
    LeaseLost,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// What writes is gone, though nobody closed the store.
    #[error("the store's writer is gone")]
    Failed,
    /// The database refused.
    #[error("the store failed: {reason}")]
    Database {
        /// SQLite's extended result code.
        code: i32,
        /// Why.
        reason: String,
    },
    /// The store cannot be reached and will be again; whether it did what it was asked is not known.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store failed in another way.
    #[error("the store failed: {0}")]
    Backend(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::new(ErrorCode::NotFound, "There is no such thing."),
            StoreError::IdReused => {
                Self::new(ErrorCode::IdReused, "This request id was used before with another body.")
            }
            StoreError::QuotaExceeded(full) => {
                let body = ErrorBody::new(ErrorCode::QuotaExceeded, full.to_string());
                let body = body.detail("quota", full.quota).detail("used", full.used);
                body.detail("allowed", full.allowed).into()
            }
            StoreError::Closed => Self::new(ErrorCode::ShuttingDown, "The server is restarting; try again."),
            StoreError::Failed => {
                Self::new(ErrorCode::ShuttingDown, "The store failed and the server ends; try again later.")
            }
            StoreError::Unavailable(_) => {
                tracing::warn!(error = %error, "a request was refused while the store is away");
                Self::new(ErrorCode::Internal, "The store cannot be reached; try again.").after(1.0)
            }
            StoreError::LeaseLost
            | StoreError::TooOld { .. }
            | StoreError::Database { .. }
            | StoreError::Backend(_) => {
                tracing::error!(error = %error, "the store failed a request");
                Self::new(ErrorCode::Internal, "Something went wrong inside; try again.")
            }
        }
    }
}
