//! The samples of all rounds, and the table with the least, the middle and the greatest of each metric.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::table::Table;

/// What one run of one benchmark measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// Names, with their units, and figures.
    pub(crate) metrics: Vec<(String, f64)>,
}

impl Sample {
    /// Reads `{"name": "…", "metrics": {"…": number}}`.
    pub(crate) fn parse(line: &str) -> Result<Sample> {
        let what = || format!("not a measurement: {line}");
        let value: Value = serde_json::from_str(line).with_context(what)?;
        let name = value["name"].as_str().with_context(what)?.to_owned();
        let metrics = value["metrics"].as_object().with_context(what)?;
        let metrics: Vec<(String, f64)> = metrics
            .iter()
            .map(|(metric, figure)| Ok((metric.clone(), figure.as_f64().with_context(what)?)))
            .collect::<Result<_>>()?;
        ensure!(!metrics.is_empty(), what());
        Ok(Sample { name, metrics })
    }
}

/// A sample of one round, and of which server where several are compared.
struct Entry {
    round: usize,
    server: Option<String>,
    sample: Sample,
}

/// All samples of one call, with what the reader has to know of the machine.
pub(crate) struct Report {
    machine: String,
    method: String,
    entries: Vec<Entry>,
}

impl Report {
    pub(crate) fn new(machine: String, method: String) -> Report {
        Report { machine, method, entries: Vec::new() }
    }

    pub(crate) fn push(&mut self, round: usize, server: Option<&str>, sample: Sample) {
        self.entries.push(Entry { round, server: server.map(str::to_owned), sample });
    }

    /// The machine and the method.
    pub(crate) fn head(&self) -> String {
        format!("{}\n{}", self.machine, self.method)
    }

    /// The metrics of a benchmark, in the order of their first appearance.
    pub(crate) fn metrics(&self, name: &str) -> Vec<&str> {
        let mut metrics: Vec<&str> = Vec::new();
        let samples = self.entries.iter().map(|entry| &entry.sample).filter(|sample| sample.name == name);
        for (metric, _) in samples.flat_map(|sample| &sample.metrics) {
            if !metrics.contains(&metric.as_str()) {
                metrics.push(metric);
            }
        }
        metrics
    }

    /// What a server's metric was, with the rounds.
    pub(crate) fn figures(&self, name: &str, server: &str, metric: &str) -> Vec<(usize, f64)> {
        self.entries
            .iter()
            .filter(|entry| entry.sample.name == name && entry.server.as_deref() == Some(server))
            .flat_map(|entry| entry.sample.metrics.iter().map(|(name, figure)| (entry.round, name, *figure)))
            .filter(|(_, name, _)| *name == metric)
            .map(|(round, _, figure)| (round, figure))
            .collect()
    }

    pub(crate) fn markdown(&self) -> String {
        format!("{}\n\n{}", self.head(), self.table(None).markdown())
    }

    /// One row a metric, in the order of their first appearance; of one benchmark alone when it is named.
    pub(crate) fn table(&self, only: Option<&str>) -> Table {
        let mut rows: Vec<(String, &str, Vec<f64>)> = Vec::new();
        for entry in self.entries.iter().filter(|entry| only.is_none_or(|only| entry.sample.name == only)) {
            let label = entry.label();
            for (metric, figure) in &entry.sample.metrics {
                match rows.iter_mut().find(|(name, m, _)| *name == label && m == metric) {
                    Some((_, _, figures)) => figures.push(*figure),
                    None => rows.push((label.clone(), metric, vec![*figure])),
                }
            }
        }
        let mut table = Table::new(&["bench", "metric", "min", "median", "max", "samples"]);
        for (name, metric, figures) in rows {
            let samples = figures.len().to_string();
            let [min, median, max] = spread(figures).map(figure);
            table.push(vec![name, metric.into(), min, median, max, samples]);
        }
        table
    }

    /// Leaves `report.md` and `samples.jsonl` in the folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let lines = self.entries.iter().map(|entry| {
            let metrics = entry.sample.metrics.iter().map(|(metric, figure)| (metric.clone(), json!(figure)));
            let metrics: serde_json::Map<String, Value> = metrics.collect();
            format!("{}\n", json!({"name": entry.label(), "round": entry.round, "metrics": metrics}))
        });
        fs::write(folder.join("samples.jsonl"), lines.collect::<String>())?;
        fs::write(folder.join("report.md"), self.markdown())?;
        Ok(())
    }
}

impl Entry {
    /// The benchmark, and behind it the server where several are compared.
    fn label(&self) -> String {
        match &self.server {
            Some(server) => format!("{} {server}", self.sample.name),
            None => self.sample.name.clone(),
        }
    }
}

/// The least, the median and the greatest; there is at least one.
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let median = (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0;
    [sorted[0], median, sorted[last]]
}

/// About four digits, however great the figure.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_has_a_name_and_numbers() {
        let sample = Sample::parse(r#"{"name":"resume","metrics":{"p99 ms":12.5,"events":10000}}"#).unwrap();
        assert_eq!(sample.name, "resume");
        assert!(sample.metrics.contains(&("p99 ms".to_owned(), 12.5)));
        for line in ["", "ready", "{}", r#"{"name":"x","metrics":{}}"#, r#"{"name":"x","metrics":{"a":"1"}}"#]
        {
            assert!(Sample::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_table_shows_min_median_and_max() {
        let mut report = Report::new("a machine".into(), "4 runs".into());
        for value in [3.0, 1.0, 2.0, 10_000.4] {
            report.push(0, None, Sample { name: "resume".into(), metrics: vec![("p50 ms".into(), value)] });
        }
        let text = report.markdown();
        assert!(text.starts_with("a machine\n4 runs\n"), "{text}");
        assert!(text.contains("| resume | p50 ms | 1.00 |   2.50 | 10000 |       4 |"), "{text}");
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        assert_eq!(spread([9.0, 1.0, 5.0]), [1.0, 5.0, 9.0]);
        assert_eq!(spread([4.0]), [4.0, 4.0, 4.0]);
    }
}
