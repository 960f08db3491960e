//! What a token says, and whether that is enough.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wireproof_protocol::UserId;

use super::{AuthError, CLOCK_AHEAD, Permissions, Principal};

/// The claims that we read and write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// When the token expires, in Unix seconds.
    pub exp: f64,
    /// When it was made, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<f64>,
    /// Its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Value>,
    /// The login it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What it grants; a user's usual permissions when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<Value>,
    /// Whom it is for: one or a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Value>,
}

impl Claims {
    /// The principal, if the claims hold at `now`.
    pub fn principal(&self, now: f64) -> Result<Principal, AuthError> {
        let user_id = UserId::new(&self.sub).map_err(|_| AuthError::Invalid)?;
        if !self.exp.is_finite() {
            return Err(AuthError::Invalid);
        }
        if self.exp <= now {
            return Err(AuthError::Expired);
        }
        if self.iat.is_some_and(|iat| !iat.is_finite() || iat > now + CLOCK_AHEAD.as_secs_f64()) {
            return Err(AuthError::Invalid);
        }
        let permissions = match &self.permissions {
            Some(names) => Permissions::named(names.iter().map(String::as_str)),
            None => Permissions::of_a_user(),
        };
        let token_id = self.jti.as_ref().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        Ok(Principal {
            user_id,
            expires_at: self.exp,
            issued_at: self.iat,
            token_id,
            session_id: self.sid.clone(),
            permissions,
        })
    }
}
