//! The result of a measurement, and what makes it doubtful. The fields are those of the JSON.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    Load,
    expectation::Verdict,
    runner::Course,
    self_check::Finding,
    tally::{Milestone, STEPS, StepTimes, Tally, Times},
    warnings::doubts,
};

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) connections: Connections,
    pub(super) load: Sent,
    /// By both clocks: `corrected` from when a message was due, `raw` from when it was sent.
    pub(super) latency_ms: Latencies,
    /// Each stage of the schedule alone, when there is more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stages: Vec<OfStage>,
    pub(super) server: ServerUse,
    pub(super) generator: GeneratorUse,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) warnings: Vec<String>,
    pub(super) expectations: Vec<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) self_check: Option<Finding>,
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
    /// Messages that were due and never sent.
    pub(super) unsent: u64,
    pub(super) runs_per_second: f64,
    pub(super) events_per_second: f64,
    pub(super) deliveries_per_second: f64,
}

#[derive(Serialize)]
pub(super) struct Latencies {
    pub(super) accepted: Clocks,
    pub(super) agent_started: Clocks,
    pub(super) first_delta: Clocks,
    pub(super) completed: Clocks,
}

#[derive(Serialize, Clone, Copy)]
pub(super) struct Clocks {
    /// Nothing in a closed loop: without a schedule nothing is due.
    pub(super) corrected: Option<Quantiles>,
    pub(super) raw: Option<Quantiles>,
}

#[derive(Serialize, Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    #[serde(rename = "p99.9")]
    pub(super) p999: f64,
    pub(super) max: f64,
}

#[derive(Serialize)]
pub(super) struct OfStage {
    pub(super) stage: String,
    pub(super) completed_ms: Option<Quantiles>,
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
    /// What the generator itself lost between due and sent.
    pub(super) late_ms: Option<Quantiles>,
    /// How late its own clock ran.
    pub(super) lag_ms: Option<Quantiles>,
}

impl Quantiles {
    pub(super) fn of(times: &Times) -> Option<Self> {
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

impl Clocks {
    fn of(step: &StepTimes) -> Self {
        Self { corrected: Quantiles::of(&step.corrected), raw: Quantiles::of(&step.raw) }
    }
}

impl Latencies {
    fn of(tally: &Tally) -> Self {
        let of = |milestone: Milestone| Clocks::of(&tally.steps[milestone as usize]);
        Self {
            accepted: of(Milestone::Accepted),
            agent_started: of(Milestone::Started),
            first_delta: of(Milestone::FirstDelta),
            completed: of(Milestone::Completed),
        }
    }

    /// Each step with its name, in the order of [`STEPS`].
    pub(super) fn steps(&self) -> [(&'static str, Clocks); STEPS.len()] {
        let clocks = [self.accepted, self.agent_started, self.first_delta, self.completed];
        std::array::from_fn(|index| (STEPS[index].1, clocks[index]))
    }
}

impl Report {
    pub(super) fn new(load: &Load, course: Course, tally: Tally) -> Self {
        let stages = load.schedule();
        let stages = stages.stages().iter().zip(&tally.stages);
        let of_stage = |(stage, times): (&super::schedule::Stage, _)| OfStage {
            stage: stage.to_string(),
            completed_ms: Quantiles::of(times),
        };
        let mut report = Self {
            connections: Connections {
                asked: load.connections(),
                opened: tally.opened,
                users: load.users(),
                seconds: course.opening.as_secs_f64(),
                per_second: per(tally.opened, course.opening),
                handshake_ms: Quantiles::of(&tally.handshake),
            },
            load: Sent::new(load, &course, &tally),
            latency_ms: Latencies::of(&tally),
            stages: if stages.len() > 1 { stages.map(of_stage).collect() } else { Vec::new() },
            server: ServerUse::new(&course, &tally),
            generator: GeneratorUse {
                cores: course.processor[1].map(|time| time.as_secs_f64() / course.playing.as_secs_f64()),
                late_ms: Quantiles::of(&tally.late),
                lag_ms: Quantiles::of(&tally.lag),
            },
            errors: tally.errors,
            warnings: Vec::new(),
            expectations: Vec::new(),
            self_check: None,
        };
        report.warnings = doubts(&report, course.first_failure);
        report.expectations = load.expect.iter().map(|expected| expected.judge(&report)).collect();
        report
    }

    /// Messages and connections that came to no good end.
    pub(super) fn error_count(&self) -> u64 {
        let Sent { refused, runs_failed, runs_unfinished, unsent, .. } = self.load;
        let closed = self.connections.asked as u64 - self.connections.opened;
        let seen: u64 = self.errors.values().sum();
        // One thing may be in both: a refusal is a message that came to nothing, and has its name here.
        (refused + runs_failed + runs_unfinished + unsent + closed).max(seen)
    }

    /// Their share of all messages that were due and all connections.
    pub(super) fn error_share(&self) -> f64 {
        let all = self.load.messages + self.load.unsent + self.connections.asked as u64;
        self.error_count() as f64 / all.max(1) as f64
    }

    /// True when all expectations are met, and nothing went wrong but what they allow.
    pub(super) fn is_good(&self, load: &Load) -> bool {
        let allows_errors = load.expect.iter().any(|expected| expected.is_of_errors());
        (allows_errors || self.error_count() == 0)
            && self.expectations.iter().all(|verdict| verdict.met)
            && self.self_check.as_ref().is_none_or(|finding| finding.shown)
    }
}

impl Sent {
    fn new(load: &Load, course: &Course, tally: &Tally) -> Self {
        let (window, playing, counts) = (&course.window, course.playing, &tally.counts);
        let asked = load.schedule().mean_rate();
        let is_open = !load.closed && asked > 0.0;
        Self {
            model: if load.closed {
                "closed"
            } else if is_open {
                "open"
            } else {
                "idle"
            },
            messages_per_second_asked: is_open.then_some(asked),
            seconds: playing.as_secs_f64(),
            messages: counts.sent,
            messages_per_second: per(window.sent, playing),
            runs_completed: counts.completed,
            runs_failed: counts.failed,
            runs_unfinished: counts.open(),
            refused: counts.refused,
            unsent: counts.unsent + counts.waiting(),
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
