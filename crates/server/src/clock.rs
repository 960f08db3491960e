//! What time it is, as the wire and the store have it; and deadlines.

use std::time::{SystemTime, UNIX_EPOCH};

mod deadline;

pub use deadline::{Deadline, within};

/// Now, in Unix seconds; 0 on a machine whose clock stands before 1970.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
