//! What only one user can know, and looking for it in everything that another one gets.

use crate::check::{CheckContext, Failure, Session, broken, session::RunSeen};

/// Letters and digits alone: no way of escaping hides them.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters of a marker behind its prefix: 100 bits.
const LENGTH: usize = 20;

/// The secrets of one user: strings that the user said, and ids that the server gave to what is the user's.
pub(super) struct Secrets {
    owner: String,
    texts: Vec<(&'static str, String)>,
}

impl Secrets {
    /// None yet.
    pub(super) fn of(owner: &str) -> Self {
        Self { owner: owner.to_owned(), texts: Vec::new() }
    }

    /// A new string for the user to say.
    pub(super) fn marker(&mut self, context: &CheckContext<'_>) -> String {
        let digit = |_| char::from(DIGITS[context.chance(32) as usize]);
        let marker: String = "wk1".chars().chain((0..LENGTH).map(digit)).collect();
        self.texts.push(("string", marker.clone()));
        marker
    }

    /// The profile's plain prompt with a new string in it.
    pub(super) fn prompt(&mut self, context: &CheckContext<'_>) -> Result<String, Failure> {
        let marker = self.marker(context);
        let prompt = context.plain(&marker)?;
        if prompt.contains(&marker) {
            return Ok(prompt);
        }
        Err(Failure::NotDone(
            "prompts.plain has no {marker}: what a user says cannot be told from what others say".to_owned(),
        ))
    }

    /// A question that takes a tool, with a new string in it; nothing where the profile has none.
    pub(super) fn tool_prompt(&mut self, context: &CheckContext<'_>) -> Result<Option<String>, Failure> {
        if context.profile.prompts.tool.is_none() {
            return Ok(None);
        }
        let sum = context.sum()?;
        Ok(Some(format!("{} {}", sum.prompt, self.marker(context))))
    }

    /// Adds the run's name and its thread's.
    pub(super) fn add(&mut self, context: &CheckContext<'_>, run: &RunSeen) {
        self.texts.extend(run.run.clone().map(|run| ("run", run)));
        let thread = run.frames.iter().find_map(|seen| context.profile.fields.thread.text(&seen.json));
        self.texts.extend(thread.map(|thread| ("thread", thread)));
    }

    /// What of them stands in a text.
    fn found(&self, text: &str) -> Option<&(&'static str, String)> {
        self.texts.iter().find(|(_, secret)| text.contains(secret))
    }

    /// Holds that the owner's own connection got some of them: what nobody gets cannot be missed anywhere.
    pub(super) fn reach(&self, session: &Session) -> Result<(), Failure> {
        if session.seen().iter().any(|seen| self.found(&seen.text).is_some()) {
            return Ok(());
        }
        let what = "no frame holds what a user said, nor a name of the run (prompts.echoes, fields.run)";
        Err(Failure::NotDone(format!("{what}: nothing could be told from what is another's")))
    }

    /// Holds that none of them is in what another user's connection got; gives how many frames that were.
    pub(super) fn hidden_from(&self, session: &Session) -> Result<usize, Failure> {
        let seen = session.seen();
        for frame in &seen {
            self.hidden_in(&session.name, &frame.name, &frame.text)?;
        }
        if let Some(ended) = session.end() {
            self.hidden_in(&session.name, "the close", &ended.to_string())?;
        }
        Ok(seen.len())
    }

    /// Holds that none of them is in a text that another user got.
    pub(super) fn hidden_in(&self, whom: &str, what: &str, text: &str) -> Result<(), Failure> {
        let Some((kind, secret)) = self.found(text) else { return Ok(()) };
        let shown: String = text.chars().take(300).collect();
        broken(format!("{whom} got a {kind} of {} ({secret}) in {what}: {shown}", self.owner))
    }
}
