//! The file of settings: each key that cannot be used is told with its line, and the rest is taken.

use std::path::{Path, PathBuf};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{ConfigError, known};

/// Puts what the text says in the place of what the settings say. What cannot be used stays as it was, and is added to
/// the faults; the error is a text that is no TOML.
pub fn read(
    path: &Path,
    text: &str,
    settings: &mut Table,
    faults: &mut Vec<ConfigError>,
) -> Result<(), ConfigError> {
    let unreadable = |e: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        key: String::new(),
        reason: place(text, &e),
    };
    let (spans, given) = (DeTable::parse(text).map_err(unreadable)?, text.parse().map_err(unreadable)?);
    File { path, text, settings, faults }.section("", spans.get_ref(), &given);
    Ok(())
}

/// A file while it is read.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    settings: &'a mut Table,
    faults: &'a mut Vec<ConfigError>,
}

impl File<'_> {
    fn section(&mut self, prefix: &str, spans: &DeTable<'_>, given: &Table) {
        for (name, shown) in spans {
            let line = 1 + self.text[..name.span().start.min(self.text.len())].matches('\n').count();
            let Some(value) = given.get(name.get_ref().as_ref()) else { continue };
            let key = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            match (known::kind(self.settings, &key), shown.get_ref(), value) {
                (None, ..) => self.fault(line, &key, "there is no such setting"),
                (Some(known::Kind::Section), DeValue::Table(spans), Value::Table(given)) => {
                    self.section(&key, spans, given);
                }
                (Some(known::Kind::Section), ..) => {
                    self.fault(line, &key, &format!("it is a section, which begins with [{key}]"));
                }
                (Some(known::Kind::Setting), ..) => {
                    if let Err(reason) = known::set(self.settings, &key, value.clone()) {
                        self.fault(line, &key, &reason);
                    }
                }
            }
        }
    }

    fn fault(&mut self, line: usize, key: &str, reason: &str) {
        let (path, key) = (PathBuf::from(self.path), key.to_owned());
        self.faults.push(ConfigError::File { path, reason: format!("line {line}: {key}: {reason}"), key });
    }
}

/// What is wrong with a file and where, without the line itself: it may hold a secret.
fn place(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!("line {line}: {}", known::without_texts(error.message()))
}
