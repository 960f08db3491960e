//! What the start itself asks of the settings: a server starts when nothing is found here, and its store and its port
//! are free.

use wireproof_server::{
    ConfigError, Server, StartError,
    auth::{
        KeyError,
        keys::{KEY_FILE, PREVIOUS_KEY_FILE},
    },
    config::LogConfig,
    tls::TlsError,
};

use super::Findings;
use crate::logging;

const WHY: &str = "the server does not start with it";
const CORRECT: &str = "correct the setting; wireproof.example.toml has all of them";

/// Settings that cannot be read.
pub(super) fn unreadable(faults: &[ConfigError], findings: &mut Findings) {
    for fault in faults {
        findings.error("settings.unusable", fault.to_string(), WHY, CORRECT);
    }
}

/// Settings that are read and cannot be used.
pub(super) fn examine(config: &wireproof_server::Config, findings: &mut Findings) {
    levels(&config.log, findings);
    for error in Server::check(config) {
        let (id, remedy) = match &error {
            StartError::Key(error) => of_key(error),
            StartError::Tls(TlsError::Half) => {
                ("tls.half", "set both tls.cert_file and tls.key_file, or neither")
            }
            StartError::Tls(TlsError::File { .. }) => {
                ("tls.unreadable", "correct the path, and give the file to the server's user")
            }
            StartError::Tls(TlsError::Pair { .. }) => {
                ("tls.pair", "put the key there that the certificate was made for")
            }
            StartError::Exposed(_) => {
                ("auth.insecure", "leave --insecure-no-auth out, or change the setting")
            }
            _ => ("settings.unusable", CORRECT),
        };
        findings.error(id, error.to_string(), WHY, remedy);
    }
}

fn levels(log: &LogConfig, findings: &mut Findings) {
    if let Err(error) = logging::filter(log) {
        findings.error("settings.unusable", error.to_string(), WHY, CORRECT);
    }
}

fn of_key(error: &KeyError) -> (&'static str, &'static str) {
    match error {
        KeyError::Damaged { .. } => (
            "keys.damaged",
            "bring the file back from a copy, or remove it: a new one is made and all tokens end",
        ),
        KeyError::Io { path, .. } => match path.file_name() {
            Some(name) if name == KEY_FILE || name == PREVIOUS_KEY_FILE => {
                ("keys.unreadable", "give the file to the server's user (chown)")
            }
            _ => ("keys.public_unreadable", "correct the path, or give the file to the server's user"),
        },
        KeyError::PublicKey { reason, .. } if reason.contains("private key") => {
            ("keys.private", "put the public key there: openssl pkey -in KEY -pubout")
        }
        KeyError::PublicKey { .. } => {
            ("keys.public_unreadable", "convert it: openssl pkey -pubin -inform DER -in KEY")
        }
        KeyError::Jwks { .. } => ("keys.jwks", "correct jwt.jwks_url, or leave it out"),
        KeyError::Algorithm { .. } | KeyError::Permission { .. } => ("settings.unusable", CORRECT),
    }
}
