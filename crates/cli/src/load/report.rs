//! The result of a measurement, and what makes it doubtful. The fields are those of the JSON.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    Load,
    conductor::Course,
    tally::{Tally, Times},
};

/// A message this late, at p99, is the generator's fault and no longer small beside what is measured.
const LATE_MS: f64 = 5.0;

/// A generator that is busier than this share of its core cannot be trusted with latencies.
const BUSY: f64 = 0.9;

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) connections: Connections,
    pub(super) load: Sent,
    /// Milliseconds from when a message was due.
    pub(super) latency_ms: Latencies,
    pub(super) server: ServerUse,
    pub(super) generator: GeneratorUse,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) warnings: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Connections {
    pub(super) asked: usize,
    pub(super) opened: u64,
    pub(super) users: usize,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) handshake_ms: Option<Quantiles>,
}

#[derive(Serialize)]
pub(super) struct Sent {
    /// `open` by a schedule, `closed` in a loop, `idle` without messages.
    pub(super) model: &'static str,
    pub(super) messages_per_second_asked: Option<f64>,
    pub(super) seconds: f64,
    pub(super) messages: u64,
    pub(super) messages_per_second: f64,
    pub(super) runs_completed: u64,
    pub(super) runs_failed: u64,
    pub(super) runs_unfinished: u64,
    pub(super) refused: u64,
    pub(super) runs_per_second: f64,
    pub(super) events_per_second: f64,
    pub(super) deliveries_per_second: f64,
}

#[derive(Serialize)]
pub(super) struct Latencies {
    pub(super) accepted: Option<Quantiles>,
    pub(super) agent_started: Option<Quantiles>,
    pub(super) agent_completed: Option<Quantiles>,
}

#[derive(Serialize, Clone, Copy)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

#[derive(Serialize)]
pub(super) struct ServerUse {
    pub(super) rss_kib_before: Option<u64>,
    pub(super) rss_kib_open: Option<u64>,
    pub(super) rss_kib_after: Option<u64>,
    pub(super) kib_per_connection_open: Option<f64>,
    pub(super) kib_per_connection_after: Option<f64>,
    pub(super) cores: Option<f64>,
    pub(super) cpu_us_per_run: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct GeneratorUse {
    pub(super) cores: Option<f64>,
    pub(super) late_ms: Option<Quantiles>,
}

impl Quantiles {
    fn of(times: &Times) -> Option<Self> {
        let at = |quantile| times.ms(quantile);
        (times.count() > 0).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        })
    }
}

impl Report {
    pub(super) fn new(load: &Load, course: Course, tally: Tally) -> Self {
        let mut report = Self {
            connections: Connections {
                asked: load.connections,
                opened: tally.opened,
                users: load.users(),
                seconds: course.opening.as_secs_f64(),
                per_second: per(tally.opened, course.opening),
                handshake_ms: Quantiles::of(&tally.handshake),
            },
            load: Sent::new(load, &course, &tally),
            latency_ms: Latencies {
                accepted: Quantiles::of(&tally.accepted),
                agent_started: Quantiles::of(&tally.started),
                agent_completed: Quantiles::of(&tally.completed),
            },
            server: ServerUse::new(&course, &tally),
            generator: GeneratorUse {
                cores: course.processor[1].map(|time| time.as_secs_f64() / course.playing.as_secs_f64()),
                late_ms: Quantiles::of(&tally.late),
            },
            errors: tally.errors,
            warnings: Vec::new(),
        };
        report.warnings = report.doubts(course);
        report
    }

    fn doubts(&self, course: Course) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(late) = self.generator.late_ms.filter(|late| late.p99 > LATE_MS) {
            doubts.push(format!(
                "the generator was late: {:.1} ms at p99 from due to sent, and the latencies include it",
                late.p99
            ));
        }
        if let Some(cores) = self.generator.cores.filter(|cores| *cores > BUSY) {
            doubts.push(format!("the generator used {cores:.2} of its one core: it may be what is measured"));
        }
        if let Some(error) = course.first_failure {
            doubts.push(format!("connections failed to open, the first one so: {error}"));
        }
        if self.errors.contains_key("rate_limited") || self.errors.contains_key("too_many_runs") {
            doubts.push(
                "the server's limits were reached: raise limits.* there, or spread over --users".into(),
            );
        }
        doubts
    }

    /// True when nothing was refused, lost or left open.
    pub(super) fn is_clean(&self) -> bool {
        let load = &self.load;
        self.errors.is_empty() && load.refused + load.runs_failed + load.runs_unfinished == 0
    }
}

impl Sent {
    fn new(load: &Load, course: &Course, tally: &Tally) -> Self {
        let (window, playing) = (&course.window, course.playing);
        let is_open = !load.closed && load.rate > 0.0;
        Self {
            model: if load.closed {
                "closed"
            } else if is_open {
                "open"
            } else {
                "idle"
            },
            messages_per_second_asked: is_open.then_some(load.rate),
            seconds: playing.as_secs_f64(),
            messages: tally.counts.sent,
            messages_per_second: per(window.sent, playing),
            runs_completed: tally.counts.completed,
            runs_failed: tally.counts.failed,
            runs_unfinished: tally.counts.open(),
            refused: tally.counts.refused,
            runs_per_second: per(window.completed, playing),
            events_per_second: per(window.events, playing),
            deliveries_per_second: per(window.deliveries, playing),
        }
    }
}

impl ServerUse {
    fn new(course: &Course, tally: &Tally) -> Self {
        let [before, open, after] = course.memory;
        let each = |now: Option<u64>| Some(now?.saturating_sub(before?) as f64 / tally.opened.max(1) as f64);
        let runs = course.window.completed as f64;
        let processor = course.processor[0];
        Self {
            rss_kib_before: before,
            rss_kib_open: open,
            rss_kib_after: after,
            kib_per_connection_open: each(open),
            kib_per_connection_after: each(after),
            cores: processor.map(|time| time.as_secs_f64() / course.playing.as_secs_f64()),
            cpu_us_per_run: processor.filter(|_| runs > 0.0).map(|time| time.as_secs_f64() * 1e6 / runs),
        }
    }
}

fn per(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}
