//! What a server speaks, in a page of TOML: where it is, who may come in, what to say, what its events are called, and
//! how a client resumes. A part that is absent is a part that cannot be tested, and the report says so.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

mod frames;
mod names;
mod roles;
mod sections;
mod template;

pub use frames::{Events, Fields, Paths, at};
pub use sections::*;
pub use template::Template;
pub use wireproof_faultproxy::mutation::Kind;

/// The form of profiles that is read: it grows when a key changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// A profile.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The form in which the profile is written: 1, also when absent.
    #[serde(default = "schema")]
    pub schema: u32,
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

fn schema() -> u32 {
    SCHEMA
}

/// The schema that a profile names, where it is another one than is read here.
fn other_schema(text: &str) -> Option<i64> {
    let named = toml::from_str::<toml::Table>(text).ok()?.get("schema")?.as_integer()?;
    (named != i64::from(SCHEMA)).then_some(named)
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
        let broken = |why| ProfileError::Broken { name: name.to_owned(), why };
        // Before all else: a key that another form has is no mistake of its writer.
        if let Some(other) = other_schema(text) {
            return Err(broken(format!(
                "it is of schema {other}, and this program reads schema {SCHEMA}: use a wireproof of that schema"
            )));
        }
        let profile = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
        names::wrong(text).map_or(Ok(profile), |why| Err(broken(why)))
    }

    /// The first frame that shows a token, where that is its place.
    pub fn first_frame(&self, place: Option<Place>, token: Option<&str>) -> Option<String> {
        let (Some(Place::Frame), Some(token), Some(authenticate)) =
            (place, token, &self.messages.authenticate)
        else {
            return None;
        };
        Some(authenticate.fill(&[("token", json!(token)), ("id", json!("judge-auth"))]))
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

    fn lists(&self) -> [(&[String], Kind); 17] {
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
            (&events.control, Kind::Control),
            (resume.map_or(&[], |resume| &resume.caught_up), Kind::CaughtUp),
            (resume.map_or(&[], |resume| &resume.snapshot), Kind::Snapshot),
            (std::slice::from_ref(&self.messages.pong), Kind::Pong),
        ]
    }
}
