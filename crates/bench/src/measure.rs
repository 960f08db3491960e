//! The benchmarks, by what they measure.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use hdrhistogram::Histogram;

pub mod bad_user;
pub mod deletion;
pub mod handshakes;
pub mod jitter;
pub mod judge;
pub mod latency;
pub mod limits;
pub mod memory;
pub mod proxy;
pub mod stall;
pub mod start;
pub mod storm;
pub mod throughput;
pub mod workloads;

/// Figures by their names, with the units in these.
pub type Metrics = BTreeMap<&'static str, f64>;

/// Rows of the table: a name and its figures.
pub type Rows = Vec<(&'static str, Metrics)>;

/// Microseconds up to a minute, three digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// A quantile in milliseconds.
pub fn ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

/// A duration in microseconds, as a histogram takes it.
pub fn micros(duration: Duration) -> u64 {
    (duration.as_micros() as u64).max(1)
}

/// Now, in Unix seconds, as events have it.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
