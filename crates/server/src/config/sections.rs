//! The sections of the settings, with their defaults.

use serde::{Deserialize, Serialize};

/// How tokens are checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// The HS256 secret; when empty, the key in the data directory, made on first use.
    pub secret: String,
    /// What `iss` must be; not checked when empty.
    pub issuer: String,
    /// What `aud` must hold; not checked when empty.
    pub audience: String,
}

/// How much of the logs is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Events older than this may go.
    pub hours: f64,
    /// What a user's log may take.
    pub bytes_per_user: u64,
    /// How often the logs are looked through.
    pub every_seconds: f64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { hours: 24.0, bytes_per_user: 64 << 20, every_seconds: 60.0 }
    }
}

/// How the server goes away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long runs may go on.
    pub seconds: f64,
    /// Over which time the clients come back.
    pub spread_seconds: f64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { seconds: 10.0, spread_seconds: 10.0 }
    }
}
