//! Who is there: a token becomes a principal. Identity comes from nowhere else.

use std::time::{Duration, Instant};

use wireproof_protocol::{ErrorCode, UserId};

use crate::{error::Refusal, limits::rates::RateExceeded};

pub mod accounts;
mod attempts;
pub mod claims;
pub mod keys;
pub mod logins;
pub mod passwords;
mod refresh_token;
pub mod reserved;
pub mod revocations;
pub mod rules;
pub mod table;
pub mod tickets;
pub mod token;

pub use crate::permissions::{Permission, Permissions};
pub use claims::Claims;
pub use keys::{KeyError, KeyId, Keys};
pub use revocations::Revocations;
pub use tickets::Tickets;

/// Who everybody without credentials is when authentication is switched off.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// An authenticated user.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The token's `sub`.
    pub user_id: UserId,
    /// When the token expires, in Unix seconds.
    pub expires_at: f64,
    /// When the token was made, in Unix seconds, if it says so; for a token of others the earliest time it may mean.
    pub issued_at: Option<f64>,
    /// The token's own id (`jti`), if it has one.
    pub token_id: Option<String>,
    /// The login that the token belongs to (`sid`), if it has one: all tokens of one refresh family share it.
    pub session_id: Option<String>,
    /// What the user may do.
    pub permissions: Permissions,
    /// The key that vouches for it; it ends with the key.
    pub key: Option<KeyId>,
}

/// All that decides who somebody is.
pub struct Auth {
    /// What checks and makes tokens.
    pub keys: Keys,
    /// What no longer counts although it is not expired.
    pub revocations: Revocations,
    /// The tickets for browsers.
    pub tickets: Tickets,
    /// True when a token in the address of a WebSocket counts.
    pub query_token: bool,
    /// True when who shows no credentials is the user `anonymous`.
    pub insecure_no_auth: bool,
}

impl Auth {
    /// The principal of a token that is good now; nothing when an issuer has to be asked first.
    pub fn authenticate_now(&self, token: &str) -> Option<Result<Principal, AuthError>> {
        let verified = self.keys.verify_now(token)?;
        Some(verified.and_then(|principal| self.checked(principal)))
    }

    /// The same once the issuer was asked, which takes at most 4.5 s.
    pub async fn authenticate_asking(&self, token: &str) -> Result<Principal, AuthError> {
        self.checked(self.keys.verify_asking(token).await?)
    }

    /// The principal of a ticket that is good now; it is used up.
    pub fn redeem(&self, ticket: &str) -> Result<Principal, AuthError> {
        let principal = self.tickets.redeem(ticket, Instant::now())?;
        if principal.expires_at <= crate::clock::unix_now() {
            return Err(AuthError::Expired);
        }
        self.checked(principal)
    }

    /// The principal of who shows nothing: nobody, unless authentication is switched off.
    pub fn unauthenticated(&self) -> Result<Principal, AuthError> {
        if !self.insecure_no_auth {
            return Err(AuthError::Missing);
        }
        self.nobody()
    }

    /// The principal of everybody where authentication is switched off.
    pub fn nobody(&self) -> Result<Principal, AuthError> {
        Ok(Principal {
            user_id: UserId::new(ANONYMOUS).map_err(|_| AuthError::Missing)?,
            expires_at: f64::MAX,
            issued_at: None,
            token_id: None,
            session_id: None,
            permissions: Permissions::of_a_user(),
            key: None,
        })
    }

    /// The principal, unless the credentials were revoked by now, or their key is no longer trusted.
    pub fn checked(&self, principal: Principal) -> Result<Principal, AuthError> {
        if !self.is_trusted(&principal) {
            return Err(AuthError::Invalid);
        }
        if self.revocations.concern(&principal) { Err(AuthError::Revoked) } else { Ok(principal) }
    }

    /// True while the key is trusted that vouches for the principal.
    pub fn is_trusted(&self, principal: &Principal) -> bool {
        principal.key.is_none_or(|key| self.keys.trusts(key))
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
    /// Too many bad ones came from the same address: this one was not looked at.
    #[error("too many bad tokens came from this address")]
    TooMany(RateExceeded),
    /// Too many tokens wait for the keys of their issuer: this one was not looked at.
    #[error("too many tokens wait for the keys of their issuer")]
    Waiting(RateExceeded),
    /// The token was good until it was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The ticket is not one, or was used, or is too old.
    #[error("the ticket is not valid")]
    Ticket,
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
            AuthError::TooMany(exceeded) => exceeded.into(),
            AuthError::Waiting(exceeded) => {
                let sentence = "Too many tokens wait for the keys of their issuer; try again later.";
                let mut refusal = Self::from(exceeded);
                refusal.body.message = sentence.to_owned();
                refusal
            }
            AuthError::Revoked => Refusal::new(ErrorCode::Unauthenticated, "The token was revoked."),
            AuthError::Ticket => {
                Refusal::new(ErrorCode::Unauthenticated, "Authentication failed: the ticket is not valid.")
            }
            AuthError::Expired => Refusal::new(ErrorCode::TokenExpired, "The token has expired."),
        }
    }
}

/// How far ahead of our clock `iat` may be.
pub const CLOCK_AHEAD: Duration = Duration::from_secs(60);
