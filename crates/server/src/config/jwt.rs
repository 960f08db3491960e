//! How tokens are checked: whose keys, and what the claims must say and grant.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// How tokens are checked. Several sources of keys may be on at once.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// The HS256 secret, 32 bytes or more; when empty, the key in the data directory, made on first use.
    pub secret: String,
    /// The secret before it: its tokens are good until this is taken away.
    pub previous_secret: String,
    /// A PEM file with public keys or certificates (RSA, P-256, Ed25519) whose tokens are taken; none when empty.
    pub public_key_file: PathBuf,
    /// Where an issuer publishes its keys: `https`, or `http` on this machine; none when empty.
    pub jwks_url: String,
    /// How often the published keys are looked at.
    pub jwks_refresh_seconds: f64,
    /// The least time between two looks, whatever tokens come.
    pub jwks_min_seconds: f64,
    /// How long keys are good when the issuer cannot be reached.
    pub jwks_keep_seconds: f64,
    /// The algorithms that are taken: of HS256, EdDSA, ES256, RS256.
    pub algorithms: Vec<String>,
    /// What `iss` must be; not checked when empty.
    pub issuer: String,
    /// What `aud` must hold; not checked when empty.
    pub audience: String,
    /// How far the issuer's clock may be from ours, in seconds; at most 300.
    pub leeway_seconds: f64,
    /// What claims such as `token_use` and `type` may say that a token is for; one that says something else is refused.
    pub access_types: Vec<String>,
    /// The longest that a token counts after its `iat`, in seconds, however far off its end is, and that a revocation is
    /// kept.
    pub max_life_seconds: f64,
    /// The claim that names the user in tokens of others; dots lead into objects.
    pub user_claim: String,
    /// The claim that names what a token of others grants: a list, or words; dots lead into objects.
    pub permissions_claim: String,
    /// What each value of that claim grants; when empty, the values are the names of permissions. It has no variable.
    pub permission_map: BTreeMap<String, Vec<String>>,
    /// What a token of others grants that lacks the claim.
    pub default_permissions: Vec<String>,
    /// Whether tokens of others may grant `admin:*`.
    pub external_admin: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            secret: String::new(),
            previous_secret: String::new(),
            public_key_file: PathBuf::new(),
            jwks_url: String::new(),
            jwks_refresh_seconds: 300.0,
            jwks_min_seconds: 10.0,
            jwks_keep_seconds: 86_400.0,
            algorithms: words(&["HS256", "EdDSA", "ES256", "RS256"]),
            issuer: String::new(),
            audience: String::new(),
            leeway_seconds: 0.0,
            access_types: words(&["access", "access_token", "at+jwt", "jwt", "bearer"]),
            max_life_seconds: 400.0 * 86_400.0,
            user_claim: "sub".to_owned(),
            permissions_claim: "permissions".to_owned(),
            permission_map: BTreeMap::new(),
            default_permissions: words(&["chat", "threads:read", "threads:write", "runs:cancel"]),
            external_admin: false,
        }
    }
}

/// Without the secrets: settings find their way into logs.
impl fmt::Debug for JwtConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &str| if secret.is_empty() { "" } else { "(hidden)" };
        f.debug_struct("JwtConfig")
            .field("secret", &hidden(&self.secret))
            .field("previous_secret", &hidden(&self.previous_secret))
            .field("public_key_file", &self.public_key_file)
            .field("jwks_url", &hidden(&self.jwks_url))
            .field("algorithms", &self.algorithms)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl JwtConfig {
    /// True when tokens of others than this server may be taken by keys of their own.
    pub fn is_external(&self) -> bool {
        !self.jwks_url.is_empty() || !self.public_key_file.as_os_str().is_empty()
    }

    /// What makes no sense.
    pub(super) fn check(&self, faults: &mut Vec<ConfigError>) {
        let mut refuse = |key, value: &dyn fmt::Display, reason| {
            faults.push(ConfigError::Value { key, value: value.to_string(), reason });
        };
        for (key, secret) in [("jwt.secret", &self.secret), ("jwt.previous_secret", &self.previous_secret)] {
            if !secret.is_empty() && secret.len() < 32 {
                refuse(key, &"(hidden)", "it must have 32 bytes or more");
            }
        }
        if !(0.0..=300.0).contains(&self.leeway_seconds) {
            refuse("jwt.leeway_seconds", &self.leeway_seconds, "it must be from 0 to 300");
        }
        if !(1.0..=1e9).contains(&self.max_life_seconds) {
            refuse("jwt.max_life_seconds", &self.max_life_seconds, "it must be from 1 to 1e9");
        }
        if self.access_types.iter().any(String::is_empty) || self.access_types.is_empty() {
            refuse("jwt.access_types", &"[]", "it must hold a word, such as \"access\"");
        }
        let minimum = self.jwks_min_seconds;
        if !(0.05..=3600.0).contains(&minimum) {
            refuse("jwt.jwks_min_seconds", &minimum, "it must be from 0.05 to 3600");
        }
        let refresh = self.jwks_refresh_seconds;
        if !(minimum..=86_400.0).contains(&refresh) {
            refuse("jwt.jwks_refresh_seconds", &refresh, "it must be from jwt.jwks_min_seconds to 86400");
        }
        if !(refresh..=1e9).contains(&self.jwks_keep_seconds) {
            refuse(
                "jwt.jwks_keep_seconds",
                &self.jwks_keep_seconds,
                "it must be from jwt.jwks_refresh_seconds to 1e9",
            );
        }
        for (key, claim) in
            [("jwt.user_claim", &self.user_claim), ("jwt.permissions_claim", &self.permissions_claim)]
        {
            if claim.is_empty() {
                refuse(key, &"\"\"", "it must name a claim");
            }
        }
    }
}
