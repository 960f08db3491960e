//! Why there is no key, in a sentence for who sets the server up.

use std::path::PathBuf;

use super::{KEY_FILE, PREVIOUS_KEY_FILE};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make the key {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "{path} is not a key of 64 hex digits; move it away to have a new one made (old tokens end then)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of public keys cannot be used.
    #[error(
        "jwt.public_key_file: {path} cannot be used: {reason}. It takes public keys or certificates in PEM: RSA of \
         2048 bits or more, P-256, Ed25519"
    )]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The issuer's keys cannot be had.
    #[error("jwt.jwks_url: the keys of {url} cannot be had: {reason}")]
    Jwks {
        /// Where they should be.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An algorithm that there is not.
    #[error(
        "jwt.algorithms: {name:?} is none of HS256, EdDSA, ES256, RS256, or there is none at all; such as \
         jwt.algorithms = [\"HS256\"]"
    )]
    Algorithm {
        /// Its name.
        name: String,
    },
    /// A permission that there is not.
    #[error(
        "{key}: {name:?} is not a permission; there are chat, threads:read, threads:write, runs:cancel, admin:read, \
         admin:users, admin:server and admin:*"
    )]
    Permission {
        /// The setting.
        key: &'static str,
        /// The name.
        name: String,
    },
}

impl KeyError {
    /// True when a setting has to be changed, and not a file of the data directory.
    pub fn is_of_settings(&self) -> bool {
        match self {
            Self::Io { path, .. } => {
                let own = path.file_name().is_some_and(|name| name == KEY_FILE || name == PREVIOUS_KEY_FILE);
                !own
            }
            Self::Damaged { .. } => false,
            Self::PublicKey { .. } | Self::Jwks { .. } | Self::Algorithm { .. } | Self::Permission { .. } => {
                true
            }
        }
    }
}
