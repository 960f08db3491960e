//! The settings of accounts.

use serde::{Deserialize, Serialize};

/// Who may have an account, and how long a login lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// Whether anybody may register; closed unless opened.
    pub registration: bool,
    /// How long an access token lives.
    pub access_seconds: f64,
    /// How long a refresh token is good, and with it a login that nobody uses.
    pub refresh_seconds: f64,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self { registration: false, access_seconds: 900.0, refresh_seconds: 30.0 * 86_400.0 }
    }
}
