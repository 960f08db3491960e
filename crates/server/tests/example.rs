//! The example of a configuration: it has every setting, and says of each its default.
#![allow(clippy::unwrap_used)]

use toml::{Table, Value};
use wireproof_server::Config;

const EXAMPLE: &str = include_str!("../../../wireproof.example.toml");

/// The settings as they stand behind a `#`; words have a space behind theirs.
fn uncommented() -> String {
    let uncomment = |line| setting(line).unwrap_or(line);
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn keys(prefix: &str, table: &Table, found: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            // A table of the user's own making is one setting.
            Value::Table(section) if !section.is_empty() => keys(&format!("{prefix}{key}."), section, found),
            _ => found.push(format!("{prefix}{key}")),
        }
    }
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let default = Table::try_from(Config::default()).unwrap();
    let example: Table = uncommented().parse().unwrap_or_else(|e| panic!("uncommented it is no TOML: {e}"));
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    keys("", &default, &mut wanted);
    keys("", &example, &mut found);
    let missing: Vec<_> = wanted.iter().filter(|key| !found.contains(key)).collect();
    assert!(missing.is_empty(), "not in wireproof.example.toml: {missing:?}; the defaults are:\n{default}");
    let config: Config = toml::from_str(&uncommented()).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn as_it_is_the_example_changes_nothing_and_each_setting_has_words() {
    assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let is_setting = setting(pair[1]).is_some();
        assert!(!is_setting || pair[0].starts_with("# "), "no words before {}", pair[1]);
    }
}
