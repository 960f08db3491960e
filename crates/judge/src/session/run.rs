//! A run as one connection sees it: its request, and its frames from there to its end.

use std::{sync::Arc, time::Instant};

use crate::{profile::Kind, received_frame::ReceivedFrame};

/// A request for a run on its way.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request's id; empty when it went without one.
    pub id: String,
    /// The first frame that can be of it.
    pub from: usize,
    /// When it was sent.
    pub at: Instant,
}

/// A run as one connection saw it, from its request to its end.
#[derive(Debug, Clone)]
pub struct RunSeen {
    /// The run, if the server names runs.
    pub run: Option<String>,
    /// The frames of it, in order.
    pub frames: Vec<Arc<ReceivedFrame>>,
    /// When it was asked for.
    pub asked_at: Instant,
}

impl RunSeen {
    /// What its frames are.
    pub fn kinds(&self) -> Vec<Kind> {
        self.frames.iter().map(|seen| seen.kind).collect()
    }

    /// The frames of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<ReceivedFrame>> {
        self.frames.iter().filter(move |seen| seen.kind == kind)
    }

    /// The types of its frames without pieces of the answer, for a sentence.
    pub fn timeline(&self) -> String {
        let names = self.frames.iter().filter(|seen| seen.kind != Kind::Delta).map(|seen| seen.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }
}
