//! Limits new connections: a bucket for handshakes, a bound on those in progress and on all connections. A client that
//! is refused gets a time at which there will be room for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wireproof_protocol::{ErrorBody, ErrorCode};

use super::{
    Limits,
    bucket::{Bucket, Rate, nanoseconds},
    idle_connections::IdleConnections,
    permits::{Permit, PermitPool},
};

/// The longest time after which a client is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// A connection stays open for this part of the time for a head, however many connections are idle.
const MOMENTS: f64 = 10.0;
/// File descriptors that are not for connections: the store, the log, the health checks.
const RESERVED_FILES: u64 = 128;

/// There is no room for a handshake now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded {
    /// The limit in the settings.
    pub limit: &'static str,
    /// Seconds after which there should be room, 1 or more.
    pub retry_after: u64,
}

impl Overloaded {
    /// The error for the client.
    pub fn body(&self) -> ErrorBody {
        let sentence = "Too many connections are being opened at once; try again a little later.";
        let mut body = ErrorBody::new(ErrorCode::RateLimited, sentence).detail("limit", self.limit);
        body.retry_after_ms = Some(self.retry_after * 1000);
        body
    }
}

/// Decides whether a new handshake may start.
pub struct Admission {
    began: Instant,
    rate: Rate,
    bucket: Bucket,
    /// The turns of refused clients, so that they come back one after the other.
    line: Bucket,
    in_progress: PermitPool,
    most_in_progress: usize,
    connections: PermitPool,
    most_connections: usize,
    /// Connections without a request.
    pub idle: Arc<IdleConnections>,
}

impl Admission {
    /// The limits of a server that starts at `now`.
    pub fn new(limits: &Limits, now: Instant) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let moment = Duration::from_secs_f64(limits.header_seconds / MOMENTS);
        Self {
            began: now,
            rate: Rate::new(limits.handshakes_per_second, Duration::from_secs(1), limits.handshake_burst),
            bucket: Bucket::default(),
            line: Bucket::default(),
            in_progress: PermitPool::default(),
            most_in_progress: limits.handshakes_in_progress,
            connections: PermitPool::default(),
            most_connections: most_connections(limits.connections, files),
            idle: IdleConnections::new(limits.silent_connections, moment),
        }
    }

    /// Lets a handshake in; the place is held while it is in progress.
    pub fn handshake(&self, now: Instant) -> Result<Permit, Overloaded> {
        let clock = nanoseconds(now.saturating_duration_since(self.began));
        let busy = |limit| {
            let turn = self.line.line_up(&self.rate, clock, LONGEST_WAIT);
            // Rounded up, so that no client comes back too early.
            Overloaded { limit, retry_after: turn.as_secs() + 1 }
        };
        let place =
            self.in_progress.take(self.most_in_progress).ok_or_else(|| busy("handshakes_in_progress"))?;
        match self.bucket.take(&self.rate, 1, clock) {
            Ok(()) => Ok(place),
            Err(_) => Err(busy("handshakes_per_second")),
        }
    }

    /// A place for one more connection of any kind.
    pub fn connection(&self) -> Option<Permit> {
        self.connections.take(self.most_connections)
    }

    /// Connections of any kind that are open, and the most there can be (0: no limit).
    pub fn connections(&self) -> (usize, usize) {
        (self.connections.taken(), self.most_connections)
    }

    /// Handshakes in progress.
    pub fn in_progress(&self) -> usize {
        self.in_progress.taken()
    }
}

/// The setting, or the number of connections that the process's file limit allows.
fn most_connections(setting: usize, files: Option<u64>) -> usize {
    match (setting, files) {
        (0, None) => 0,
        (0, Some(files)) => usize::try_from(files.saturating_sub(RESERVED_FILES).max(files / 2)).unwrap_or(0),
        (setting, _) => setting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_to_come_back_one_after_the_other() {
        let now = Instant::now();
        let limits = Limits { handshakes_per_second: 100, handshake_burst: 50, ..Limits::default() };
        let admission = Admission::new(&limits, now);
        let mut waits = [0; 20];
        for _ in 0..550 {
            match admission.handshake(now) {
                Ok(_) => waits[0] += 1,
                Err(busy) => waits[busy.retry_after as usize] += 1,
            }
        }
        assert_eq!(waits[..7], [50, 100, 100, 100, 100, 100, 0]);
        let far = (0..9000).map(|_| admission.handshake(now).unwrap_err().retry_after).max();
        assert_eq!(far, Some(LONGEST_WAIT.as_secs() + 1));
    }

    #[test]
    fn a_handshake_in_progress_takes_a_place() {
        let now = Instant::now();
        let admission = Admission::new(&Limits { handshakes_in_progress: 2, ..Limits::default() }, now);
        let (first, _second) = (admission.handshake(now).unwrap(), admission.handshake(now).unwrap());
        assert_eq!(admission.handshake(now).unwrap_err().limit, "handshakes_in_progress");
        drop(first);
        assert!(admission.handshake(now).is_ok());
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(most_connections(7, Some(1024)), 7);
        assert_eq!(most_connections(0, Some(1024)), 896);
        assert_eq!(most_connections(0, Some(100)), 50);
        assert_eq!(most_connections(0, None), 0);
    }
}
