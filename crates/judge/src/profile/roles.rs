//! What a profile says of a server's messages, as the mutations of the fault proxy need it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wireproof_faultproxy::mutation::{Address, Part, Query, Role, Roles, Shape, TokenKey};

use super::{Paths, Profile, Template};

/// What the names in the texts of a profile are.
const NAMES: &[(&str, Role)] = &[
    ("text", Role::Text),
    ("id", Role::Request),
    ("thread", Role::Thread),
    ("run", Role::Run),
    ("token", Role::Token),
    ("epoch", Role::Epoch),
    ("after", Role::After),
];

impl Profile {
    /// The roles of the server's messages and addresses.
    pub fn roles(&self) -> Roles {
        let (fields, resume) = (&self.fields, self.resume.as_ref());
        let resumed = resume.map(|resume| (Role::Resumed, &resume.resumed));
        let paths = [
            (Role::Kind, &fields.kind),
            (Role::Run, &fields.run),
            (Role::RunSeq, &fields.run_seq),
            (Role::Seq, &fields.seq),
            (Role::Epoch, &fields.epoch),
            (Role::User, &fields.user),
            (Role::Thread, &fields.thread),
            (Role::Connection, &fields.connection),
            (Role::Result, &fields.result),
            (Role::ToolError, &fields.tool_error),
            (Role::Reasoning, &fields.reasoning),
            (Role::Delta, &fields.delta),
            (Role::Answer, &fields.answer),
            (Role::Request, &fields.request),
            (Role::ErrorCode, &fields.error_code),
            (Role::ErrorText, &fields.error_text),
            (Role::RetryAfter, &fields.retry_after_ms),
            (Role::Timestamp, &fields.timestamp),
        ];
        let words = self.names().map(|name| (name.clone(), self.kind_of(name)));
        Roles {
            words: words.collect(),
            paths: paths.into_iter().chain(resumed).map(|(role, paths)| (role, places(paths))).collect(),
            required: fields.required.clone(),
            shapes: self.shapes(),
            addresses: self.addresses(),
            count: places(&self.http.connections),
            query: resume.map(|resume| query(&resume.query)).unwrap_or_default(),
            test_headers: self.auth.bypass_headers.keys().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// What makes tokens for the server with this secret; nothing where it takes none of the judge's.
    pub fn token_key(&self, secret: &[u8]) -> Option<TokenKey> {
        let jwt = self.auth.jwt.as_ref()?;
        let map = |claims: &BTreeMap<String, Value>| claims.clone().into_iter().collect::<Map<_, _>>();
        Some(TokenKey {
            secret: secret.to_vec(),
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            claims: map(&jwt.claims),
            admin: map(&jwt.admin),
            reader: map(&jwt.reader),
        })
    }

    fn shapes(&self) -> Vec<Shape> {
        let messages = &self.messages;
        let templates = [
            (&messages.ask, Part::Ask),
            (&messages.ask_in, Part::Ask),
            (&messages.cancel, Part::Cancel),
            (&messages.authenticate, Part::Authenticate),
            (&messages.ping, Part::Request),
            (&messages.approve, Part::Request),
            (&messages.history, Part::Request),
        ];
        let resume = self.resume.as_ref().and_then(|resume| resume.frame.as_ref());
        let templates = templates.into_iter().filter_map(|(template, part)| Some((template.as_ref()?, part)));
        templates
            .chain(resume.map(|frame| (frame, Part::Resume)))
            .filter_map(|(template, part)| self.shape(template, part))
            .collect()
    }

    fn shape(&self, template: &Template, part: Part) -> Option<Shape> {
        let mark = |name: &str| Value::from(format!("\u{1}{name}"));
        let values: Vec<(&str, Value)> = NAMES.iter().map(|(name, _)| (*name, mark(name))).collect();
        let json: Value = serde_json::from_str(&template.fill(&values)).ok()?;
        let found = NAMES.iter().filter_map(|(name, role)| Some((*role, place_of(&json, &mark(name))?)));
        Some(Shape { part, word: self.fields.kind.of(&json).cloned(), paths: found.collect() })
    }

    fn addresses(&self) -> BTreeMap<String, Address> {
        let (endpoint, http) = (&self.endpoint, &self.http);
        let named = [
            (http.status.as_ref(), Address::Status),
            (http.health.as_ref(), Address::Health),
            (Some(&endpoint.path), Address::Socket),
        ];
        let named = named.into_iter().filter_map(|(path, address)| Some((path?.clone(), address)));
        named.chain(endpoint.aliases.iter().map(|path| (path.clone(), Address::Alias))).collect()
    }
}

fn places(paths: &Paths) -> Vec<String> {
    match paths {
        Paths::Absent => Vec::new(),
        Paths::One(path) => vec![path.clone()],
        Paths::Any(paths) => paths.clone(),
    }
}

/// Where a value stands in JSON.
fn place_of(json: &Value, value: &Value) -> Option<String> {
    let inside: Vec<(String, &Value)> = match json {
        Value::Object(fields) => fields.iter().map(|(name, inner)| (name.clone(), inner)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, inner)| (at.to_string(), inner)).collect(),
        _ => return None,
    };
    inside.into_iter().find_map(|(name, inner)| match inner == value {
        true => Some(name),
        false => place_of(inner, value).map(|rest| format!("{name}.{rest}")),
    })
}

/// The names of the parameters that `{epoch}` and `{after}` stand behind.
fn query(template: &str) -> Query {
    let name_of = |value: &str| {
        let pairs = template.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(_, found)| *found == value).map(|(name, _)| name.to_owned())
    };
    Query { epoch: name_of("{epoch}"), after: name_of("{after}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::at;

    #[test]
    fn the_roles_of_every_profile_that_ships_are_found() {
        for name in Profile::NAMES {
            let roles = Profile::find(name).unwrap().roles();
            assert!(!roles.shapes.is_empty(), "{name}");
            for shape in &roles.shapes {
                let asks = shape.part != Part::Ask || shape.paths.contains_key(&Role::Text);
                assert!(asks, "{name}: a question without a text: {shape:?}");
            }
        }
        let roles = Profile::find("wireproof").unwrap().roles();
        let cancel = roles.shapes.iter().find(|shape| shape.part == Part::Cancel).unwrap();
        assert_eq!(cancel.paths[&Role::Run], "run_id");
        assert_eq!(roles.query.after.as_deref(), Some("after"));
        let inside: Value = serde_json::json!({ "a": { "b": ["x"] } });
        assert_eq!(place_of(&inside, &Value::from("x")).as_deref(), Some("a.b.0"));
        assert_eq!(at(&inside, "a.b.0"), Some(&Value::from("x")));
    }
}
