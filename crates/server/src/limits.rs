//! The limits in force, with their defaults.

use serde::{Deserialize, Serialize};
use wireproof_protocol::Limits as Announced;

/// What users may do; 0 means no limit where a number counts things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message in bytes that is carried out; larger ones get `message_too_large`.
    pub message_bytes: usize,
    /// Largest message in bytes that leaves the connection open; larger ones close it with 1009.
    pub message_hard_bytes: usize,
    /// Connections a user may have at once.
    pub connections_per_user: usize,
    /// Runs a user may have at once.
    pub concurrent_runs: usize,
    /// Runs a user may have waiting.
    pub queued_runs: usize,
    /// Bytes of events that wait for a slow client before it is served from the log.
    pub queue_soft_bytes: usize,
    /// Bytes of events that a slow client may be behind before it is closed with 4008.
    pub queue_hard_bytes: usize,
    /// Seconds that a client may accept nothing while something waits for it.
    pub stall_seconds: f64,
    /// Seconds between the server's pings.
    pub heartbeat_seconds: f64,
    /// Seconds of silence after which a connection is dead.
    pub dead_seconds: f64,
    /// Seconds that a connection may stay unauthenticated.
    pub authenticate_seconds: f64,
    /// Seconds that a run may take.
    pub run_seconds: f64,
    /// Seconds that a tool may take.
    pub tool_seconds: f64,
    /// Seconds that a connection lives on after its token expired.
    pub token_grace_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 10,
            message_hard_bytes: 1 << 20,
            connections_per_user: 10,
            concurrent_runs: 4,
            queued_runs: 16,
            queue_soft_bytes: 256 << 10,
            queue_hard_bytes: 1 << 20,
            stall_seconds: 30.0,
            heartbeat_seconds: 25.0,
            dead_seconds: 60.0,
            authenticate_seconds: 5.0,
            run_seconds: 300.0,
            tool_seconds: 60.0,
            token_grace_seconds: 25.0,
        }
    }
}

impl Limits {
    /// What a welcome tells of them.
    pub fn announced(&self) -> Announced {
        Announced {
            message_bytes: self.message_bytes,
            message_hard_bytes: self.message_hard_bytes,
            connections_per_user: self.connections_per_user,
            concurrent_runs: self.concurrent_runs,
            queued_runs: self.queued_runs,
            heartbeat_seconds: self.heartbeat_seconds,
        }
    }
}
