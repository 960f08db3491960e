//! The parts of the metrics that are counted below the server's own rooms: the store's writer and the keys of tokens.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::{FAST, Family, Histogram, MANY, counters, labels, metrics};

metrics! {
    /// What the store's writer counts.
    #[derive(Debug, Clone)]
    pub struct CommitMetrics() {
        /// Pieces of work in one commit.
        pub jobs: Histogram = Histogram::whole(MANY) => "commit_jobs";
        /// Events in one commit that appended some.
        pub events: Histogram = Histogram::whole(MANY) => "commit_events";
        /// From the begin of a transaction to its being durable, in seconds.
        pub seconds: Histogram = Histogram::seconds(FAST) => "commit_duration", Seconds;
        /// Transactions of the store that failed; each piece of work of a failed one is tried once more alone.
        pub failed: Counter => "commits_failed";
        /// Changes that a quota did not allow, by quota.
        pub quota_refused: Family<Counter> = counters("quota", labels::QUOTAS) => "quota_refused";
        /// Bytes of messages and metadata that all users keep, as the quotas count them.
        pub kept_bytes: Gauge => "kept", Bytes;
        /// Threads that all users keep.
        pub kept_threads: Gauge => "kept_threads";
        /// Messages that all users keep.
        pub kept_messages: Gauge => "kept_messages";
    }
    beside {
        last: Arc<LastCommits> = Arc::default();
        files: Arc<OnceLock<Vec<PathBuf>>> = Arc::default();
    }
}

/// When the last commits were, in Unix seconds.
#[derive(Debug, Default)]
struct LastCommits {
    good: AtomicU64,
    failed: AtomicU64,
}

impl CommitMetrics {
    /// Counts a commit that made something durable.
    pub fn committed(&self, events: usize) {
        self.events.observe(events as f64);
        self.last.good.store(crate::clock::unix_now().to_bits(), Relaxed);
    }

    /// Counts a commit that failed.
    pub fn failed(&self) {
        self.failed.inc();
        self.last.failed.store(crate::clock::unix_now().to_bits(), Relaxed);
    }

    /// Names the files that the store keeps on this machine.
    pub fn measure_files(&self, files: Vec<PathBuf>) {
        // One store has one set of metrics.
        let _ = self.files.set(files);
    }

    /// Bytes that the store's files take on this machine. Asks the file system.
    pub fn file_bytes(&self) -> u64 {
        let bytes = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        self.files.get().into_iter().flatten().map(bytes).sum()
    }

    /// True when a commit failed within this time.
    pub fn failed_within(&self, time: Duration) -> bool {
        f64::from_bits(self.last.failed.load(Relaxed)) > crate::clock::unix_now() - time.as_secs_f64()
    }

    /// True when the last commit failed, within this time: refused clients may try again later.
    pub fn is_failing(&self, time: Duration) -> bool {
        let last = |at: &AtomicU64| f64::from_bits(at.load(Relaxed));
        self.failed_within(time) && last(&self.last.failed) > last(&self.last.good)
    }
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self::at_start()
    }
}

/// What the keys of tokens count.
#[derive(Debug, Clone, Default)]
pub struct KeyMetrics {
    /// Tokens that were known.
    pub cache_hits: Counter,
    /// Tokens whose signature had to be checked.
    pub cache_misses: Counter,
    /// Fetches of an issuer's keys that brought some.
    pub jwks_fetched: Counter,
    /// Fetches that did not.
    pub jwks_failed: Counter,
}
