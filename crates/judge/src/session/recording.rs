//! What came on one connection, for the check that waits and for the history.

use std::{sync::Arc, time::Instant};

use wireproof_client::Ended;
use wireproof_testkit::recording::{Recording, ended_by};

use super::{TOO_MUCH, frame_budget::FrameBudget};
use crate::{
    profile::Profile,
    received_frame::ReceivedFrame,
    record::{Action, HistoryRecorder, Op},
};

/// Frames that are taken on one connection, and the bytes of all of them: a server that never stops talking is left.
const FRAMES: usize = 50_000;
/// See [`FRAMES`].
const BYTES: usize = 16 << 20;
/// Bytes of a binary frame that are shown.
const SHOWN: usize = 100;

/// All that came on a connection, and where the history of the check is written.
pub(crate) struct FrameRecording {
    pub(super) seen: Vec<Arc<ReceivedFrame>>,
    pub(super) ended: Option<Ended>,
    pub(super) profile: Arc<Profile>,
    pub(super) recorder: HistoryRecorder,
    pub(super) user: String,
    pub(super) name: String,
    /// Bytes of all frames so far.
    bytes: usize,
    /// What may come on all connections of the check.
    frame_budget: Arc<FrameBudget>,
}

impl FrameRecording {
    /// An empty recording of a connection of this user and this name.
    pub(crate) fn new(
        profile: Arc<Profile>,
        recorder: HistoryRecorder,
        frame_budget: Arc<FrameBudget>,
        user: &str,
        name: String,
    ) -> Self {
        let user = user.to_owned();
        Self { seen: Vec::new(), ended: None, profile, recorder, user, name, bytes: 0, frame_budget }
    }

    /// Writes down a frame that came, with what is known of it besides its text; gives how the connection ends when it
    /// is one too many.
    pub(super) fn write_down(&mut self, text: &str, amend: impl FnOnce(&mut ReceivedFrame)) -> Option<Ended> {
        let at = Instant::now();
        self.bytes += text.len();
        let mut seen = ReceivedFrame::read(&self.profile, self.seen.len(), at, text);
        amend(&mut seen);
        let op = Op::frame(&self.profile, &seen.json, text);
        let (conn, user) = (self.name.clone(), self.user.clone());
        // What a transport knows of a frame besides its text is in `seen`.
        let first_seq = seen.first_seq.filter(|first| Some(*first) != seen.seq);
        let (stream, seq, call, request) =
            (seen.run.clone(), seen.seq, seen.call.clone(), seen.request.clone());
        self.recorder.note_at(at, Op { conn, user, stream, seq, first_seq, call, request, ..op });
        self.seen.push(Arc::new(seen));
        if self.seen.len() < FRAMES && self.bytes < BYTES {
            return self.frame_budget.take(text.len()).err().map(ended_by);
        }
        Some(ended_by(format!(
            "{TOO_MUCH}, which takes at most {FRAMES} frames and {BYTES} bytes on one connection"
        )))
    }
}

impl Recording for FrameRecording {
    const RESET: &'static str = "reset by the client";
    const RESET_WHEN_DROPPED: bool = true;

    fn text(&mut self, _at: tokio::time::Instant, text: &str) -> Option<Ended> {
        self.write_down(text, |_| {})
    }

    /// No profile knows bytes: how they begin is told.
    fn binary(&mut self, _at: tokio::time::Instant, bytes: &[u8]) -> Option<Ended> {
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        self.write_down(&format!("{} bytes in a binary frame: {begin:?}", bytes.len()), |_| {})
    }

    fn end(&mut self, ended: Ended) {
        self.recorder.note(Op {
            conn: self.name.clone(),
            user: self.user.clone(),
            f: Action::Close,
            text: ended.to_string(),
            ..Op::default()
        });
        self.ended = Some(ended);
    }

    fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }
}
