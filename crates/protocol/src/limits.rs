//! The limits that a server announces in its welcome.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a connection may do; 0 means no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Largest message in bytes that is answered with its outcome; larger ones get `message_too_large`.
    pub message_bytes: usize,
    /// Largest message in bytes that leaves the connection open.
    pub message_hard_bytes: usize,
    /// Connections a user may have at once.
    pub connections_per_user: usize,
    /// Requests for work, and frames that cannot be understood, that a user may send in a minute.
    #[serde(default)]
    pub messages_per_minute: u64,
    /// How many of them may come at once.
    #[serde(default)]
    pub message_burst: u64,
    /// Other frames that a user may send in a minute.
    #[serde(default)]
    pub other_frames_per_minute: u64,
    /// How many of them may come at once.
    #[serde(default)]
    pub other_frame_burst: u64,
    /// Bytes that a user may send in a minute.
    #[serde(default)]
    pub bytes_per_minute: u64,
    /// How many of them may come at once.
    #[serde(default)]
    pub byte_burst: u64,
    /// Runs a user may have at once.
    pub concurrent_runs: usize,
    /// Runs a user may have waiting.
    pub queued_runs: usize,
    /// How often the server pings, in seconds.
    pub heartbeat_seconds: f64,
    /// How long a run may take, in seconds.
    #[serde(default)]
    pub run_seconds: f64,
}
