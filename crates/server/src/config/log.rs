//! How the program logs, and which words say how much.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The levels that there are.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How the program logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A line an event: as `text`, or as a JSON object (`json`).
    pub format: LogFormat,
    /// How much: `error` to `trace`, or by module such as `info,wireproof_server=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info,rmcp=warn".to_owned() }
    }
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl LogConfig {
    /// Why the level cannot be used.
    pub fn refusal(&self) -> ConfigError {
        ConfigError::Value {
            key: "log.level",
            value: self.level.clone(),
            reason: "it must be off, error, warn, info, debug or trace, or a list by module",
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if is_filter(&self.level) { Ok(()) } else { Err(self.refusal()) }
    }
}

/// True for what filters by levels that there are. A word that is no level would name a module, and then nothing else
/// would be logged.
pub fn is_filter(text: &str) -> bool {
    // What stands in brackets, such as `[span{field=value}]=level`, is read by who filters.
    text.contains('[')
        || text.split(',').map(str::trim).all(|part| {
            let (module, level) = part.split_once('=').unwrap_or(("*", part));
            !module.is_empty() && LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `log.level = "warning"` named a module of that name, and not one line was ever logged.
    #[test]
    fn a_filter_names_levels_that_there_are() {
        for good in
            ["info", "WARN", "off", "info,rmcp=warn", "error, hyper::proto=trace", "[run{id=1}]=debug"]
        {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "warning",
            "verbose",
            "information",
            "info,",
            "info,wireproof",
            "=info",
            "a=loud",
            "a=b=info",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
