//! What the environment says, by the type of the setting it replaces; a list is separated by commas.

use std::{ffi::OsString, fmt};

use toml::{Table, Value};

use super::{ConfigError, known};

/// Variables that are ours and no setting of the server.
const OTHERS: [&str; 3] = ["WIREPROOF_LOG", "WIREPROOF_URL", "WIREPROOF_TOKEN"];

/// Puts what the environment says in the place of what the settings say, by the type of the setting. What cannot be used
/// stays as it was, and is added to the faults.
pub fn apply(
    settings: &mut Table,
    environment: &impl Fn(&str) -> Option<OsString>,
    faults: &mut Vec<ConfigError>,
) {
    for key in known::keys(settings) {
        let name = known::variable(&key);
        let Some(text) = environment(&name) else { continue };
        let read = text
            .into_string()
            .map_err(|_| "it is not UTF-8".to_owned())
            .and_then(|text| value(&key, &text, settings))
            .and_then(|value| known::set(settings, &key, value));
        if let Err(reason) = read {
            faults.push(ConfigError::Environment { name, reason });
        }
    }
}

fn value(key: &str, text: &str, settings: &Table) -> Result<Value, String> {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let table = settings.get(section).and_then(Value::as_table).unwrap_or(settings);
    let not = |what: &str| format!("{text:?} is not {what}");
    Ok(match table.get(name) {
        Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| not("a whole number"))?),
        Some(Value::Float(_)) => Value::Float(text.parse().map_err(|_| not("a number"))?),
        Some(Value::Boolean(_)) => Value::Boolean(text.parse().map_err(|_| not("true or false"))?),
        Some(Value::Array(_)) => Value::Array(
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect(),
        ),
        Some(Value::Table(_)) => return Err("a table can only be set in a file".to_owned()),
        _ => Value::String(text.to_owned()),
    })
}

/// A variable that begins as ours do and is none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The one that may be meant.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {} is no setting and has no effect", self.name)?;
        self.nearest.as_ref().map_or(Ok(()), |near| write!(f, "; did you mean {near}?"))
    }
}

/// The variables of this process that begin with `WIREPROOF_` and have no effect.
pub fn unknown_variables() -> Vec<UnknownVariable> {
    let settings = known::keys(&known::defaults()).into_iter().map(|key| known::variable(&key));
    let names: Vec<String> = settings.chain(OTHERS.map(str::to_owned)).collect();
    let set = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let mut unknown: Vec<UnknownVariable> = set
        .filter(|name| name.starts_with("WIREPROOF_") && !names.contains(name))
        .map(|name| UnknownVariable { nearest: known::nearest(&name, names.iter().cloned()), name })
        .collect();
    unknown.sort_by(|one, other| one.name.cmp(&other.name));
    unknown
}
