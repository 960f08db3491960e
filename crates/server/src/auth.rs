//! Who is there: a token becomes a principal. Identity comes from nowhere else.

use std::time::Duration;

use wireproof_protocol::{ErrorCode, UserId};

use crate::error::Refusal;

pub mod claims;
pub mod keys;
pub mod permissions;
pub mod token;

pub use claims::Claims;
pub use keys::{KeyError, Keys};
pub use permissions::{Permission, Permissions};

/// An authenticated user.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The token's `sub`.
    pub user_id: UserId,
    /// When the token expires, in Unix seconds.
    pub expires_at: f64,
    /// When the token was made, in Unix seconds, if it says so.
    pub issued_at: Option<f64>,
    /// The token's own id (`jti`), if it has one.
    pub token_id: Option<String>,
    /// The login that the token belongs to (`sid`), if it has one: all tokens of one refresh family share it.
    pub session_id: Option<String>,
    /// What the user may do.
    pub permissions: Permissions,
}

/// All that decides who somebody is.
pub struct Auth {
    /// What checks and makes tokens.
    pub keys: Keys,
}

impl Auth {
    /// The principal of a token that is good now.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, AuthError> {
        self.keys.verify(token)
    }
}

/// What is wrong with credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There are none.
    #[error("no credentials were given")]
    Missing,
    /// The token is not one, or not signed by our key, or lacks what it needs.
    #[error("the token is not valid")]
    Invalid,
    /// The token was good once.
    #[error("the token has expired")]
    Expired,
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => {
                Refusal::new(ErrorCode::Unauthenticated, "Authentication is needed: no token was given.")
            }
            AuthError::Invalid => {
                Refusal::new(ErrorCode::Unauthenticated, "Authentication failed: the token is not valid.")
            }
            AuthError::Expired => Refusal::new(ErrorCode::TokenExpired, "The token has expired."),
        }
    }
}

/// How far ahead of our clock `iat` may be.
pub const CLOCK_AHEAD: Duration = Duration::from_secs(60);
