//! How long an expectation waits.

/// How long an expectation waits unless it is told otherwise.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
