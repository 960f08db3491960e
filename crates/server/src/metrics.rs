//! What the server counts; one registry a server, so several in a process keep apart.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// How a handshake or a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// A word of a closed list.
    pub outcome: &'static str,
}

/// The counters.
pub struct Metrics {
    registry: Registry,
    /// Connections open now.
    pub connections: Gauge,
    /// Handshakes by how they ended.
    pub handshakes: Family<ByOutcome, Counter>,
    /// Frames of clients by what became of them.
    pub frames: Family<ByOutcome, Counter>,
    /// Events appended to logs.
    pub events_appended: Counter,
    /// Events put on the wire.
    pub events_delivered: Counter,
    /// Pages of logs read for connections that were not live.
    pub log_pages: Counter,
    /// Connections closed because their client did not read.
    pub slow_consumers: Counter,
    /// Runs by how they ended.
    pub runs: Family<ByOutcome, Counter>,
    /// Runs refused because the user has too many.
    pub runs_refused: Counter,
    /// How long runs took.
    pub run_seconds: Histogram,
    /// Seconds since the server started, as a count that only grows.
    pub started: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Counters of a server that starts now.
    pub fn new() -> Arc<Self> {
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
        let mut metrics = Self {
            registry: Registry::with_prefix("wireproof"),
            connections: Gauge::default(),
            handshakes: Family::default(),
            frames: Family::default(),
            events_appended: Counter::default(),
            events_delivered: Counter::default(),
            log_pages: Counter::default(),
            slow_consumers: Counter::default(),
            runs: Family::default(),
            runs_refused: Counter::default(),
            run_seconds: Histogram::new(buckets),
            started: Gauge::default(),
        };
        metrics.started.set(crate::clock::unix_now());
        metrics.describe();
        Arc::new(metrics)
    }

    fn describe(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Connections open now", self.connections.clone());
        r.register("handshakes", "Handshakes by how they ended", self.handshakes.clone());
        r.register("frames", "Frames of clients by what became of them", self.frames.clone());
        r.register("events_appended", "Events appended to logs", self.events_appended.clone());
        r.register("events_delivered", "Events put on the wire", self.events_delivered.clone());
        r.register(
            "log_pages",
            "Pages of logs read for connections that were not live",
            self.log_pages.clone(),
        );
        r.register(
            "slow_consumers",
            "Connections closed because their client did not read",
            self.slow_consumers.clone(),
        );
        r.register("runs", "Runs by how they ended", self.runs.clone());
        r.register("runs_refused", "Runs refused because the user has too many", self.runs_refused.clone());
        r.register("run_duration_seconds", "How long runs took, in seconds", self.run_seconds.clone());
        r.register("start_time_seconds", "When the server started, in Unix seconds", self.started.clone());
    }

    /// Counts the end of a run.
    pub fn run_ended(&self, outcome: &'static str, seconds: f64) {
        self.runs.get_or_create(&ByOutcome { outcome }).inc();
        self.run_seconds.observe(seconds);
    }

    /// Counts a handshake.
    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// Counts a frame of a client.
    pub fn frame(&self, outcome: &'static str) {
        self.frames.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// All counters in the text form of Prometheus (OpenMetrics).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
