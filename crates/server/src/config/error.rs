//! Why settings cannot be used, each with its key and an example.

use std::path::PathBuf;

use super::known;

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
    #[error("the configuration {path} cannot be used: {reason}{}", known::hint(key))]
    File {
        /// The file.
        path: PathBuf,
        /// The setting; empty for a file that is not TOML.
        key: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// An environment variable cannot be used.
    #[error("the environment variable {name} cannot be used: {reason}{}", known::variable_hint(name))]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A value makes no sense.
    #[error("{key} = {value} cannot be used: {reason}{}", known::hint(key))]
    Value {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The setting needs a feature that this program was built without.
    #[error(
        "{key} cannot be used: this program was built without the feature {feature} (see `wireproof --version`)"
    )]
    Feature {
        /// The setting.
        key: &'static str,
        /// The feature of the build.
        feature: &'static str,
    },
    /// Several of them.
    #[error("{} settings cannot be used:{}", .0.len(), .0.iter().map(|fault| format!("\n  - {fault}")).collect::<String>())]
    Several(Vec<ConfigError>),
}

impl ConfigError {
    /// Nothing of none, the one of one, and a list of more.
    pub(super) fn of(mut faults: Vec<Self>) -> Result<(), Self> {
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => Err(Self::Several(faults)),
        }
    }
}
