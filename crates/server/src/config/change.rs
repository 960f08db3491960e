//! Settings that a program changes, by a text or key by key, as the file has them.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError, file, known};

/// What errors call settings that stand in no file.
const GIVEN: &str = "(given)";

impl Config {
    /// Changes settings by a text as the file of settings has them. After an error all are as before.
    pub fn merge(&mut self, text: &str) -> Result<(), ConfigError> {
        let (mut settings, mut faults) = (self.settings(), Vec::new());
        file::read(Path::new(GIVEN), text, &mut settings, &mut faults)?;
        ConfigError::of(faults)?;
        self.take(settings)
    }

    /// Changes one setting by its key, such as `limits.queued_runs`. After an error it is as before.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<(), ConfigError> {
        let fault = |reason| ConfigError::File { path: PathBuf::from(GIVEN), key: key.to_owned(), reason };
        let mut settings = self.settings();
        match known::kind(&settings, key) {
            Some(known::Kind::Setting) => known::set(&mut settings, key, value.into()).map_err(fault)?,
            Some(known::Kind::Section) => return Err(fault(format!("{key} is a section"))),
            None => return Err(fault(format!("there is no setting {key}"))),
        }
        self.take(settings)
    }

    fn settings(&self) -> Table {
        // Plain values, as they came from a table.
        Table::try_from(self).unwrap_or_default()
    }

    fn take(&mut self, settings: Table) -> Result<(), ConfigError> {
        // Each value was tried when it was set.
        let changed: Self = settings.try_into().unwrap_or_default();
        let (insecure_no_auth, failpoints) = (self.insecure_no_auth, self.failpoints);
        let changed = Self { insecure_no_auth, failpoints, ..changed };
        ConfigError::of(changed.check())?;
        *self = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_a_key_change_what_they_name_and_nothing_else() {
        let mut config = Config { insecure_no_auth: true, ..Config::default() };
        config.merge("[limits]\nqueued_runs = 3\n[drain]\nseconds = 1.5").unwrap();
        config.set("limits.concurrent_runs", 2).unwrap();
        let expected = Config { insecure_no_auth: true, ..Config::default() };
        let (mut limits, mut drain) = (expected.limits.clone(), expected.drain.clone());
        (limits.queued_runs, limits.concurrent_runs, drain.seconds) = (3, 2, 1.5);
        assert_eq!(config, Config { limits, drain, ..expected });
    }

    #[test]
    fn what_cannot_be_used_is_told_and_changes_nothing() {
        let mut config = Config::default();
        for (text, told) in [
            ("[limits]\nqueued_runs = \"many\"", "limits.queued_runs"),
            ("listen = \"127.0.0.1:1\"\n[limits]\nqueue_runs = 3", "there is no such setting"),
            ("[limits]\ndead_seconds = 1.0\nheartbeat_seconds = 2.0", "limits.dead_seconds"),
            ("limits = ", "(given)"),
        ] {
            let error = config.merge(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(config.set("limits", 1).unwrap_err().to_string().contains("is a section"));
        assert!(config.set("limits.queue_runs", 1).unwrap_err().to_string().contains("queued_runs"));
        assert_eq!(config, Config::default());
    }
}
