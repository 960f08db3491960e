//! What a test waits for: a type of frame, what its fields must be, and how far a frame is from it.

use std::{borrow::Cow, fmt, sync::Arc};

use serde_json::Value;
use wireproof_protocol::RunId;

use crate::received::ReceivedFrame;

/// A description of a frame; `"agent_started".into()` describes one by its type alone.
#[derive(Clone)]
pub struct Matcher {
    kind: Option<Cow<'static, str>>,
    stored: bool,
    conditions: Vec<Condition>,
}

#[derive(Clone)]
struct Condition {
    path: String,
    test: Test,
}

type Predicate = Arc<dyn Fn(&ReceivedFrame) -> bool + Send + Sync>;

#[derive(Clone)]
enum Test {
    Equals(Value),
    Contains(String),
    Present,
    Absent,
    Holds(Predicate),
}

/// A stored event of a type.
pub fn event(kind: impl Into<Cow<'static, str>>) -> Matcher {
    Matcher { kind: Some(kind.into()), stored: true, conditions: Vec::new() }
}

/// Any frame of a type, stored or not.
pub fn frame(kind: impl Into<Cow<'static, str>>) -> Matcher {
    Matcher { kind: Some(kind.into()), stored: false, conditions: Vec::new() }
}

/// An error frame with a code.
pub fn error(error_code: &str) -> Matcher {
    frame("error").field("error_code", error_code)
}

/// Any frame that answers the request with this id.
pub fn answer_to(id: &str) -> Matcher {
    Matcher { kind: None, stored: false, conditions: Vec::new() }.field("id", id)
}

/// Any frame for which the closure says yes; the words are shown when none comes.
pub fn matching(words: &str, holds: impl Fn(&ReceivedFrame) -> bool + Send + Sync + 'static) -> Matcher {
    Matcher { kind: None, stored: false, conditions: Vec::new() }.when(words, holds)
}

impl Matcher {
    fn and(mut self, path: &str, test: Test) -> Self {
        self.conditions.push(Condition { path: path.to_owned(), test });
        self
    }

    /// The field at the path has this value; the path may go deep, as in `result.value` or `messages.0.content`.
    pub fn field(self, path: &str, value: impl Into<Value>) -> Self {
        self.and(path, Test::Equals(value.into()))
    }

    /// The text at the path contains this text.
    pub fn contains(self, path: &str, text: &str) -> Self {
        self.and(path, Test::Contains(text.to_owned()))
    }

    /// There is a field at the path.
    pub fn has(self, path: &str) -> Self {
        self.and(path, Test::Present)
    }

    /// There is no field at the path.
    pub fn lacks(self, path: &str) -> Self {
        self.and(path, Test::Absent)
    }

    /// The frame is an event of this run.
    pub fn of_run(self, run_id: RunId) -> Self {
        self.field("run_id", run_id.to_string())
    }

    /// The closure says yes; the words are shown when it never does.
    pub fn when(self, words: &str, holds: impl Fn(&ReceivedFrame) -> bool + Send + Sync + 'static) -> Self {
        self.and(words, Test::Holds(Arc::new(holds)))
    }

    /// True when the frame is what is described.
    pub fn matches(&self, arrival: &ReceivedFrame) -> bool {
        self.is_of_kind(arrival)
            && self.conditions.iter().all(|condition| condition.difference(arrival).is_none())
    }

    /// True when the frame's type is the one asked for, whatever its fields.
    pub(crate) fn is_of_kind(&self, arrival: &ReceivedFrame) -> bool {
        self.kind.as_ref().is_none_or(|kind| kind == arrival.kind())
            && (!self.stored || arrival.event().is_some())
    }

    /// How near a frame comes: what it fulfils, and what differs, in words. The type counts for most.
    pub(crate) fn distance(&self, arrival: &ReceivedFrame) -> (usize, Vec<String>) {
        let mut differences = Vec::new();
        let mut score = 0;
        match &self.kind {
            Some(_) if self.is_of_kind(arrival) => score += 1 + self.conditions.len(),
            Some(kind) if kind == arrival.kind() => differences.push("it is not a stored event".to_owned()),
            Some(kind) => differences.push(format!("its type is {:?} and not {kind:?}", arrival.kind())),
            None => {}
        }
        for condition in &self.conditions {
            match condition.difference(arrival) {
                Some(difference) => differences.push(difference),
                None => score += 1,
            }
        }
        (score, differences)
    }
}

impl Condition {
    fn difference(&self, arrival: &ReceivedFrame) -> Option<String> {
        let path = &self.path;
        let found = arrival.at_path(path);
        let shown = || {
            found.map_or_else(
                || "absent".to_owned(),
                |value| wireproof_protocol::shorten_line(&value.to_string(), 80),
            )
        };
        match &self.test {
            Test::Equals(value) => {
                (found != Some(value)).then(|| format!("{path} is {} and not {value}", shown()))
            }
            Test::Contains(text) => {
                (!found.and_then(Value::as_str).is_some_and(|found| found.contains(text)))
                    .then(|| format!("{path} is {} and does not contain {text:?}", shown()))
            }
            Test::Present => found.is_none().then(|| format!("{path} is absent")),
            Test::Absent => found.is_some().then(|| format!("{path} is {} and not absent", shown())),
            Test::Holds(holds) => (!holds(arrival)).then(|| format!("not: {path}")),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.stored, &self.kind) {
            (true, Some(kind)) => write!(f, "event {kind}")?,
            (_, Some(kind)) => write!(f, "frame {kind}")?,
            (_, None) => f.write_str("a frame")?,
        }
        for (index, Condition { path, test }) in self.conditions.iter().enumerate() {
            f.write_str(if index == 0 { " with " } else { " and " })?;
            match test {
                Test::Equals(value) => write!(f, "{path} = {value}")?,
                Test::Contains(text) => write!(f, "{text:?} in {path}")?,
                Test::Present => write!(f, "a {path}")?,
                Test::Absent => write!(f, "no {path}")?,
                Test::Holds(_) => f.write_str(path)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({self})")
    }
}

impl From<&'static str> for Matcher {
    fn from(kind: &'static str) -> Self {
        frame(kind)
    }
}

impl From<String> for Matcher {
    fn from(kind: String) -> Self {
        frame(kind)
    }
}

impl From<&Matcher> for Matcher {
    fn from(matcher: &Matcher) -> Self {
        matcher.clone()
    }
}
