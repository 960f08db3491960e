//! The metrics; one registry for each server, so that several in a process stay separate. Every series exists from the
//! start, and the counters of events are plain atomics.

use std::sync::Arc;

use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{counter::Counter, gauge::Gauge, info::Info},
    registry::Registry,
};
use wireproof_protocol::{CloseCode, ErrorCode};

pub mod family;
pub mod histogram;
pub mod labels;
mod parts;
mod process;
mod registry;
mod text;

pub use family::{Family, Label};
pub use histogram::Histogram;
pub use parts::{CommitMetrics, KeyMetrics};
pub use registry::Metrics;
pub(crate) use registry::metrics;
pub use text::Format;

/// Buckets for times of events: 10 µs to 10 s, fine around the milliseconds.
const FAST: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25,
    1.0, 10.0,
];
/// Buckets for times that people wait.
const SLOW: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Buckets for the life of connections.
const LONG: &[f64] = &[0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0];
/// Buckets for numbers of things.
const MANY: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0];
/// What the names of all metrics begin with, but those of the process.
pub const PREFIX: &str = "wireproof";
/// Most names of tools that get series of their own.
const TOOLS: usize = 100;

/// The names that are known when a server starts: each gets series of its own, any other counts as `other`.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The agents.
    pub agents: Vec<String>,
    /// Their tools.
    pub tools: Vec<String>,
}

fn counters(label: &'static str, words: &[&'static str]) -> Family<Counter> {
    Family::new(vec![Label::new(label, words)], Counter::default)
}

fn gauges(label: &'static str, words: &[&'static str]) -> Family<Gauge> {
    Family::new(vec![Label::new(label, words)], Gauge::default)
}

impl Metrics {
    /// Counters of a server that starts now.
    pub fn new(names: Names) -> Arc<Self> {
        let mut metrics = Self::at_start(&names);
        metrics.started.set(crate::clock::unix_now());
        let mut registry = Registry::with_prefix(PREFIX);
        metrics.register(&mut registry);
        metrics.commits.register(&mut registry);
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        metrics.registry = registry;
        Arc::new(metrics)
    }

    /// A connection that begins: counted where it is in its life until it is dropped.
    pub fn connection(&self) -> Stage {
        let state = labels::CONNECTION_STATES[0];
        self.connections.at(&[state]).inc();
        Stage { connections: self.connections.clone(), state }
    }

    /// WebSocket connections now, wherever they are in their life.
    pub fn connections_now(&self) -> i64 {
        self.connections.all().map(Gauge::get).sum()
    }

    /// Counts a handshake by how it ended: a word of [`labels::HANDSHAKES`].
    pub fn handshake(&self, result: &str) {
        self.handshakes.at(&[result]).inc();
    }

    /// Handshakes that ended so.
    pub fn handshakes(&self, result: &str) -> u64 {
        self.handshakes.at(&[result]).get()
    }

    /// Handshakes that were not accepted.
    pub fn handshakes_refused(&self) -> u64 {
        self.handshakes.all().map(Counter::get).sum::<u64>() - self.handshakes("accepted")
    }

    /// Counts the end of a connection.
    pub fn closed(&self, code: Option<CloseCode>) {
        match code {
            Some(code) => self.closes.at(&[&code.number().to_string()]).inc(),
            None => self.closes.at(&["none"]).inc(),
        };
    }

    /// Counts a frame of a client: its type, and its outcome (a word of [`labels::FRAME_OUTCOMES`]).
    pub fn frame(&self, kind: &str, outcome: &str) {
        self.frames.at(&[kind, outcome]).inc();
    }

    /// Counts a frame of a client that was refused, and why.
    pub fn frame_refused(&self, kind: &str, code: ErrorCode) {
        self.frame(kind, "refused");
        self.refusals.at(&[code.as_str()]).inc();
    }

    /// Frames of clients so far.
    pub fn frames(&self) -> u64 {
        self.frames.all().map(Counter::get).sum()
    }

    /// Frames refused so far.
    pub fn refusals(&self) -> u64 {
        self.refusals.all().map(Counter::get).sum()
    }

    /// Counts the result of a resume: a word of [`labels::RESUMES`].
    pub fn resume(&self, result: &str) {
        self.resumes.at(&[result]).inc();
    }

    /// Counts a snapshot: a word of [`labels::SNAPSHOTS`].
    pub fn snapshot(&self, reason: &str) {
        self.snapshots.at(&[reason]).inc();
    }

    /// Counts the end of a run that took so long, waiting included.
    pub fn run_ended(&self, agent: &str, outcome: &str, seconds: f64) {
        self.runs.at(&[outcome]).inc();
        self.run_seconds.at(&[agent]).observe(seconds);
    }

    /// Runs that ended so.
    pub fn runs(&self, outcome: &str) -> u64 {
        self.runs.at(&[outcome]).get()
    }

    /// Counts how long a run took from being asked for to `agent_started` being durable.
    pub fn run_started(&self, agent: &str, seconds: f64) {
        self.start_seconds.at(&[agent]).observe(seconds);
    }

    /// Counts how long a run took from being asked for to the first piece of its answer.
    pub fn first_delta(&self, agent: &str, seconds: f64) {
        self.first_delta_seconds.at(&[agent]).observe(seconds);
    }

    /// Counts a tool's call.
    pub fn tool_ended(&self, tool: &str, ok: bool, seconds: f64) {
        self.tool_calls.at(&[tool, if ok { "ok" } else { "failed" }]).inc();
        self.tool_seconds.at(&[tool]).observe(seconds);
    }

    /// Counts a limit that was hit: a word of [`labels::LIMITS`].
    pub fn limit_hit(&self, limit: &str) {
        self.limits_hit.at(&[limit]).inc();
    }

    /// Limits hit so far.
    pub fn limits_hit(&self) -> u64 {
        self.limits_hit.all().map(Counter::get).sum()
    }

    /// Counts a try at a door of the accounts (a word of [`labels::DOORS`]) and what came of it ([`labels::LOGINS`]).
    pub fn login(&self, door: &str, result: &str) {
        self.logins.at(&[door, result]).inc();
    }

    /// Counts a revocation: a word of [`labels::REVOCATIONS`].
    pub fn revocation(&self, kind: &str) {
        self.revocations.at(&[kind]).inc();
    }

    /// All of it as text, with levels that were read for it. Reads files of the process: call it off the async threads.
    pub fn text(&self, levels: &Registry, format: Format) -> String {
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Process));
        let mut text = String::new();
        // Writing to a String does not fail.
        for registry in [&self.registry, levels, &process] {
            let _ = encode_registry(&mut text, registry);
        }
        let _ = encode_eof(&mut text);
        match format {
            Format::OpenMetrics => text,
            Format::Classic => text::classic(&text),
        }
    }
}

/// The state of a connection; dropping it ends the connection's count.
pub struct Stage {
    connections: Family<Gauge>,
    state: &'static str,
}

impl Stage {
    /// Moves the connection on to a state of [`labels::CONNECTION_STATES`].
    pub fn enter(&mut self, state: &'static str) {
        self.connections.at(&[state]).inc();
        self.connections.at(&[self.state]).dec();
        self.state = state;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.connections.at(&[self.state]).dec();
    }
}
