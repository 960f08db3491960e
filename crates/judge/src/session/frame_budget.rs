//! How much a server may say in one check, over all its connections: one that does not stop talking is left.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::TOO_MUCH;

/// Frames in one check, and for each of the users that it may have.
const FRAMES: (usize, usize) = (50_000, 1_000);
/// Bytes of them, alike.
const BYTES: (usize, usize) = (32 << 20, 1 << 20);

/// Counts what a server sent in one check, against the bounds.
#[derive(Debug)]
pub(crate) struct FrameBudget {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    most_frames: usize,
    most_bytes: usize,
}

impl FrameBudget {
    /// For a check with so many users.
    pub(crate) fn of(users: usize) -> Self {
        Self {
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_frames: FRAMES.0 + users * FRAMES.1,
            most_bytes: BYTES.0 + users * BYTES.1,
        }
    }

    /// Counts a frame; an error says that it is one too many.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), String> {
        let frames = self.frames.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if frames <= self.most_frames && bytes <= self.most_bytes {
            return Ok(());
        }
        let (frames, bytes) = (self.most_frames, self.most_bytes);
        Err(format!("{TOO_MUCH}, which takes at most {frames} frames and {bytes} bytes in one check"))
    }
}
