//! The parts of a profile, each a table of its TOML.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Paths, Template};

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
    pub revoke: Option<RevokeRequest>,
    /// A thread, with `{thread}` in the path.
    pub thread: Option<String>,
}

/// A POST.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
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
