//! The example of a configuration: it has every setting, with the sentence of the source and its default.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fmt::Write};

use toml::{Table, Value};
use wireproof_server::Config;

const EXAMPLE: &str = include_str!("../../../wireproof.example.toml");

/// Where the settings stand, with their sentences.
const SOURCES: [&str; 8] = [
    include_str!("../src/config.rs"),
    include_str!("../src/config/accounts.rs"),
    include_str!("../src/config/jwt.rs"),
    include_str!("../src/config/log.rs"),
    include_str!("../src/config/quota.rs"),
    include_str!("../src/config/sections.rs"),
    include_str!("../src/config/tls.rs"),
    include_str!("../src/limits.rs"),
];

const HEAD: &str = "\
# All settings of wireproof, each with its default behind a #. Take the # away from what you change.
# Flags win over the environment, and that over this file. Each setting is also a variable: limits.run_seconds is
# WIREPROOF_LIMITS_RUN_SECONDS; a list is separated by commas there. `wireproof doctor --config FILE` says what is
# wrong with a file.
";

/// A struct of the source with its sentence: its fields are names, types and sentences.
struct Section {
    sentence: String,
    fields: Vec<(&'static str, &'static str, String)>,
}

fn sections() -> BTreeMap<&'static str, Section> {
    let mut sections = BTreeMap::new();
    for source in SOURCES {
        let (mut sentence, mut open) = (String::new(), None);
        for line in source.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("/// ") {
                sentence = format!("{sentence} {words}");
            } else if let Some(name) =
                line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {"))
            {
                let sentence = std::mem::take(&mut sentence);
                sections.insert(name, Section { sentence, fields: Vec::new() });
                open = Some(name);
            } else if line == "}" {
                open = None;
            } else if !line.starts_with("#[") {
                let sentence = std::mem::take(&mut sentence);
                let field =
                    line.strip_prefix("pub ").and_then(|rest| rest.strip_suffix(',')?.split_once(": "));
                if let (Some((name, kind)), Some(section)) =
                    (field, open.and_then(|name| sections.get_mut(name)))
                {
                    section.fields.push((name, kind, sentence));
                }
            }
        }
    }
    sections
}

/// A sentence as lines of comment.
fn comment(sentence: &str, text: &mut String) {
    let mut line = "#".to_owned();
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 118 {
            writeln!(text, "{line}").unwrap();
            line = "#".to_owned();
        }
        write!(line, " {word}").unwrap();
    }
    writeln!(text, "{line}").unwrap();
}

fn setting_with_default(name: &str, sentence: &str, default: &Value, text: &mut String) {
    comment(sentence, text);
    match default {
        Value::Table(_) => writeln!(text, "#{name} = {{}}"),
        default => writeln!(text, "#{name} = {default}"),
    }
    .unwrap();
}

#[test]
fn the_example_is_generated() {
    let (sections, defaults) = (sections(), Table::try_from(Config::default()).unwrap());
    let mut text = HEAD.to_owned();
    for (name, kind, sentence) in &sections["Config"].fields {
        // What no file may set has no default there.
        let Some(default) = defaults.get(*name) else { continue };
        writeln!(text).unwrap();
        match sections.get(kind) {
            None => setting_with_default(name, sentence, default, &mut text),
            Some(section) => {
                comment(&section.sentence, &mut text);
                writeln!(text, "[{name}]").unwrap();
                for (key, _, sentence) in &section.fields {
                    setting_with_default(key, sentence, &default[*key], &mut text);
                }
            }
        }
    }
    wireproof_generated::file(env!("CARGO_PKG_NAME"), "wireproof.example.toml", |_| text.clone());
}

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
