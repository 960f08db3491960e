//! What the server's frames are called, and where their fields stand.

use std::collections::BTreeMap;

use serde::Deserialize;
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
