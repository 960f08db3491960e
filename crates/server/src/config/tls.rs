//! The settings of TLS.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// With which certificate the server speaks TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those that vouch for it, as PEM; without one the server speaks no TLS.
    pub cert_file: PathBuf,
    /// The certificate's private key, as PEM.
    pub key_file: PathBuf,
    /// How often the two files are looked at for a change.
    pub poll_seconds: f64,
    /// How long a client may take for the TLS handshake.
    pub handshake_seconds: f64,
}

impl TlsConfig {
    /// True when the server shall speak TLS.
    pub fn is_set(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            poll_seconds: 10.0,
            handshake_seconds: 10.0,
        }
    }
}
