//! A whole message of either peer, and what a connection remembers of those before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::{
    Kind, Part, Pick, Role, Roles,
    frame::{BINARY, Frame, TEXT},
    roles::{remove, set, text},
};
use crate::proxy::toxic::Direction;

/// Values of a role, runs and told texts that are remembered.
const REMEMBERED: usize = 256;

/// A message; `raw` are its frames for as long as nothing was changed.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) part: Part,
    pub(crate) json: Value,
    raw: Option<Vec<u8>>,
}

impl Message {
    /// A message of the server from its frames.
    pub(crate) fn of_server(roles: &Roles, frames: &[Frame]) -> Self {
        let (payload, raw) = joined(frames);
        let json: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let is_text = frames.first().is_some_and(|frame| frame.opcode() == TEXT);
        let part = if is_text { roles.part(&json) } else { Kind::Other.into() };
        Self { part, json, raw: Some(raw) }
    }

    /// A message of a client from its frames.
    pub(crate) fn of_client(roles: &Roles, frames: &[Frame]) -> Self {
        let (payload, raw) = joined(frames);
        let json = serde_json::from_slice(&payload);
        let part = match &json {
            _ if frames.first().is_some_and(|frame| frame.opcode() == BINARY) => Part::Binary,
            _ if is_nested(&payload) => Part::Nested,
            Err(_) => Part::NotJson,
            Ok(json) => roles.shape_of(json).0,
        };
        Self { part, json: json.unwrap_or_default(), raw: Some(raw) }
    }

    /// A message of the proxy's own.
    pub(crate) fn new(part: impl Into<Part>, json: Value) -> Self {
        Self { part: part.into(), json, raw: None }
    }

    /// Changes its JSON.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.json);
        self.raw = None;
    }

    /// Takes the value of a role of the server's messages out.
    pub(crate) fn remove(&mut self, roles: &Roles, role: Role) {
        if let Some(path) = roles.place(role, &self.json).map(str::to_owned) {
            self.change(|json| remove(json, &path));
        }
    }

    /// Puts another value in the place of a role's in a message of the server.
    pub(crate) fn set(&mut self, roles: &Roles, role: Role, value: Value) {
        let first = || roles.paths.get(&role).and_then(|paths| paths.first()).map(String::as_str);
        if let Some(path) = roles.place(role, &self.json).or_else(first).map(str::to_owned) {
            self.change(|json| set(json, &path, value));
        }
    }

    /// As it goes on the wire.
    pub(crate) fn write(&self, direction: Direction, to: &mut Vec<u8>) {
        match &self.raw {
            Some(raw) => to.extend(raw),
            None => Frame::text(direction, &self.json.to_string()).write(to),
        }
    }
}

/// The payload of frames, and their bytes.
fn joined(frames: &[Frame]) -> (Vec<u8>, Vec<u8>) {
    let mut raw = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut raw));
    (frames.iter().flat_map(|frame| frame.payload.iter().copied()).collect(), raw)
}

/// True for brackets inside each other, a hundred deep.
fn is_nested(payload: &[u8]) -> bool {
    let mut depth = 0usize;
    payload.iter().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 100
    })
}

/// Changes every text in a value.
pub(crate) fn map_texts(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| map_texts(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| map_texts(field, change)),
        _ => {}
    }
}

/// What is known of the messages of a server on one connection.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What the server's message before was.
    pub(crate) part: Option<Part>,
    /// What the client's message before was.
    pub(crate) asked: Option<Part>,
    values: BTreeMap<Role, VecDeque<Value>>,
    starts: VecDeque<(String, Value)>,
    /// Runs that were asked for here and are not over.
    pub(crate) open: BTreeSet<String>,
    /// Runs that were taken while another one was not over.
    pub(crate) queued: BTreeSet<String>,
    /// Answers that were told.
    told: VecDeque<String>,
}

impl Memory {
    /// Takes in a message as the server sent it.
    pub(crate) fn note(&mut self, roles: &Roles, part: Part, json: &Value) {
        self.part = Some(part);
        for role in roles.paths.keys() {
            let Some(value) = roles.value(*role, json) else { continue };
            let values = self.values.entry(*role).or_default();
            if values.back() != Some(value) {
                push(values, value.clone());
            }
        }
        let run = roles.text(Role::Run, json);
        match (part, run) {
            (Part::Frame(Kind::Accepted), Some(run)) => {
                // A server whose runs never end is forgotten about from time to time.
                if self.queued.len().max(self.open.len()) > REMEMBERED {
                    (self.queued, self.open) = Default::default();
                }
                if !self.open.is_empty() {
                    self.queued.insert(run.clone());
                }
                self.open.insert(run);
            }
            (Part::Frame(Kind::Started), Some(run)) => push(&mut self.starts, (run, json.clone())),
            (Part::Frame(Kind::Completed), Some(run)) => {
                self.open.remove(&run);
                self.told.extend(roles.text(Role::Answer, json));
                self.told.drain(..self.told.len().saturating_sub(REMEMBERED));
            }
            _ => {}
        }
    }

    /// The latest value of a role.
    pub(crate) fn previous(&self, role: Role) -> Option<&Value> {
        self.values.get(&role)?.back()
    }

    /// The latest value of a role that is not this one.
    pub(crate) fn other(&self, role: Role, value: &Value) -> Option<&Value> {
        self.values.get(&role)?.iter().rev().find(|known| *known != value)
    }

    /// The beginning of a run.
    pub(crate) fn start(&self, run: &str) -> Option<&Value> {
        self.starts.iter().find(|(known, _)| known == run).map(|(_, json)| json)
    }

    /// True for an answer that was told.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        !text.is_empty() && self.told.iter().any(|told| told == text)
    }
}

fn push<T>(values: &mut VecDeque<T>, value: T) {
    values.push_back(value);
    if values.len() > REMEMBERED {
        values.pop_front();
    }
}

/// One mutation on one connection: what it has counted, and what it holds.
#[derive(Debug, Default)]
pub(crate) struct Live {
    met: u64,
    hit: u64,
    runs: BTreeMap<String, u64>,
    pub(crate) held: Vec<Message>,
}

/// What decides besides its part whether a message is picked.
pub(crate) struct Circumstances {
    pub(crate) seed: u64,
    pub(crate) run: Option<String>,
    pub(crate) before: Option<Part>,
    pub(crate) is_later: bool,
    pub(crate) is_resumed: bool,
}

impl Live {
    /// True when the message is hit.
    pub(crate) fn picks(&mut self, pick: &Pick, part: Part, now: &Circumstances) -> bool {
        let on = match pick.on {
            super::On::All => true,
            super::On::Later => now.is_later,
            super::On::Resumed => now.is_resumed,
        };
        let follows =
            pick.behind.is_none_or(|behind| now.before.is_some_and(|before| behind.includes(before)));
        if !pick.part.includes(part) || !on || !follows {
            return false;
        }
        if let Some(nth) = pick.nth {
            if self.runs.len() > REMEMBERED {
                self.runs.clear();
            }
            let count = self.runs.entry(now.run.clone().unwrap_or_default()).or_default();
            *count += 1;
            if *count != nth {
                return false;
            }
        }
        self.met += 1;
        let every = pick.every.max(1);
        let hit = (self.met + now.seed % every).is_multiple_of(every)
            && pick.times.is_none_or(|times| self.hit < times);
        self.hit += u64::from(hit);
        hit
    }
}

/// A run's name as it stands in a message.
pub(crate) fn run_of(roles: &Roles, json: &Value) -> Option<String> {
    roles.value(Role::Run, json).and_then(text)
}
