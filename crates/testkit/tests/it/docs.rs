//! The tables of the docs that repeat what a server says and has: its metrics, and the defaults of its limits.

use std::fmt::Write;

use toml::{Table, Value};
use wireproof_protocol::{ClientFrame, CloseCode, ErrorCode};
use wireproof_server::Config;
use wireproof_testkit::TestServer;

fn part(page: &str, name: &str, table: impl Fn(&str) -> String) {
    wireproof_generated::part(env!("CARGO_PKG_NAME"), page, name, table);
}

/// A metric as `/metrics` has it: its labels with their words, in the order in which they are served.
struct Metric<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    labels: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Metric<'a> {
    fn all(served: &'a str) -> Vec<Self> {
        let mut metrics: Vec<Self> = Vec::new();
        for line in served.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|help| help.split_once(' ')) {
                metrics.push(Self { name, kind: "", help, labels: Vec::new() });
                continue;
            }
            let metric = metrics.last_mut().unwrap();
            match line.strip_prefix("# TYPE ") {
                Some(kind) => metric.kind = kind.rsplit_once(' ').unwrap().1,
                None => metric.sample(line),
            }
        }
        metrics
    }

    fn sample(&mut self, line: &'a str) {
        let labels =
            line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(all, _)| all);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        for (label, word) in labels.filter(|(label, _)| *label != "le") {
            let word = word.trim_matches('"');
            let known = match self.labels.iter().position(|(name, _)| *name == label) {
                Some(index) => &mut self.labels[index].1,
                None => &mut self.labels.push_mut((label, Vec::new())).1,
            };
            if !known.contains(&word) {
                known.push(word);
            }
        }
    }
}

/// A label with its words: the protocol's own are not repeated, and those of one server or version are left out.
fn label(name: &str, words: &[&str]) -> String {
    if ["agent", "tool", "version"].contains(&name) {
        return format!("`{name}`");
    }
    let of_protocol = [ClientFrame::NAMES, ErrorCode::NAMES, CloseCode::NUMBERS];
    let own = of_protocol.iter().find_map(|names| words.strip_prefix(*names));
    let shown = own.unwrap_or(words).iter().map(|word| format!("`{word}`"));
    let shown: Vec<_> = own.map(|_| "of the protocol".to_owned()).into_iter().chain(shown).collect();
    format!("`{name}`: {}", shown.join(", "))
}

#[tokio::test]
async fn the_table_of_metrics_is_generated() {
    let server = TestServer::start().await;
    let served = server.rest().get("/metrics").await.body;
    let mut metrics = Metric::all(&served);
    metrics.sort_by_key(|metric| (metric.name.starts_with("process_"), metric.name));
    part("docs/operations.md", "metrics", |_| {
        let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for Metric { name, kind, help, labels } in &metrics {
            let labels: Vec<_> = labels.iter().map(|(name, words)| label(name, words)).collect();
            writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join("; ")).unwrap();
        }
        table
    });
}

/// A default as people say it: the unit is told by the end of the setting's name.
fn default_of(setting: &str, defaults: &Table) -> String {
    let (section, key) = setting.split_once('.').unwrap();
    match &defaults[section][key] {
        Value::Integer(0) if key == "connections" => "what the open files allow".to_owned(),
        Value::Integer(0) => "no limit".to_owned(),
        Value::Integer(bytes) if key.contains("bytes") || key.starts_with("byte_") => {
            let shown = match *bytes {
                bytes if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
                bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
                bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
                bytes => format!("{bytes} bytes"),
            };
            shown + of_time(key)
        }
        Value::Integer(number) => thousands(*number) + of_time(key),
        Value::Float(hours) if key == "hours" => format!("{hours} h"),
        Value::Float(seconds) => format!("{seconds} s"),
        other => panic!("{setting} has the default {other}"),
    }
}

fn of_time(key: &str) -> &'static str {
    [
        ("per_minute", " a minute"),
        ("per_hour", " an hour"),
        ("per_second", " a second"),
        ("burst", " at once"),
    ]
    .iter()
    .find_map(|(part, words)| key.contains(part).then_some(*words))
    .unwrap_or_default()
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// The rows are by hand but for the defaults: those of the settings that the last cell names.
#[test]
fn the_defaults_in_the_table_of_limits_are_generated() {
    let defaults = Table::try_from(Config::default()).unwrap();
    part("docs/protocol.md", "limits", |kept| {
        let rows = kept.lines().map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [limit, default, beyond, setting] = cells[..] else { panic!("a row has four cells: {row}") };
            let settings = setting.split(", ").filter_map(|name| name.strip_prefix('`')?.strip_suffix('`'));
            if cells[0] == "---" {
                return "|---|---|---|---|\n".to_owned();
            }
            let found: Vec<_> = settings.map(|setting| default_of(setting, &defaults)).collect();
            let default = if found.is_empty() { default.to_owned() } else { found.join(", ") };
            format!("| {limit} | {default} | {beyond} | {setting} |\n").replace("|  |", "| |")
        });
        rows.collect()
    });
}
