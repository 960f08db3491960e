//! The kinds of a server's frames: what the keys of a profile name, for mutations and for the judge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a frame of a server is, by its profile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first frame of a connection.
    Welcome,
    /// A refusal.
    Error,
    /// A request was taken.
    Accepted,
    /// The answer to a ping.
    Pong,
    /// A run began.
    Started,
    /// The agent thinks.
    Thinking,
    /// A tool starts.
    ToolStarted,
    /// A tool ended.
    ToolCompleted,
    /// A piece of the answer.
    Delta,
    /// A run ended.
    Completed,
    /// Something that may come of a run before its beginning.
    BeforeStart,
    /// A user's own message.
    Message,
    /// An approval is asked for.
    ApprovalRequested,
    /// An approval was answered.
    ApprovalResolved,
    /// A replay is over.
    CaughtUp,
    /// What stands for events that cannot be replayed.
    Snapshot,
    /// Another answer or announcement.
    Control,
    /// Anything else.
    Other,
}

impl Kind {
    /// The key of the profile that names such frames.
    pub fn key(self) -> &'static str {
        match self {
            Kind::Welcome => "events.welcome",
            Kind::Error => "events.error",
            Kind::Accepted => "events.accepted",
            Kind::Pong => "messages.pong",
            Kind::Started => "events.started",
            Kind::Thinking => "events.thinking",
            Kind::ToolStarted => "events.tool_started",
            Kind::ToolCompleted => "events.tool_completed",
            Kind::Delta => "events.delta",
            Kind::Completed => "events.completed",
            Kind::BeforeStart => "events.before_start",
            Kind::Message => "events.message",
            Kind::ApprovalRequested => "events.approval_requested",
            Kind::ApprovalResolved => "events.approval_resolved",
            Kind::CaughtUp => "resume.caught_up",
            Kind::Snapshot => "resume.snapshot",
            Kind::Control => "events.control",
            Kind::Other => "events.other",
        }
    }

    /// True for the events of a run, from what may come before its beginning to its end.
    pub fn is_of_a_run(self) -> bool {
        !self.is_control() && !matches!(self, Kind::Message | Kind::Other)
    }

    /// True for frames that answer or tell of a connection and are no events: a number in one is a position.
    pub fn is_control(self) -> bool {
        use Kind::{Accepted, CaughtUp, Control, Error, Pong, Snapshot, Welcome};
        matches!(self, Welcome | Error | Accepted | Pong | CaughtUp | Snapshot | Control)
    }
}

/// Reports show kinds by the key that the user wrote, also in lists.
impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
