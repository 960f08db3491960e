//! A token bucket as one number: when it would be full again (GCRA). Exact with any number of threads. Pure.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How many may come: `burst` at once, and then `count` in each `per`. A count of 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which one comes back; 0 is no limit.
    each: u64,
    /// Nanoseconds that an empty bucket takes to fill.
    depth: u64,
}

impl Rate {
    /// A rate; at least one may always come at once.
    pub fn new(count: u64, per: Duration, burst: u64) -> Self {
        let each = if count == 0 { 0 } else { nanoseconds(per).div_ceil(count) };
        Self { each, depth: each.saturating_mul(burst.max(1)) }
    }

    /// A rate in a minute.
    pub fn a_minute(count: u64, burst: u64) -> Self {
        Self::new(count, Duration::from_secs(60), burst)
    }

    /// How many may come at once.
    pub fn burst(&self) -> u64 {
        self.depth.checked_div(self.each).unwrap_or(u64::MAX).max(1)
    }

    /// True when it never refuses.
    pub fn is_unlimited(&self) -> bool {
        self.each == 0
    }

    /// Nanoseconds in which `units` come back.
    fn cost(&self, units: u64) -> u64 {
        units.saturating_mul(self.each)
    }
}

/// What was taken of one bucket so far. An empty one is as good as new and need not be kept.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When the bucket is full again, on the clock of its callers in nanoseconds.
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes `units` at `now` (nanoseconds on any clock), all or none; the error is how long until they are there.
    /// More than the bucket holds counts as all of it: it can be had when the bucket is full.
    pub fn take(&self, rate: &Rate, units: u64, now: u64) -> Result<(), Duration> {
        if rate.is_unlimited() {
            return Ok(());
        }
        let cost = rate.cost(units).min(rate.depth);
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let after = full_at.max(now).saturating_add(cost);
            (after <= now.saturating_add(rate.depth)).then_some(after)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let wait = full_at.saturating_add(cost).saturating_sub(now).saturating_sub(rate.depth);
                Err(Duration::from_nanos(wait))
            }
        }
    }

    /// Puts back what was taken and not used.
    pub fn give_back(&self, rate: &Rate, units: u64) {
        let cost = rate.cost(units).min(rate.depth);
        let down = |full_at: u64| Some(full_at.saturating_sub(cost));
        // The closure always has an answer.
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
    }

    /// How long until `units` could be taken; `None` when they can be now.
    pub fn wait(&self, rate: &Rate, units: u64, now: u64) -> Option<Duration> {
        let cost = rate.cost(units).min(rate.depth);
        let after = self.full_at.load(Ordering::Relaxed).max(now).saturating_add(cost);
        let wait = after.saturating_sub(now).saturating_sub(rate.depth);
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    /// Takes a turn in the queue for a unit, and returns how long until the turn; at most `most` turns are ahead.
    pub fn line_up(&self, rate: &Rate, now: u64, most: Duration) -> Duration {
        let (cost, most) = (rate.cost(1), nanoseconds(most));
        let behind = |full_at: u64| Some(full_at.max(now).saturating_add(cost).min(now.saturating_add(most)));
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, behind).unwrap_or(now);
        Duration::from_nanos(before.max(now) - now)
    }

    /// True when nothing of it is taken: it is as good as a new one.
    pub fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now
    }
}

/// A duration as the buckets count; more than 584 years are as many.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, atomic::AtomicUsize};

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_comes_at_once_and_the_rest_in_time() {
        let (rate, bucket) = (Rate::a_minute(60, 20), Bucket::default());
        let at = 5 * SECOND;
        assert_eq!((0..50).filter(|_| bucket.take(&rate, 1, at).is_ok()).count(), 20);
        let wait = bucket.take(&rate, 1, at).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        // The wait is true: a nanosecond before it is too early.
        assert!(bucket.take(&rate, 1, at + SECOND - 1).is_err());
        assert!(bucket.take(&rate, 1, at + SECOND).is_ok());
        assert!(bucket.take(&rate, 1, at + SECOND).is_err());
        assert!(!bucket.is_full(at + 20 * SECOND) && bucket.is_full(at + 21 * SECOND));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (rate, bucket) = (Rate::a_minute(1, 3), Bucket::default());
        assert!(bucket.take(&rate, 3, 0).is_ok());
        bucket.give_back(&rate, 2);
        assert_eq!((0..5).filter(|_| bucket.take(&rate, 1, 0).is_ok()).count(), 2);
    }

    #[test]
    fn no_limit_never_refuses_and_more_than_all_is_all() {
        let bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(&Rate::a_minute(0, 0), u64::MAX, 0).is_ok()));
        let rate = Rate::a_minute(10, 5);
        assert!(bucket.take(&rate, 1000, 0).is_ok());
        assert!(bucket.take(&rate, 1, 0).is_err());
        let huge = Rate::a_minute(u64::MAX, u64::MAX);
        assert!(bucket.take(&huge, u64::MAX, u64::MAX).is_ok());
    }

    #[test]
    fn those_who_wait_stand_in_line() {
        let (rate, line) = (Rate::new(10, Duration::from_secs(1), 1), Bucket::default());
        let waits: Vec<_> =
            (0..4).map(|_| line.line_up(&rate, SECOND, Duration::from_secs(9)).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 300]);
        let last = (0..1000).map(|_| line.line_up(&rate, SECOND, Duration::from_secs(9))).last();
        assert_eq!(last, Some(Duration::from_secs(9)));
    }

    proptest! {
        /// Whatever is asked when, in any interval no more is given than the burst and what came back in it, and a
        /// refusal is never untrue: what it says to wait for is there then.
        #[test]
        fn no_interval_gives_more_than_its_share(
            count in 1u64..500, burst in 1u64..50,
            asked in prop::collection::vec((0u64..3 * SECOND, 1u64..4), 1..200),
        ) {
            let rate = Rate::a_minute(count, burst);
            let bucket = Bucket::default();
            let (mut now, mut given): (u64, Vec<(u64, u64)>) = (0, Vec::new());
            for (pause, units) in asked {
                now += pause;
                let wait = bucket.wait(&rate, units, now);
                match bucket.take(&rate, units, now) {
                    Ok(()) => {
                        prop_assert_eq!(wait, None);
                        given.push((now, units.min(burst)));
                    }
                    Err(refused) => {
                        prop_assert_eq!(wait, Some(refused));
                        prop_assert!(bucket.wait(&rate, units, now + nanoseconds(refused)).is_none());
                        prop_assert!(bucket.wait(&rate, units, now + nanoseconds(refused) - 1).is_some());
                    }
                }
            }
            for from in 0..given.len() {
                let mut sum = 0;
                for (at, units) in &given[from..] {
                    sum += units;
                    let share = burst as f64 + (at - given[from].0) as f64 * count as f64 / (60.0 * SECOND as f64);
                    prop_assert!(sum as f64 <= share + 1e-6, "{} given, {} allowed", sum, share);
                }
            }
        }

        /// Threads that ask at once get exactly what one that asks alone would get.
        #[test]
        fn threads_get_as_much_as_one(
            burst in 1u64..200, asks in 1usize..100, threads in 2usize..6, units in 1u64..4, waited in 0u64..120,
        ) {
            let rate = Rate::a_minute(30, burst);
            let run = |bucket: &Bucket, threads: usize, now: u64| {
                let (barrier, allowed) = (Barrier::new(threads), AtomicUsize::new(0));
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            barrier.wait();
                            let got = (0..asks).filter(|_| bucket.take(&rate, units, now).is_ok()).count();
                            allowed.fetch_add(got, Ordering::Relaxed);
                        });
                    }
                });
                allowed.into_inner()
            };
            let (together, alone) = (Bucket::default(), Bucket::default());
            for now in [0, waited * SECOND] {
                let got = run(&together, threads, now);
                let expected = (0..asks * threads).filter(|_| alone.take(&rate, units, now).is_ok()).count();
                prop_assert_eq!(got, expected);
            }
        }
    }
}
