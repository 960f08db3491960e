//! What the server's frames are called, what they are to the judge, and where their fields stand.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the server's frames are called; an empty list for what it has not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// The first frame of a connection.
    pub welcome: Vec<String>,
    /// Refusals.
    pub error: Vec<String>,
    /// The answer that a request was taken.
    pub accepted: Vec<String>,
    /// A run began.
    pub started: Vec<String>,
    /// The agent thinks.
    pub thinking: Vec<String>,
    /// A tool starts.
    pub tool_started: Vec<String>,
    /// A tool ended.
    pub tool_completed: Vec<String>,
    /// A piece of the answer.
    pub delta: Vec<String>,
    /// A run ended well, badly or by a cancel.
    pub completed: Vec<String>,
    /// What may come of a run before its beginning.
    pub before_start: Vec<String>,
    /// The message of a user, as all of the user's devices see it.
    pub message: Vec<String>,
    /// An approval is asked for.
    pub approval_requested: Vec<String>,
    /// An approval was answered.
    pub approval_resolved: Vec<String>,
    /// Further frames that answer or announce and are no events: a number in one is a position.
    pub control: Vec<String>,
    /// Further frames that belong to no run and may come at any time.
    pub other: Vec<String>,
}

/// What a frame is to the judge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Where a field is: `a.b.c`, or several places of which the first that is there counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    /// Nowhere.
    #[default]
    Absent,
    /// In one place.
    One(String),
    /// In the first of these places that is there.
    Any(Vec<String>),
}

/// Where the fields of frames are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// The type.
    pub kind: Paths,
    /// The run.
    pub run: Paths,
    /// The number in the run.
    pub run_seq: Paths,
    /// The first number in the run that a merged event stands for.
    pub first_run_seq: Paths,
    /// The number in the user's log.
    pub seq: Paths,
    /// The first number in the log that a merged event stands for.
    pub first_seq: Paths,
    /// The number line, in the welcome.
    pub epoch: Paths,
    /// The user.
    pub user: Paths,
    /// The thread.
    pub thread: Paths,
    /// The connection, in the welcome.
    pub connection: Paths,
    /// The tool call.
    pub call: Paths,
    /// The tool's name.
    pub tool: Paths,
    /// What came of a tool.
    pub result: Paths,
    /// Why a tool failed.
    pub tool_error: Paths,
    /// What the agent thinks.
    pub reasoning: Paths,
    /// A piece of the answer.
    pub delta: Paths,
    /// The answer.
    pub answer: Paths,
    /// How a run ended.
    pub outcome: Paths,
    /// The request that is answered.
    pub request: Paths,
    /// The code of an error.
    pub error_code: Paths,
    /// The sentence of an error.
    pub error_text: Paths,
    /// In how many milliseconds one may try again.
    pub retry_after_ms: Paths,
    /// The approval.
    pub approval: Paths,
    /// When the server says that it happened.
    pub timestamp: Paths,
    /// What every event of a run must have, besides: paths by type.
    pub required: BTreeMap<String, Vec<String>>,
}

impl Default for Fields {
    fn default() -> Self {
        let absent = || Paths::Absent;
        Self {
            kind: Paths::One("type".to_owned()),
            run: absent(),
            run_seq: absent(),
            first_run_seq: absent(),
            seq: absent(),
            first_seq: absent(),
            epoch: absent(),
            user: absent(),
            thread: absent(),
            connection: absent(),
            call: absent(),
            tool: absent(),
            result: absent(),
            tool_error: absent(),
            reasoning: absent(),
            delta: absent(),
            answer: absent(),
            outcome: absent(),
            request: absent(),
            error_code: absent(),
            error_text: absent(),
            retry_after_ms: absent(),
            approval: absent(),
            timestamp: absent(),
            required: BTreeMap::new(),
        }
    }
}

impl Paths {
    /// True when there is a place to look.
    pub fn is_known(&self) -> bool {
        *self != Paths::Absent
    }

    /// The value in a frame, if it is there.
    pub fn of<'a>(&self, frame: &'a Value) -> Option<&'a Value> {
        let places = match self {
            Paths::Absent => return None,
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Any(paths) => paths,
        };
        places.iter().find_map(|path| at(frame, path))
    }

    /// The value as text: a string as it is, a number in digits.
    pub fn text(&self, frame: &Value) -> Option<String> {
        match self.of(frame)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The value as a whole number.
    pub fn number(&self, frame: &Value) -> Option<u64> {
        self.of(frame)?.as_u64()
    }
}

/// The value at a path such as `data.items.0.name`; `null` counts as absent.
pub fn at<'a>(frame: &'a Value, path: &str) -> Option<&'a Value> {
    let step = |value: &'a Value, name: &str| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    };
    path.split('.').try_fold(frame, step).filter(|value| !value.is_null())
}
