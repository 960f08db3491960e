//! What the server counts; one registry a server, so several in a process keep apart. Every series is there from the
//! start, and what is counted for each event is a plain atomic.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge, info::Info},
    registry::Registry,
};
use wireproof_protocol::{CloseCode, ErrorCode};

mod catalogue;
pub mod family;
pub mod histogram;
mod parts;
mod process;
mod text;
pub mod words;

pub use family::{Family, Label};
pub use histogram::Histogram;
pub use parts::{CommitMetrics, KeyMetrics};
pub use text::Format;

/// Buckets of what happens to each event: 10 µs to 10 s, fine around the milliseconds where it is decided.
const FAST: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25,
    1.0, 10.0,
];
/// Buckets of what people wait for.
const SLOW: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Buckets of how long connections live.
const LONG: &[f64] = &[0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0];
/// Buckets of how many.
const MANY: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0];
/// Most names of tools that get series of their own.
const TOOLS: usize = 100;

/// The counters.
pub struct Metrics {
    registry: Registry,
    connections: Family<Gauge>,
    /// Users with a connection; set when somebody looks.
    pub users: Gauge,
    handshakes: Family<Counter>,
    closes: Family<Counter>,
    /// How long connections lived, from the upgrade to the end.
    pub connection_seconds: Histogram,
    frames: Family<Counter>,
    refusals: Family<Counter>,
    /// Bytes that came on WebSockets.
    pub bytes_received: Counter,
    /// Bytes that went out on WebSockets.
    pub bytes_sent: Counter,
    /// Events appended to logs.
    pub events_appended: Counter,
    /// Events handed to the broker.
    pub events_published: Counter,
    /// Events put on the wire.
    pub events_delivered: Counter,
    /// Those of them that were read from the log.
    pub events_replayed: Counter,
    /// From durable to on the wire, for events that were not read from the log.
    pub delivery_seconds: Histogram,
    /// What the store's writer counts.
    pub commits: CommitMetrics,
    /// Bytes that wait for clients; set when somebody looks.
    pub queue_bytes: Gauge,
    /// Connections that are served from the log now; set when somebody looks.
    pub connections_behind: Gauge,
    /// Times that a live connection fell back to the log.
    pub catch_ups: Counter,
    /// Pages of logs read for connections that were not live.
    pub log_pages: Counter,
    /// Connections closed because their client did not read.
    pub slow_consumers: Counter,
    resumes: Family<Counter>,
    snapshots: Family<Counter>,
    runs: Family<Counter>,
    /// Runs refused because the user has too many.
    pub runs_refused: Counter,
    /// Runs alive, running and queued; set when somebody looks.
    pub runs_alive: Family<Gauge>,
    run_seconds: Family<Histogram>,
    start_seconds: Family<Histogram>,
    first_delta_seconds: Family<Histogram>,
    tool_calls: Family<Counter>,
    tool_seconds: Family<Histogram>,
    limits_hit: Family<Counter>,
    /// What the keys of tokens count.
    pub keys: KeyMetrics,
    token_cache: Family<Counter>,
    jwks_fetches: Family<Counter>,
    logins: Family<Counter>,
    revocations: Family<Counter>,
    /// What the store's files take; set when somebody looks.
    pub store_file_bytes: Gauge,
    /// When the server started, in Unix seconds.
    pub started: Gauge<f64, AtomicU64>,
}

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
        let agents = || Label::of_names("agent", names.agents.iter().cloned());
        let tools = || Label::of_names("tool", names.tools.iter().take(TOOLS).cloned());
        let seconds = || Histogram::seconds(SLOW);
        let typed = vec![Label::new("type", words::FRAMES), Label::new("outcome", words::FRAME_OUTCOMES)];
        let token_cache = counters("result", words::CACHE);
        let jwks_fetches = counters("result", words::JWKS);
        let mut metrics = Self {
            registry: Registry::default(),
            connections: gauges("state", words::CONNECTION_STATES),
            users: Gauge::default(),
            handshakes: counters("result", words::HANDSHAKES),
            closes: counters("code", words::CLOSES),
            connection_seconds: Histogram::seconds(LONG),
            frames: Family::new(typed, Counter::default),
            refusals: counters("error_code", words::ERROR_CODES),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            events_appended: Counter::default(),
            events_published: Counter::default(),
            events_delivered: Counter::default(),
            events_replayed: Counter::default(),
            delivery_seconds: Histogram::seconds(FAST),
            commits: CommitMetrics::default(),
            queue_bytes: Gauge::default(),
            connections_behind: Gauge::default(),
            catch_ups: Counter::default(),
            log_pages: Counter::default(),
            slow_consumers: Counter::default(),
            resumes: counters("result", words::RESUMES),
            snapshots: counters("reason", words::SNAPSHOTS),
            runs: counters("outcome", words::RUN_OUTCOMES),
            runs_refused: Counter::default(),
            runs_alive: gauges("state", words::RUN_STATES),
            run_seconds: Family::new(vec![agents()], seconds),
            start_seconds: Family::new(vec![agents()], || Histogram::seconds(FAST)),
            first_delta_seconds: Family::new(vec![agents()], seconds),
            tool_calls: Family::new(
                vec![tools(), Label::new("outcome", words::TOOL_OUTCOMES)],
                Counter::default,
            ),
            tool_seconds: Family::new(vec![tools()], || Histogram::seconds(FAST)),
            limits_hit: counters("limit", words::LIMITS),
            keys: KeyMetrics {
                cache_hits: token_cache.at(&["hit"]).clone(),
                cache_misses: token_cache.at(&["miss"]).clone(),
                jwks_fetched: jwks_fetches.at(&["fetched"]).clone(),
                jwks_failed: jwks_fetches.at(&["failed"]).clone(),
            },
            token_cache,
            jwks_fetches,
            logins: Family::new(
                vec![Label::new("door", words::DOORS), Label::new("result", words::LOGINS)],
                Counter::default,
            ),
            revocations: counters("kind", words::REVOCATIONS),
            store_file_bytes: Gauge::default(),
            started: Gauge::default(),
        };
        metrics.started.set(crate::clock::unix_now());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        metrics.describe(build);
        metrics.registry.register_collector(Box::new(process::Process));
        Arc::new(metrics)
    }

    /// A connection that begins: counted where it is in its life until it is dropped.
    pub fn connection(&self) -> Stage {
        let state = words::CONNECTION_STATES[0];
        self.connections.at(&[state]).inc();
        Stage { connections: self.connections.clone(), state }
    }

    /// WebSocket connections now, wherever they are in their life.
    pub fn connections_now(&self) -> i64 {
        self.connections.all().map(Gauge::get).sum()
    }

    /// Counts a handshake by how it ended: a word of [`words::HANDSHAKES`].
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

    /// Counts a frame of a client: its type, and what became of it (a word of [`words::FRAME_OUTCOMES`]).
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

    /// Counts what came of a position: a word of [`words::RESUMES`].
    pub fn resume(&self, result: &str) {
        self.resumes.at(&[result]).inc();
    }

    /// Counts a snapshot: a word of [`words::SNAPSHOTS`].
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

    /// Counts a limit that stopped somebody: a word of [`words::LIMITS`].
    pub fn limit_hit(&self, limit: &str) {
        self.limits_hit.at(&[limit]).inc();
    }

    /// Limits hit so far.
    pub fn limits_hit(&self) -> u64 {
        self.limits_hit.all().map(Counter::get).sum()
    }

    /// Counts a try at a door of the accounts (a word of [`words::DOORS`]) and what came of it ([`words::LOGINS`]).
    pub fn login(&self, door: &str, result: &str) {
        self.logins.at(&[door, result]).inc();
    }

    /// Counts a revocation: a word of [`words::REVOCATIONS`].
    pub fn revocation(&self, kind: &str) {
        self.revocations.at(&[kind]).inc();
    }

    /// All of it as text. Reads files of the process: call it off the async threads.
    pub fn text(&self, format: Format) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        match format {
            Format::OpenMetrics => text,
            Format::Classic => text::classic(&text),
        }
    }
}

/// Where a connection is in its life; dropping it ends the life.
pub struct Stage {
    connections: Family<Gauge>,
    state: &'static str,
}

impl Stage {
    /// Moves the connection on to a state of [`words::CONNECTION_STATES`].
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
