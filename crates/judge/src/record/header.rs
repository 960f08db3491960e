//! The first line of a history file: what a judge must know that the ops do not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::profile::{Kind, Order, Profile};

/// The version of the form: it grows when an op changes its meaning.
pub(super) const SCHEMA: u32 = 1;

/// What a history is of, and by which rules it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the form; its name says what kind of file this is.
    pub wireproof_history: u32,
    /// The version of wireproof that wrote it.
    pub version: String,
    /// The server.
    pub target: String,
    /// The profile by which it was spoken to.
    pub profile: String,
    /// What chance was made of.
    pub seed: u64,
    /// What of the profile the judge needs.
    pub rules: Rules,
}

/// What of a profile is needed to judge a history.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What frames are, by their types.
    pub kinds: BTreeMap<String, Kind>,
    /// How the events of a run follow on each other.
    pub order: Order,
    /// True when every event of a user has a number in one log.
    pub numbered: bool,
    /// True when events say of which run they are.
    pub named: bool,
    /// True when a request is answered under its id before its run.
    pub answered: bool,
    /// True when every connection of a user gets all of the user's events.
    pub shared: bool,
}

impl Header {
    /// The header of a history of now.
    pub fn of(target: &str, profile: &Profile, seed: u64) -> Self {
        Self {
            wireproof_history: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.to_owned(),
            profile: profile.name.clone(),
            seed,
            rules: Rules::of(profile),
        }
    }
}

impl Rules {
    /// What of a profile is needed.
    pub fn of(profile: &Profile) -> Self {
        let kinds = profile.names().map(|name| (name.clone(), profile.kind_of(name))).collect();
        let fields = &profile.fields;
        Self {
            kinds,
            order: profile.order.clone(),
            numbered: fields.seq.is_known(),
            named: fields.run.is_known(),
            answered: !profile.events.accepted.is_empty() && fields.request.is_known(),
            shared: profile.endpoint.shared,
        }
    }
}
