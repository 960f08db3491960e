//! The settings that there are, by key such as `limits.run_seconds`: their kinds, an example of each, and the nearest
//! to one that there is not.

use toml::{Table, Value};

use super::Config;

/// Settings whose value is a table.
const MAPS: [&str; 1] = ["jwt.permission_map"];
/// Settings of which nothing is shown.
const SECRETS: [&str; 2] = ["jwt.secret", "jwt.previous_secret"];
/// Examples of the settings that are empty by default.
const EXAMPLES: [(&str, &str); 8] = [
    ("jwt.secret", "\"the output of: openssl rand -hex 32\""),
    ("jwt.previous_secret", "\"the secret before it\""),
    ("jwt.public_key_file", "\"/etc/wireproof/issuer.pem\""),
    ("jwt.jwks_url", "\"https://issuer.example/.well-known/jwks.json\""),
    ("http.trusted_proxies", "[\"10.0.0.7\", \"10.1.0.0/16\"]"),
    ("http.allowed_origins", "[\"https://app.example.com\"]"),
    ("tls.cert_file", "\"/etc/wireproof/cert.pem\""),
    ("otel.endpoint", "\"http://127.0.0.1:4318\""),
];
/// Largest whole number of a setting: some are added to and multiplied, and more is needed of nothing.
const MOST: i64 = 1_000_000_000_000_000;
/// A name further away than this is no misspelling.
const FAR: usize = 4;

/// What a key stands for.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// A table of settings.
    Section,
    /// A value.
    Setting,
}

/// What the key stands for; nothing when there is no such setting.
pub fn kind(settings: &Table, key: &str) -> Option<Kind> {
    let mut names = key.split('.');
    let mut value = settings.get(names.next()?)?;
    for name in names {
        value = value.as_table()?.get(name)?;
    }
    let is_section = value.is_table() && !MAPS.contains(&key);
    Some(if is_section { Kind::Section } else { Kind::Setting })
}

/// Gives a setting another value; the error says why it cannot have it.
pub fn set(settings: &mut Table, key: &str, value: Value) -> Result<(), String> {
    if value.as_integer().is_some_and(|number| number > MOST) {
        return Err(format!("it must be at most {MOST}"));
    }
    let alone = key
        .rsplit('.')
        .fold(value.clone(), |value, name| Table::from_iter([(name.to_owned(), value)]).into());
    if let Err(error) = alone.try_into::<Config>() {
        return Err(match SECRETS.contains(&key) {
            true => "it must be a text".to_owned(),
            false => without_texts(error.message()),
        });
    }
    let (section, name) = key.rsplit_once('.').map_or((None, key), |(section, name)| (Some(section), name));
    let table = match section {
        None => Some(settings),
        Some(section) => settings.get_mut(section).and_then(Value::as_table_mut),
    };
    if let Some(table) = table {
        table.insert(name.to_owned(), value);
    }
    Ok(())
}

/// All settings with their defaults, as a file would have them.
pub fn defaults() -> Table {
    // Our own settings are plain values.
    Table::try_from(Config::default()).unwrap_or_default()
}

/// The keys of all settings, without the sections.
pub fn keys(settings: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in settings {
        match value {
            Value::Table(section)
                if !MAPS.contains(&name.as_str()) && kind(settings, name) == Some(Kind::Section) =>
            {
                keys.extend(section.keys().map(|key| format!("{name}.{key}")));
            }
            _ => keys.push(name.clone()),
        }
    }
    keys
}

/// The variable of a setting.
pub fn variable(key: &str) -> String {
    format!("WIREPROOF_{}", key.replace('.', "_").to_uppercase())
}

/// An example of a setting's value as a file has it, or of the one that may be meant; ends a sentence.
pub fn hint(key: &str) -> String {
    let defaults = defaults();
    match kind(&defaults, key) {
        Some(Kind::Setting) => format!("; such as {key} = {}", example(&defaults, key)),
        Some(Kind::Section) => String::new(),
        None => {
            let sections =
                defaults.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.clone());
            let names = keys(&defaults).into_iter().chain(sections);
            nearest(key, names).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
        }
    }
}

/// The same for a variable.
pub fn variable_hint(name: &str) -> String {
    let defaults = defaults();
    let key = keys(&defaults).into_iter().find(|key| variable(key) == name);
    let example = key.map(|key| example(&defaults, &key).replace(['"', '[', ']'], ""));
    example.map(|example| format!("; such as {name}={example}")).unwrap_or_default()
}

fn example(defaults: &Table, key: &str) -> String {
    if let Some((_, example)) = EXAMPLES.iter().find(|(name, _)| *name == key) {
        return (*example).to_owned();
    }
    let value = key.split('.').try_fold(None, |found: Option<&Value>, name| match found {
        None => defaults.get(name).map(Some),
        Some(value) => value.get(name).map(Some),
    });
    value.flatten().map(ToString::to_string).unwrap_or_default()
}

/// The name that is most like this one, if any is like it: misspelt, or at home in another section.
pub fn nearest(name: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |other: &String| match last(other) == last(name) {
        true => 1,
        false => strsim::damerau_levenshtein(name, other),
    };
    let best = names.into_iter().map(|other| (distance(&other), other)).min()?;
    (best.0 < FAR && best.0 * 2 < name.len()).then_some(best.1)
}

/// A message of the library without the texts that it shows: one may be a secret.
pub fn without_texts(message: &str) -> String {
    match (message.find(": string \""), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}: string{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}
