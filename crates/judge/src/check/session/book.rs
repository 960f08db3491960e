//! Where a connection's task writes down what comes, for the check that waits and for the history.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::watch;
use wireproof_client::Ended;

use super::TOO_MUCH;
use crate::{
    check::{Seen, allowance::Allowance},
    profile::Profile,
    record::{Action, Op, Recorder},
};

/// Frames that are taken on one connection, and the bytes of all of them: a server that never stops talking is left.
const FRAMES: usize = 50_000;
/// Bytes of a binary frame that are shown.
const SHOWN: usize = 100;
/// See [`FRAMES`].
const BYTES: usize = 16 << 20;

/// All that came on a connection.
#[derive(Default)]
pub(super) struct Log {
    pub(super) seen: Mutex<(Vec<Arc<Seen>>, Option<Ended>)>,
    pub(super) changes: watch::Sender<u64>,
}

impl Log {
    pub(super) fn lock(&self) -> MutexGuard<'_, (Vec<Arc<Seen>>, Option<Ended>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection's task writes down what comes.
pub(super) struct Book {
    pub(super) log: Arc<Log>,
    pub(super) profile: Arc<Profile>,
    pub(super) recorder: Recorder,
    pub(super) user: String,
    pub(super) name: String,
    /// Bytes of all frames so far.
    pub(super) bytes: AtomicUsize,
    /// What may come on all connections of the check.
    pub(super) allowance: Arc<Allowance>,
}

impl Book {
    /// Writes down a frame that came; gives how the connection ends when it is one too many.
    pub(super) fn came(&self, text: &str) -> Result<(), Box<Ended>> {
        self.write_down(text, |_| {})
    }

    /// The same for a binary frame, which no profile knows: how it begins is told.
    pub(super) fn came_as_bytes(&self, bytes: &[u8]) -> Result<(), Box<Ended>> {
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        self.write_down(&format!("{} bytes in a binary frame: {begin:?}", bytes.len()), |_| {})
    }

    /// The same, with what is known of the frame besides its text.
    pub(super) fn write_down(&self, text: &str, amend: impl FnOnce(&mut Seen)) -> Result<(), Box<Ended>> {
        let at = Instant::now();
        let bytes = self.bytes.fetch_add(text.len(), Ordering::Relaxed) + text.len();
        let seen = {
            let mut log = self.log.lock();
            let mut seen = Seen::read(&self.profile, log.0.len(), at, text);
            amend(&mut seen);
            let seen = Arc::new(seen);
            log.0.push(seen.clone());
            seen
        };
        let frames = seen.index + 1;
        let op = Op::frame(&self.profile, &seen.json, text);
        let (conn, user) = (self.name.clone(), self.user.clone());
        // What a transport knows of a frame besides its text is in `seen`.
        let first_seq = seen.first_seq.filter(|first| Some(*first) != seen.seq);
        let (stream, seq, call, request) =
            (seen.run.clone(), seen.seq, seen.call.clone(), seen.request.clone());
        self.recorder.note_at(at, Op { conn, user, stream, seq, first_seq, call, request, ..op });
        self.log.changes.send_modify(|changes| *changes += 1);
        let cause = if frames < FRAMES && bytes < BYTES {
            let Err(cause) = self.allowance.take(text.len()) else { return Ok(()) };
            cause
        } else {
            format!("{TOO_MUCH}, which takes at most {FRAMES} frames and {BYTES} bytes on one connection")
        };
        Err(Box::new(Ended { cause: Some(cause), ..Ended::default() }))
    }

    pub(super) fn over(&self, ended: Ended) {
        self.recorder.note(Op {
            conn: self.name.clone(),
            user: self.user.clone(),
            f: Action::Close,
            text: ended.to_string(),
            ..Op::default()
        });
        self.log.lock().1 = Some(ended);
        self.log.changes.send_modify(|changes| *changes += 1);
    }
}
