//! Settings: flags before environment before file before defaults. File `section.key` = `WIREPROOF_SECTION_KEY`.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};
use wireproof_protocol::listen_address;

use crate::{failpoints::Failpoints, limits::Limits};

mod accounts;
mod change;
mod check;
mod environment;
mod error;
mod exposure;
mod file;
pub mod hosts;
mod jwt;
mod known;
mod log;
pub mod origins;
mod quota;
mod sections;
mod tls;

pub use accounts::AccountsConfig;
pub use environment::{UnknownVariable, unknown_variables};
pub use error::ConfigError;
pub use exposure::Exposed;
pub use jwt::JwtConfig;
pub use log::{LogConfig, LogFormat, is_filter};
pub use quota::QuotaConfig;
pub use sections::*;
pub use tls::TlsConfig;

/// All settings of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, also `--listen`; port 0 takes a free one, `:8787` is this machine only, `0.0.0.0:8787` or `[::]:8787` all addresses.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Where the store and the keys are, also `--data-dir`.
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
    /// What one user may keep.
    pub quota: QuotaConfig,
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
    /// The fault that a test switches on; none, unless compiled with the feature `failpoints`.
    #[serde(skip)]
    pub failpoints: Failpoints,
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
            quota: QuotaConfig::default(),
            retention: RetentionConfig::default(),
            drain: DrainConfig::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
            otel: OtelConfig::default(),
            insecure_no_auth: false,
            failpoints: Failpoints::default(),
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

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    listen_address(&String::deserialize(deserializer)?)
        .map_err(|error| serde::de::Error::custom(format!("{error}; {}", error.next())))
}

impl Config {
    /// Reads file and environment; flags win. The error names every setting that cannot be used.
    pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Self, ConfigError> {
        let (config, faults) = Self::read(file, flags);
        ConfigError::of(faults)?;
        Ok(config)
    }

    /// The same, with each fault by itself; a setting that cannot be used has its default.
    pub fn read(file: Option<&Path>, flags: Overrides) -> (Self, Vec<ConfigError>) {
        Self::read_with(file, flags, |name| std::env::var_os(name))
    }

    fn read_with(
        path: Option<&Path>,
        flags: Overrides,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> (Self, Vec<ConfigError>) {
        let (mut settings, mut faults) = (known::defaults(), Vec::new());
        if let Some(path) = path {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Io { path: path.to_owned(), source });
            let read = text.and_then(|text| file::read(path, &text, &mut settings, &mut faults));
            faults.extend(read.err());
        }
        environment::apply(&mut settings, &variable, &mut faults);
        // Each value was tried when it was set.
        let mut config: Self = settings.try_into().unwrap_or_default();
        config.listen = flags.listen.unwrap_or(config.listen);
        config.data_dir = flags.data_dir.unwrap_or(config.data_dir);
        config.insecure_no_auth = flags.insecure_no_auth;
        let senseless = config.check();
        if !senseless.is_empty() {
            config = config.without(&senseless);
        }
        faults.extend(senseless);
        (config, faults)
    }

    /// The same with the defaults in the place of what these name.
    fn without(self, faults: &[ConfigError]) -> Self {
        let insecure_no_auth = self.insecure_no_auth;
        let (mut settings, defaults) = (Table::try_from(&self).unwrap_or_default(), known::defaults());
        for fault in faults {
            let ConfigError::Value { key, .. } = fault else { continue };
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            match (settings.get_mut(section), defaults.get(section)) {
                (Some(Value::Table(settings)), Some(Value::Table(defaults))) => {
                    settings.insert(name.to_owned(), defaults[name].clone());
                }
                _ => {
                    settings.insert(name.to_owned(), defaults[name].clone());
                }
            }
        }
        Self { insecure_no_auth, ..settings.try_into().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], flags: Overrides) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wireproof.toml");
        std::fs::write(&path, file).unwrap();
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        let (config, faults) = Config::read_with(Some(&path), flags, get);
        ConfigError::of(faults).map(|()| config)
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

    /// Bug: a burst as large as a file can say ended the server at its start, and a message as large each connection.
    #[test]
    fn no_whole_number_is_so_large_that_it_cannot_be_reckoned_with() {
        let defaults = known::defaults();
        let is_number = |key: &String| {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            defaults.get(section).and_then(|section| section.get(name)).is_some_and(Value::is_integer)
        };
        let keys: Vec<_> = known::keys(&defaults).into_iter().filter(is_number).collect();
        assert!(keys.iter().any(|key| key == "limits.message_burst") && keys.len() > 30, "{keys:?}");
        for key in keys {
            let (section, name) = key.split_once('.').unwrap();
            let file = format!("[{section}]\n{name} = 9223372036854775807\n");
            let error = load(&file, &[], Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(&key) && error.contains("at most"), "{error}");
            let variable = [(&*known::variable(&key), "9223372036854775807")];
            assert!(load("", &variable, Overrides::default()).is_err(), "{key} in the environment");
        }
        let most = u64::MAX;
        let limits = Limits { message_burst: most, ..Limits::default() };
        let now = std::time::Instant::now();
        crate::limits::rates::Rates::new(&limits, crate::metrics::Metrics::new(Default::default()), now);
    }

    /// Of a file with several faults only the first was named, and the next at the next start.
    #[test]
    fn all_faults_of_a_file_and_the_environment_are_named_at_once_with_examples() {
        let file = "listen = \":99999\"\n[limit]\nrun_seconds = 1\n[limits]\nrun_seconds = nan\nqueud_runs = 7\n\
                    concurrent_runs = \"many\"\nbody_seconds = -1\n[log]\nlevel = \"warning\"\nformat = \"xml\"\n\
                    [jwt]\nsecret = 12345\nleeway_seconds = inf\n[metrics]\nallow = [\"10.0.0.0/33\"]\n\
                    [otel]\nendpoint = \"localhost:4318\"\n[http]\nallowed_origins = [\"a.example\"]\n";
        let variables = [("WIREPROOF_LIMITS_DEAD_SECONDS", "soon"), ("WIREPROOF_DATA_DIR", "")];
        let error = load(file, &variables, Overrides::default()).unwrap_err();
        let ConfigError::Several(faults) = &error else { panic!("{error}") };
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for words in [
            ["listen", "line 1", "from 1 to 65535"],
            ["limit:", "line 2", "did you mean limits?"],
            ["limits.run_seconds", "NaN", "such as limits.run_seconds = 300.0"],
            ["limits.queud_runs", "line 6", "did you mean limits.queued_runs?"],
            ["limits.concurrent_runs", "line 7", "such as limits.concurrent_runs = 4"],
            ["limits.body_seconds", "-1", "such as limits.body_seconds = 30.0"],
            ["log.level", "warning", "off, error, warn, info, debug or trace"],
            ["log.format", "line 11", "`text` or `json`"],
            ["jwt.secret", "line 13", "it must be a text"],
            ["jwt.leeway_seconds", "inf", "such as jwt.leeway_seconds = 0.0"],
            ["metrics.allow", "10.0.0.0/33", "such as metrics.allow = ["],
            ["otel.endpoint", "localhost:4318", "such as otel.endpoint = \"http://127.0.0.1:4318\""],
            [
                "http.allowed_origins",
                "a.example",
                "such as http.allowed_origins = [\"https://app.example.com\"]",
            ],
            ["WIREPROOF_LIMITS_DEAD_SECONDS", "soon", "such as WIREPROOF_LIMITS_DEAD_SECONDS=60.0"],
            ["data_dir", "name a folder", "such as data_dir = \"wireproof-data\""],
        ] {
            let of = |fault: &&String| words.iter().all(|word| fault.contains(word));
            assert_eq!(shown.iter().filter(of).count(), 1, "{words:?} in:\n{}", shown.join("\n"));
        }
        assert_eq!(faults.len(), 15, "{error}");
        assert!(!error.to_string().contains("12345"), "{error}");
    }

    /// A variable whose value is no text was passed over, and one that is near to a setting was not told.
    #[test]
    fn no_variable_is_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let no_text = |name: &str| (name == "WIREPROOF_LOG_LEVEL").then(|| OsString::from_vec(vec![0xff]));
        let (_, faults) = Config::read_with(None, Overrides::default(), no_text);
        assert!(
            matches!(&faults[..], [ConfigError::Environment { name, .. }] if name == "WIREPROOF_LOG_LEVEL")
        );
        let names = || known::keys(&known::defaults()).into_iter().map(|key| known::variable(&key));
        for (name, near) in [
            ("WIREPROOF_LIMIT_CONNECTIONS", Some("WIREPROOF_LIMITS_CONNECTIONS")),
            ("WIREPROOF_LISTN", Some("WIREPROOF_LISTEN")),
            ("WIREPROOF_METRICS_ALOW", Some("WIREPROOF_METRICS_ALLOW")),
            ("WIREPROOF_NOTHING_LIKE_IT", None),
        ] {
            assert_eq!(known::nearest(name, names()).as_deref(), near, "{name}");
        }
    }

    /// A setting that makes no sense is its default for who only looks at the rest, so that no duration is NaN.
    #[test]
    fn what_makes_no_sense_has_its_default_for_whoever_looks_on() {
        let environment =
            |name: &str| (name == "WIREPROOF_TLS_HANDSHAKE_SECONDS").then(|| OsString::from("nan"));
        let (config, faults) = Config::read_with(None, Overrides::default(), environment);
        assert_eq!((config, faults.len()), (Config::default(), 1));
    }
}
