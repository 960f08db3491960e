//! The roles of a server's messages: what each message is, where its values stand, and which addresses there are. A
//! profile makes them; nothing here knows a protocol.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::Kind;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "unknown part; docs/operations.md lists them under Mutations")]
pub enum Part {
    /// Any message.
    Any,
    /// Any event of a user's log.
    Event,
    /// An event that no key of the profile names.
    OtherEvent,
    /// A client asks the agent.
    Ask,
    /// A client cancels a run.
    Cancel,
    /// A client shows a token on an open connection.
    Authenticate,
    /// A client goes on at a position on an open connection.
    Resume,
    /// Any other request that the profile names.
    Request,
    /// A client's text that is no JSON.
    NotJson,
    /// A client's JSON that is no object.
    NotObject,
    /// A client's JSON that is nested deeper than a hundred levels.
    Nested,
    /// A client's message of bytes.
    Binary,
    /// A client's message of a type that the profile does not name.
    Unknown,
    /// A client's question without its text.
    Incomplete,
    /// A frame of the server.
    #[serde(untagged)]
    Frame(Kind),
}

impl From<Kind> for Part {
    fn from(kind: Kind) -> Self {
        Part::Frame(kind)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Frame(kind) => write!(f, "{kind:?}"),
            part => write!(f, "{part:?}"),
        }
    }
}

impl Part {
    /// True when a message of the other part is meant by this one.
    pub(crate) fn includes(self, other: Self) -> bool {
        match self {
            Part::Any => true,
            Part::Event => other.is_event(),
            _ => self == other,
        }
    }

    /// True for events of a user's log.
    pub(crate) fn is_event(self) -> bool {
        match self {
            Part::Frame(kind) => kind.is_of_a_run() || kind == Kind::Message,
            part => part == Part::OtherEvent,
        }
    }
}

/// What a value in a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The type of the message.
    Kind,
    /// The run.
    Run,
    /// The number in the run.
    RunSeq,
    /// The number in the user's log.
    Seq,
    /// The number line of the log.
    Epoch,
    /// The user.
    User,
    /// The thread.
    Thread,
    /// The connection.
    Connection,
    /// What came of a tool.
    Result,
    /// Why a tool failed.
    ToolError,
    /// What the agent thinks.
    Reasoning,
    /// A piece of the answer.
    Delta,
    /// The answer.
    Answer,
    /// The request that is made or answered.
    Request,
    /// The code of an error.
    ErrorCode,
    /// The sentence of an error.
    ErrorText,
    /// In how many milliseconds one may try again.
    RetryAfter,
    /// When something happened.
    Timestamp,
    /// Whether a connection goes on at its position.
    Resumed,
    /// What else a message of its type must have; the first such value.
    Required,
    /// What a client asks.
    Text,
    /// A token that a client shows.
    Token,
    /// The position that a client goes on at.
    After,
}

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// The WebSocket's.
    Socket,
    /// Another one of the WebSocket's.
    Alias,
    /// Tells that the server lives.
    Health,
    /// Tells how many connections there are.
    Status,
}

/// A message of a client: its type, and where its values stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// What it is.
    pub part: Part,
    /// Its type, where it has one.
    pub word: Option<Value>,
    /// Where its values stand.
    pub paths: BTreeMap<Role, String>,
}

/// The names of a position's parts in an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The epoch.
    pub epoch: Option<String>,
    /// The last number that is known.
    pub after: Option<String>,
}

/// What the messages and the addresses of a server are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roles {
    /// What the server's messages are, by their types.
    pub words: BTreeMap<String, Kind>,
    /// Where values stand in the server's messages: the first place that is there counts.
    pub paths: BTreeMap<Role, Vec<String>>,
    /// What else messages must have: places by type.
    pub required: BTreeMap<String, Vec<String>>,
    /// What clients say.
    pub shapes: Vec<Shape>,
    /// The addresses, by path.
    pub addresses: BTreeMap<String, Address>,
    /// Where connections are counted in the answer at [`Address::Status`].
    pub count: Vec<String>,
    /// How an address names a position.
    pub query: Query,
    /// Headers that other servers take for credentials, in small letters.
    pub test_headers: Vec<String>,
}

impl Roles {
    /// What a message of the server is.
    pub(crate) fn part(&self, json: &Value) -> Part {
        let named = self.word(json).and_then(|word| self.words.get(word)).copied();
        match named.unwrap_or(Kind::Other) {
            Kind::Other if self.value(Role::Seq, json).is_some() => Part::OtherEvent,
            kind => kind.into(),
        }
    }

    /// The type of a message of the server.
    fn word<'a>(&self, json: &'a Value) -> Option<&'a str> {
        self.value(Role::Kind, json)?.as_str()
    }

    /// Where a value stands in a message of the server, if it is there.
    pub(crate) fn place<'a>(&'a self, role: Role, json: &Value) -> Option<&'a str> {
        let places = match role {
            Role::Required => {
                let places = self.required.get(self.word(json)?)?;
                // What other roles name is theirs.
                let taken = |place: &&String| self.paths.values().any(|paths| paths.contains(place));
                return places
                    .iter()
                    .filter(|place| !taken(place))
                    .find_map(|path| at(json, path).map(|_| path.as_str()));
            }
            _ => self.paths.get(&role)?,
        };
        places.iter().map(String::as_str).find(|path| at(json, path).is_some())
    }

    /// A value of a message of the server.
    pub(crate) fn value<'a>(&self, role: Role, json: &'a Value) -> Option<&'a Value> {
        at(json, self.place(role, json)?)
    }

    /// A value as text.
    pub(crate) fn text(&self, role: Role, json: &Value) -> Option<String> {
        self.value(role, json).and_then(text)
    }

    /// The client's message of this kind.
    pub(crate) fn shape(&self, part: Part) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.part == part)
    }

    /// What a client's JSON is, and its shape.
    pub(crate) fn shape_of(&self, json: &Value) -> (Part, Option<&Shape>) {
        if !json.is_object() {
            return (Part::NotObject, None);
        }
        let word =
            self.paths.get(&Role::Kind).and_then(|places| places.iter().find_map(|path| at(json, path)));
        // Of two of one type the one that fits more of the message is meant.
        let fits = |shape: &&Shape| shape.paths.values().filter(|path| at(json, path).is_some()).count();
        let Some(shape) = self.shapes.iter().filter(|shape| shape.word.as_ref() == word).max_by_key(fits)
        else {
            return (Part::Unknown, None);
        };
        let lacks_text = shape.paths.get(&Role::Text).is_some_and(|path| at(json, path).is_none());
        (if lacks_text { Part::Incomplete } else { shape.part }, Some(shape))
    }

    /// The address of a request's target.
    pub(crate) fn address(&self, target: &str) -> Option<Address> {
        self.addresses.get(target.split('?').next().unwrap_or_default()).copied()
    }

    /// A message of the server that says that a request was carried out.
    pub(crate) fn acknowledgement(&self, request: Option<&Value>, run: Option<&Value>) -> Value {
        let mut json = Value::Object(Map::new());
        let word = self.words.iter().find(|(_, kind)| **kind == Kind::Accepted);
        let word = word.map(|(word, _)| Value::from(word.as_str()));
        for (role, value) in [(Role::Kind, word.as_ref()), (Role::Request, request), (Role::Run, run)] {
            let path = self.paths.get(&role).and_then(|paths| paths.first());
            if let (Some(path), Some(value)) = (path, value) {
                set(&mut json, path, value.clone());
            }
        }
        json
    }

    /// A message of a type that there is not.
    pub(crate) fn stray(&self) -> Value {
        let mut json = Value::Object(Map::new());
        if let Some(path) = self.paths.get(&Role::Kind).and_then(|paths| paths.first()) {
            set(&mut json, path, Value::from("wireproof_stray"));
        }
        json
    }
}

/// A text as it is, a number in digits.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The value at a path such as `a.0.b`; `null` counts as absent.
pub(crate) fn at<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    let step = |value: &'a Value, name: &str| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    };
    path.split('.').try_fold(json, step).filter(|value| !value.is_null())
}

fn at_mut<'a>(json: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let step = |value: &'a mut Value, name: &str| match value {
        Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
        _ => value.get_mut(name),
    };
    path.split('.').try_fold(json, step)
}

/// Puts a value at a path, with the objects on the way to it.
pub(crate) fn set(json: &mut Value, path: &str, value: Value) {
    if let Some(there) = at_mut(json, path) {
        *there = value;
        return;
    }
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Value::Object(fields) = json else { return };
    match rest {
        None => drop(fields.insert(first.to_owned(), value)),
        Some(rest) => {
            let inner = fields.entry(first).or_insert_with(|| Value::Object(Map::new()));
            set(inner, rest, value);
        }
    }
}

/// Takes the value at a path out.
pub(crate) fn remove(json: &mut Value, path: &str) {
    let (parent, name) = match path.rsplit_once('.') {
        Some((parent, name)) => (at_mut(json, parent), name),
        None => (Some(json), path),
    };
    if let Some(Value::Object(fields)) = parent {
        fields.remove(name);
    }
}
