//! A message that every server answers, as far as its profile says how.

use serde_json::json;

use crate::{
    check::{CheckContext, Failure, ReceivedFrame, session::new_id},
    profile::Kind,
};

/// A message that is surely answered, and how its answer is known.
pub struct Probe {
    /// As it goes on the wire.
    pub text: String,
    id: String,
    names_id: bool,
}

impl Probe {
    /// A question that nobody asked before. `mark` goes into it as a text.
    pub fn new(context: &CheckContext<'_>, mark: &str) -> Result<Self, Failure> {
        let id = new_id() + mark;
        let messages = &context.profile.messages;
        let (template, text) = match (&messages.ping, &messages.ask) {
            (Some(ping), _) => (ping, String::new()),
            (None, Some(ask)) => (ask, context.plain("wireproof")?),
            (None, None) => {
                let why = "the profile has no message that is surely answered (messages.ping)";
                return Err(Failure::NotDone(why.to_owned()));
            }
        };
        let names_id = template.names("id");
        let mut text = template.fill(&[("id", json!(id)), ("text", json!(text))]);
        if !names_id && text.ends_with('}') {
            // Nowhere else can a mark stand that JSON allows.
            text.insert_str(text.len() - 1, &format!(",\"mark\":{}", json!(mark)));
        }
        Ok(Self { text, id, names_id })
    }

    /// True for its answer.
    pub fn is_answered_by(&self, seen: &ReceivedFrame, context: &CheckContext<'_>) -> bool {
        if self.names_id && context.profile.fields.request.is_known() {
            return seen.request.as_deref() == Some(&self.id);
        }
        !matches!(seen.kind, Kind::Welcome | Kind::Error | Kind::Control | Kind::Other | Kind::BeforeStart)
    }
}
