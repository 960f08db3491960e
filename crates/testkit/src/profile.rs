//! What a server speaks, in a page of TOML: where it is, who may come in, what to say, what its events are called, and
//! how a client resumes. A part that is absent is a part that cannot be tested, and the report says so.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod template;

pub use template::Template;

/// A profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, as `--profile` takes it.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// Where the server is.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// Who may come in.
    #[serde(default)]
    pub auth: Auth,
    /// What a client says.
    #[serde(default)]
    pub messages: Messages,
    /// What makes the agent do something.
    #[serde(default)]
    pub prompts: Prompts,
    /// What the server's frames are called.
    #[serde(default)]
    pub events: Events,
    /// Where the fields of frames are.
    #[serde(default)]
    pub fields: Fields,
    /// How the events of a run follow on each other.
    #[serde(default)]
    pub order: Order,
    /// How a client goes on where it stopped.
    pub resume: Option<Resume>,
    /// What there is over HTTP.
    #[serde(default)]
    pub http: Http,
    /// What the server bounds.
    #[serde(default)]
    pub limits: Limits,
    /// How long things may take.
    #[serde(default)]
    pub timing: Timing,
    /// Checks that this server is known not to fulfil by design, each with the reason: they count as not done.
    #[serde(default)]
    pub except: BTreeMap<String, String>,
}

/// Where the server is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// How events travel.
    pub transport: Transport,
    /// The path, when the address that is given has none.
    pub path: String,
    /// Other paths that serve the same.
    pub aliases: Vec<String>,
    /// The subprotocol that is offered; empty for none.
    pub subprotocol: String,
    /// Further headers of the handshake.
    pub headers: BTreeMap<String, String>,
    /// True when every connection of a user gets all of the user's events, and not only those that it asked for.
    pub shared: bool,
    /// True when frames that come in one piece with the handshake are taken; RFC 6455 (4.1) does not ask for that.
    pub early_frames: bool,
    /// True when browsers that show the page of another site are refused.
    pub own_origin: bool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            transport: Transport::WebSocket,
            path: "/".to_owned(),
            aliases: Vec::new(),
            subprotocol: String::new(),
            headers: BTreeMap::new(),
            shared: false,
            early_frames: false,
            own_origin: false,
        }
    }
}

/// How events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Both ways on one WebSocket.
    #[default]
    WebSocket,
    /// A POST for each message, answered by an event stream.
    Sse,
}

/// Who may come in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Where a token is shown; absent when the server asks for none.
    pub place: Option<Place>,
    /// Further places that must open as well.
    pub places: Vec<Place>,
    /// How the judge makes tokens; absent when they are given.
    pub jwt: Option<Jwt>,
    /// True when nobody says who it is and every connection is a user of its own.
    pub guests: bool,
    /// Headers that other systems took for a reason to let somebody in; none of them may.
    pub bypass_headers: BTreeMap<String, String>,
}

/// Where a token is shown: `header`, `subprotocol`, `query`, `frame`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// `Authorization: Bearer …`
    Header,
    /// An entry `jwt.…` among the subprotocols.
    Subprotocol,
    /// `?token=…`
    Query,
    /// The message `authenticate`, as the first frame.
    Frame,
}

/// How the judge makes tokens, with the key that it is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// `iss`, if the server asks for one.
    pub issuer: String,
    /// `aud`, if the server asks for one.
    pub audience: String,
    /// Further claims that every token needs.
    pub claims: BTreeMap<String, Value>,
    /// Further claims that make somebody an administrator; none when nobody is one.
    pub admin: BTreeMap<String, Value>,
    /// Further claims that let somebody connect and ask nothing; none when whoever connects may ask.
    pub reader: BTreeMap<String, Value>,
}

/// What a client says; each a text with `{names}` in it, which stand for JSON values.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Asks the agent: `{text}`, `{id}`; `{id}` is absent where requests have no ids.
    pub ask: Option<Template>,
    /// Asks the agent in a thread: `{text}`, `{id}`, `{thread}`.
    pub ask_in: Option<Template>,
    /// Asks for an answer that comes behind everything sent before: `{id}`.
    pub ping: Option<Template>,
    /// The type of that answer.
    pub pong: String,
    /// Stops a run: `{run}`, `{id}`.
    pub cancel: Option<Template>,
    /// Shows a token on an open connection: `{token}`, `{id}`.
    pub authenticate: Option<Template>,
    /// Answers an approval: `{approval}`, `{id}`.
    pub approve: Option<Template>,
    /// Asks for a thread's messages: `{thread}`, `{id}`.
    pub history: Option<Template>,
    /// A frame of a type that there is not: `{id}`.
    pub unknown: Option<Template>,
    /// A frame that lacks what it needs: `{id}`.
    pub incomplete: Option<Template>,
}

/// Texts that make the agent do something.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// Any message that is answered: `{marker}` comes back in the answer or is ignored.
    pub plain: Option<String>,
    /// A message that needs one tool: `{a}` and `{b}` are numbers below 100.
    pub tool: Option<String>,
    /// What the answer to it must contain: `{product}`, `{sum}`, `{a}`, `{b}`.
    pub tool_answer: Option<String>,
    /// A message that needs several tools at once.
    pub parallel: Option<String>,
    /// A message whose tool fails.
    pub failing_tool: Option<String>,
    /// A message that is answered in many pieces over a second or two.
    pub slow: Option<String>,
    /// A message whose tool takes a few seconds.
    pub slow_tool: Option<String>,
    /// A message that asks for an approval.
    pub approval: Option<String>,
    /// True when the answer or an event repeats what was asked.
    pub echoes: bool,
}

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

/// How the events of a run follow on each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// The kinds that a run with a tool must have: `started`, `thinking`, `tool_started`, `tool_completed`, `completed`.
    pub required: Vec<Kind>,
    /// True when a run's beginning is its first event.
    pub started_first: bool,
    /// True when nothing of a run comes after its end.
    pub completed_last: bool,
    /// True when every tool that starts ends once, in that order.
    pub tools_paired: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            required: vec![Kind::Started, Kind::Completed],
            started_first: true,
            completed_last: true,
            tools_paired: true,
        }
    }
}

/// How a client goes on where it stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// What is added to the address: `{epoch}`, `{after}`.
    pub query: String,
    /// The frame that does the same on an open connection: `{epoch}`, `{after}`, `{id}`.
    pub frame: Option<Template>,
    /// The field of the welcome that says whether it goes on there.
    pub resumed: Paths,
    /// The frame after the last event that was missed.
    #[serde(default)]
    pub caught_up: Vec<String>,
    /// The frame that stands for what cannot be replayed.
    #[serde(default)]
    pub snapshot: Vec<String>,
}

/// What there is over HTTP.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Answers 200 while the server lives.
    pub health: Option<String>,
    /// Tells how many connections there are.
    pub status: Option<String>,
    /// Where in that answer they are counted.
    pub connections: Paths,
    /// Addresses that ask for credentials.
    pub protected: Vec<String>,
    /// Addresses that ask for an administrator's.
    pub admin: Vec<String>,
    /// Sells tickets by POST; the field of the answer is `ticket`, and `?ticket=` opens a connection.
    pub ticket: Option<String>,
    /// Revokes all tokens of a user by POST: the body, with `{user}`.
    pub revoke: Option<Post>,
    /// A thread, with `{thread}` in the path.
    pub thread: Option<String>,
}

/// A POST.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// Where.
    pub path: String,
    /// What.
    pub body: Template,
}

/// What the server bounds; absent for no bound that is known.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a message, over which it is refused and the connection goes on.
    pub message_bytes: Option<usize>,
    /// Bytes of a message, over which the connection is closed with 1009.
    pub hard_bytes: Option<usize>,
    /// Messages that a user may send at once before they are refused for a while.
    pub burst: Option<usize>,
    /// Connections of a user.
    pub connections: Option<usize>,
    /// Runs of a user, those that wait included.
    pub runs: Option<usize>,
    /// Seconds that a connection has to say who it is.
    pub stranger_seconds: Option<f64>,
    /// Seconds that a connection may outlive its token.
    pub token_grace_seconds: Option<f64>,
}

/// How long things may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Milliseconds from a request to the beginning of its run.
    pub started_ms: Option<f64>,
    /// Seconds until an answer counts as missing.
    pub answer_seconds: f64,
    /// Seconds until a run counts as stuck.
    pub run_seconds: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { started_ms: None, answer_seconds: 10.0, run_seconds: 30.0 }
    }
}

/// What a frame is to the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Anything else.
    Other,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No profile that ships has this name, and no file is there.
    #[error("there is no profile {name:?}: neither a file nor one of {}", Profile::NAMES.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the profile {path}: {cause}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not TOML, or says what no profile says.
    #[error("the profile {name} cannot be used: {why}")]
    Broken {
        /// Its name or file.
        name: String,
        /// What is wrong, and where.
        why: String,
    },
}

/// The profiles that ship.
const SHIPPED: &[(&str, &str)] = &[
    ("wireproof", include_str!("../profiles/wireproof.toml")),
    ("reference", include_str!("../profiles/reference.toml")),
    ("reference-embedded", include_str!("../profiles/reference-embedded.toml")),
    ("ag-ui", include_str!("../profiles/ag-ui.toml")),
    ("echo", include_str!("../profiles/echo.toml")),
];

impl Profile {
    /// The names of those that ship.
    pub const NAMES: &'static [&'static str] =
        &["wireproof", "reference", "reference-embedded", "ag-ui", "echo"];

    /// One that ships, or one of a file.
    pub fn find(name: &str) -> Result<Self, ProfileError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(ProfileError::Unknown { name: name.to_owned() });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ProfileError::Io { path: name.to_owned(), cause })?;
        Self::parse(name, &text)
    }

    /// One from its text.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text)
            .map_err(|error| ProfileError::Broken { name: name.to_owned(), why: error.to_string() })
    }

    /// What a frame is, by its type.
    pub fn kind_of(&self, name: &str) -> Kind {
        let lists = self.lists();
        lists
            .iter()
            .find(|(names, _)| names.iter().any(|known| known == name))
            .map_or(Kind::Other, |(_, kind)| *kind)
    }

    /// The types that it knows.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.lists().into_iter().flat_map(|(names, _)| names).filter(|name| !name.is_empty())
    }

    /// Whether a welcome says that the connection goes on at its position; nothing for other frames.
    pub fn resumed(&self, kind: Kind, frame: &Value) -> Option<bool> {
        self.resume.as_ref().filter(|_| kind == Kind::Welcome)?.resumed.of(frame)?.as_bool()
    }

    fn lists(&self) -> [(&[String], Kind); 16] {
        let events = &self.events;
        let resume = self.resume.as_ref();
        [
            (&events.welcome, Kind::Welcome),
            (&events.error, Kind::Error),
            (&events.accepted, Kind::Accepted),
            (&events.started, Kind::Started),
            (&events.thinking, Kind::Thinking),
            (&events.tool_started, Kind::ToolStarted),
            (&events.tool_completed, Kind::ToolCompleted),
            (&events.delta, Kind::Delta),
            (&events.completed, Kind::Completed),
            (&events.before_start, Kind::BeforeStart),
            (&events.message, Kind::Message),
            (&events.approval_requested, Kind::ApprovalRequested),
            (&events.approval_resolved, Kind::ApprovalResolved),
            (resume.map_or(&[], |resume| &resume.caught_up), Kind::CaughtUp),
            (resume.map_or(&[], |resume| &resume.snapshot), Kind::Snapshot),
            (std::slice::from_ref(&self.messages.pong), Kind::Pong),
        ]
    }
}

impl Kind {
    /// True for frames that answer or tell of a connection and are no events: a number in one is a position.
    pub fn is_control(self) -> bool {
        use Kind::{Accepted, CaughtUp, Error, Pong, Snapshot, Welcome};
        matches!(self, Welcome | Error | Accepted | Pong | CaughtUp | Snapshot)
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
