//! A histogram for hot paths: plain atomics, no lock, clones share it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// Counts values by the bucket that they fall into.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them.
    buckets: Box<[AtomicU64]>,
    /// The sum, in parts.
    sum: AtomicU64,
    /// Parts of the sum that make one.
    parts: f64,
}

impl Histogram {
    /// A histogram of seconds, exact to the nanosecond.
    pub fn seconds(bounds: &'static [f64]) -> Self {
        Self::new(bounds, NANOS)
    }

    /// A histogram of whole numbers.
    pub fn whole(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [f64], parts: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Counts { bounds, buckets, sum: AtomicU64::new(0), parts }))
    }

    /// Counts a value; one below 0, as a clock that was set back gives, counts as 0.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[bucket].fetch_add(1, Relaxed);
        self.0.sum.fetch_add((value * self.0.parts) as u64, Relaxed);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let counts: Vec<u64> = self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let sum = self.0.sum.load(Relaxed) as f64 / self.0.parts;
        let bounds = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::seconds(&[0.001, 0.01]);
        for value in [-1.0, 0.0, 0.001, 0.002, 0.01, 0.5, f64::NAN] {
            histogram.observe(value);
        }
        let counts: Vec<u64> = histogram.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        // What is no number is in no bucket but some: the sum must not be spoilt by it.
        assert_eq!(counts.iter().sum::<u64>(), 7);
        assert_eq!((counts[1], counts[2]), (2, 1));
        assert_eq!(histogram.0.sum.load(Relaxed), 513_000_000);
        assert_eq!(histogram.count(), 7);
    }
}
