//! What one user may keep.

use serde::{Deserialize, Serialize};

/// What one user may keep in the store; 0 means no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// Bytes of the `content` of messages, and of the `metadata` of threads as JSON; the log is not counted.
    pub bytes_per_user: u64,
    /// Threads.
    pub threads_per_user: u64,
    /// Messages, of the user and of agents.
    pub messages_per_user: u64,
    /// Records of runs that ended; beyond it the oldest go.
    pub runs_per_user: u64,
    /// Ids of requests that are remembered; beyond it the oldest are forgotten.
    pub request_ids_per_user: u64,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            bytes_per_user: 1 << 30,
            threads_per_user: 10_000,
            messages_per_user: 200_000,
            runs_per_user: 10_000,
            request_ids_per_user: 10_000,
        }
    }
}
