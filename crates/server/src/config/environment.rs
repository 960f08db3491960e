//! What the environment says, by the type of the setting it replaces; a list is separated by commas.

use toml::{Table, Value};

use super::{Config, ConfigError};

/// Puts what the environment says in the place of what the config says, by the type of the setting.
pub fn apply(config: &Config, environment: &impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let unusable = |name: &str, reason: String| ConfigError::Environment { name: name.to_owned(), reason };
    let mut table = Table::try_from(config).map_err(|e| unusable("WIREPROOF_*", e.to_string()))?;
    let mut last = String::from("WIREPROOF_*");
    replace(&mut table, "WIREPROOF", environment, &mut last)?;
    table.try_into().map_err(|e: toml::de::Error| unusable(&last, e.message().to_owned()))
}

fn replace(
    table: &mut Table,
    prefix: &str,
    environment: &impl Fn(&str) -> Option<String>,
    last: &mut String,
) -> Result<(), ConfigError> {
    for (key, value) in table.iter_mut() {
        let name = format!("{prefix}_{}", key.to_uppercase());
        if let Value::Table(section) = value {
            replace(section, &name, environment, last)?;
            continue;
        }
        let Some(text) = environment(&name) else { continue };
        let reason = |what: &str| ConfigError::Environment {
            name: name.clone(),
            reason: format!("{text:?} is not {what}"),
        };
        *value = match value {
            Value::Integer(_) => Value::Integer(text.parse().map_err(|_| reason("a whole number"))?),
            Value::Float(_) => Value::Float(text.parse().map_err(|_| reason("a number"))?),
            Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| reason("true or false"))?),
            Value::Array(_) => Value::Array(
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect(),
            ),
            _ => Value::String(text.clone()),
        };
        last.clone_from(&name);
    }
    Ok(())
}
