//! Counts the frames of one connection: each once, by its type and its outcome.

use std::sync::Arc;

use wireproof_protocol::{ControlBody, ErrorCode};

use super::dispatch::FrameOutcome;
use crate::{delivery::start::StartAt, metrics::Metrics, session::Step};

/// Counts the frames of a connection; one whose outcome is still open when this is dropped counts as abandoned.
pub struct FrameMetrics {
    metrics: Arc<Metrics>,
    /// The type of the frame that is being carried out or checked.
    open: Option<&'static str>,
    /// Frames so far.
    pub frames: u64,
}

impl FrameMetrics {
    /// The metrics of a new connection.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, open: None, frames: 0 }
    }

    /// A frame of a connection with a user came; its type, if it could be read, and what it brings about.
    pub fn frame(&mut self, kind: Option<&'static str>, steps: &[Step]) {
        match steps.first() {
            Some(Step::Verify(..) | Step::CarryOut(..)) => self.came(kind, None),
            _ if error_of(steps).is_some() => self.came(kind, error_of(steps)),
            _ => self.refused(kind),
        }
    }

    /// A frame came and is carried out or checked, unless it is refused with an error; its type, if it could be read.
    pub fn came(&mut self, kind: Option<&'static str>, refused: Option<ErrorCode>) {
        self.frames += 1;
        match refused {
            None => self.open = Some(kind.unwrap_or("invalid")),
            Some(code) => {
                let unread = if code == ErrorCode::UnknownType { "unknown" } else { "invalid" };
                self.metrics.frame_refused(kind.unwrap_or(unread), code);
            }
        }
    }

    /// A frame came and is refused without an error.
    pub fn refused(&mut self, kind: Option<&'static str>) {
        self.frames += 1;
        self.metrics.frame(kind.unwrap_or("invalid"), "refused");
    }

    /// A token was checked that a frame brought.
    pub fn verified(&mut self, refused: Option<ErrorCode>) {
        let Some(kind) = self.open.take() else { return };
        match refused {
            Some(code) => self.metrics.frame_refused(kind, code),
            None => self.metrics.frame(kind, "carried_out"),
        }
    }

    /// A frame was carried out.
    pub fn done(&mut self, outcome: &FrameOutcome) {
        let Some(kind) = self.open.take() else { return };
        match outcome {
            FrameOutcome::Say(ControlBody::Error(error)) => {
                self.metrics.frame_refused(kind, error.error_code)
            }
            FrameOutcome::Start(start) => match &start.at {
                StartAt::Refused(refusal) => self.metrics.frame_refused(kind, refusal.code()),
                _ => self.metrics.frame(kind, "answered"),
            },
            FrameOutcome::Events
            | FrameOutcome::Say(ControlBody::Accepted { .. } | ControlBody::Ack { .. }) => {
                self.metrics.frame(kind, "carried_out");
            }
            FrameOutcome::Say(_) | FrameOutcome::SayAfter(..) => self.metrics.frame(kind, "answered"),
        }
    }
}

/// The code of the error that a frame or a token gets.
pub fn error_of(steps: &[Step]) -> Option<ErrorCode> {
    match steps.first() {
        Some(Step::Say(ControlBody::Error(error), _)) => Some(error.error_code),
        _ => None,
    }
}

impl Drop for FrameMetrics {
    fn drop(&mut self) {
        if let Some(kind) = self.open {
            self.metrics.frame(kind, "abandoned");
        }
    }
}
