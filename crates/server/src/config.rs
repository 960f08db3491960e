//! Settings: flags before environment before file before defaults. File `section.key` = `WIREPROOF_SECTION_KEY`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{limits::Limits, sabotage::Bugs};

mod accounts;
mod environment;
mod jwt;
pub mod origins;
mod sections;
mod tls;

pub use accounts::AccountsConfig;
pub use jwt::JwtConfig;
pub use sections::*;
pub use tls::TlsConfig;

/// All settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the store and the keys are.
    pub data_dir: PathBuf,
    /// How tokens are checked.
    pub jwt: JwtConfig,
    /// Which credentials count.
    pub auth: AuthConfig,
    /// Who may have an account, and how long a login lasts.
    pub accounts: AccountsConfig,
    /// How tickets for browsers are sold.
    pub tickets: TicketsConfig,
    /// What stands before the server.
    pub http: HttpConfig,
    /// With which certificate it speaks TLS.
    pub tls: TlsConfig,
    /// What users may do.
    pub limits: Limits,
    /// How much of the logs is kept.
    pub retention: RetentionConfig,
    /// How the server goes away.
    pub drain: DrainConfig,
    /// Who may see the numbers.
    pub metrics: MetricsConfig,
    /// How the program logs.
    pub log: LogConfig,
    /// Where traces go.
    pub otel: OtelConfig,
    /// True to serve whoever shows no credentials as the user `anonymous`; only on a loopback address. A flag, and
    /// never a setting of the file or the environment.
    #[serde(skip)]
    pub insecure_no_auth: bool,
    /// The bugs that the kit switches on; none, unless compiled to have some.
    #[serde(skip)]
    pub bugs: Bugs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            data_dir: PathBuf::from("wireproof-data"),
            jwt: JwtConfig::default(),
            auth: AuthConfig::default(),
            accounts: AccountsConfig::default(),
            tickets: TicketsConfig::default(),
            http: HttpConfig::default(),
            tls: TlsConfig::default(),
            limits: Limits::default(),
            retention: RetentionConfig::default(),
            drain: DrainConfig::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
            otel: OtelConfig::default(),
            insecure_no_auth: false,
            bugs: Bugs::default(),
        }
    }
}

/// What flags say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--insecure-no-auth`.
    pub insecure_no_auth: bool,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds what no setting is.
    #[error("the configuration {path} cannot be used: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// An environment variable cannot be used.
    #[error("the environment variable {name} cannot be used: {reason}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A value makes no sense.
    #[error("{key} = {value} cannot be used: {reason}")]
    Value {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Config {
    /// Reads file and environment; flags win.
    pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Self, ConfigError> {
        Self::load_with(file, flags, |name| std::env::var(name).ok())
    }

    fn load_with(
        file: Option<&Path>,
        flags: Overrides,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = match file {
            None => Config::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
                toml::from_str(&text).map_err(|e| ConfigError::File {
                    path: path.to_owned(),
                    reason: place(&text, &e).trim_end().to_owned(),
                })?
            }
        };
        config = environment::apply(&config, &environment)?;
        config.listen = flags.listen.unwrap_or(config.listen);
        config.data_dir = flags.data_dir.unwrap_or(config.data_dir);
        config.insecure_no_auth = flags.insecure_no_auth;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("accounts.access_seconds", self.accounts.access_seconds),
            ("accounts.refresh_seconds", self.accounts.refresh_seconds),
            ("limits.heartbeat_seconds", self.limits.heartbeat_seconds),
            ("limits.dead_seconds", self.limits.dead_seconds),
            ("limits.stall_seconds", self.limits.stall_seconds),
            ("limits.authenticate_seconds", self.limits.authenticate_seconds),
            ("limits.run_seconds", self.limits.run_seconds),
            ("limits.header_seconds", self.limits.header_seconds),
            ("limits.body_seconds", self.limits.body_seconds),
            ("limits.http_seconds", self.limits.http_seconds),
            ("limits.tool_seconds", self.limits.tool_seconds),
            ("tls.poll_seconds", self.tls.poll_seconds),
            ("tls.handshake_seconds", self.tls.handshake_seconds),
            ("retention.every_seconds", self.retention.every_seconds),
            ("retention.hours", self.retention.hours),
            ("tickets.seconds", self.tickets.seconds),
        ];
        for (key, value) in positive {
            if !(1e-3..1e9).contains(&value) {
                return Err(ConfigError::Value {
                    key,
                    value: value.to_string(),
                    reason: "it must be from 0.001 to 1e9",
                });
            }
        }
        let not_negative = [
            ("limits.token_grace_seconds", self.limits.token_grace_seconds),
            ("drain.seconds", self.drain.seconds),
            ("drain.spread_seconds", self.drain.spread_seconds),
        ];
        for (key, value) in not_negative {
            if !(0.0..1e9).contains(&value) {
                return Err(ConfigError::Value {
                    key,
                    value: value.to_string(),
                    reason: "it must be from 0 to 1e9",
                });
            }
        }
        let limits = &self.limits;
        if limits.dead_seconds <= limits.heartbeat_seconds {
            let (key, value) = ("limits.dead_seconds", limits.dead_seconds.to_string());
            return Err(ConfigError::Value {
                key,
                value,
                reason: "it must be above limits.heartbeat_seconds",
            });
        }
        if limits.message_hard_bytes > 0 && limits.message_bytes > limits.message_hard_bytes {
            let (key, value) = ("limits.message_bytes", limits.message_bytes.to_string());
            return Err(ConfigError::Value {
                key,
                value,
                reason: "it must not be above limits.message_hard_bytes",
            });
        }
        self.http.proxies()?;
        self.metrics.watchers()?;
        self.http.origins()?;
        self.jwt.check()?;
        Ok(())
    }
}

/// What is wrong with a file and where, without the line itself: it may hold a secret.
fn place(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message();
    // A text of the wrong type is told by its type alone.
    let shown = match (message.find(": string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}: string{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    };
    format!("line {line}: {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], flags: Overrides) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wireproof.toml");
        std::fs::write(&path, file).unwrap();
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Config::load_with(Some(&path), flags, get)
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file =
            "listen = \"127.0.0.1:1\"\ndata_dir = \"file\"\n[limits]\nqueued_runs = 7\nconcurrent_runs = 3\n";
        let flags = Overrides { data_dir: Some("flag".into()), ..Overrides::default() };
        let variables = [
            ("WIREPROOF_LISTEN", "127.0.0.1:2"),
            ("WIREPROOF_DATA_DIR", "environment"),
            ("WIREPROOF_LIMITS_QUEUED_RUNS", "9"),
            ("WIREPROOF_LIMITS_RUN_SECONDS", "12"),
        ];
        let config = load(file, &variables, flags).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("flag"));
        assert_eq!(config.listen.port(), 2);
        assert_eq!((config.limits.queued_runs, config.limits.concurrent_runs), (9, 3));
        assert_eq!(config.limits.run_seconds, 12.0);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let none = Overrides::default;
        let unknown = load("[limits]\nqueud_runs = 7\n", &[], none()).unwrap_err().to_string();
        assert!(unknown.contains("queud_runs"), "{unknown}");
        let mistyped = load("", &[("WIREPROOF_LIMITS_QUEUED_RUNS", "many")], none()).unwrap_err().to_string();
        assert!(mistyped.contains("WIREPROOF_LIMITS_QUEUED_RUNS") && mistyped.contains("many"), "{mistyped}");
        let address = load("", &[("WIREPROOF_LISTEN", "nowhere")], none()).unwrap_err().to_string();
        assert!(address.contains("WIREPROOF_LISTEN"), "{address}");
        let short = load("", &[("WIREPROOF_JWT_SECRET", "hunter2")], none()).unwrap_err().to_string();
        assert!(short.contains("jwt.secret") && !short.contains("hunter2"), "{short}");
        assert!(load("[limits]\nrun_seconds = 0.0\n", &[], none()).is_err());
        assert!(load("[retention]\nevery_seconds = 1e-10\n", &[], none()).is_err());
        for file in ["jwt = \"hunter2\"", "[jwt]\nsecret = [\"hunter2\"]", "[jwt]\nsecret = hunter2"] {
            let error = load(file, &[], none()).unwrap_err().to_string();
            assert!(error.contains("line ") && !error.contains("hunter2"), "{error}");
        }
    }
}
