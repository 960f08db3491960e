//! Frames of the first look held against a profile: which key does not fit, in a sentence, and the frames beside their keys.
//! Pure: frames in, words out.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use wireproof_client::Ended;
use wireproof_protocol::shorten_line;

use super::{
    Heard,
    fields::{candidate, holding},
};
use crate::{
    check::ReceivedFrame,
    profile::{Kind, Profile},
};

/// Frames that are shown.
const SHOWN: usize = 12;
/// Characters of each.
const WIDTH: usize = 160;

/// What is known of a profile against a server so far.
pub(super) struct Fit<'a> {
    profile: &'a Profile,
    user: String,
    /// A ping had no answer; whether the server is alive the question shows.
    mute_ping: bool,
    /// Fields that no event had, without anything that might be them.
    absent: Vec<&'static str>,
}

impl<'a> Fit<'a> {
    pub(super) fn new(profile: &'a Profile, user: &str) -> Self {
        Self { profile, user: user.to_owned(), mute_ping: false, absent: Vec::new() }
    }

    /// True for a frame that says that something does not fit: an error, or one that no key names.
    pub(super) fn is_odd(&self, seen: &ReceivedFrame) -> bool {
        seen.kind == Kind::Error || self.is_unknown(seen)
    }

    fn is_unknown(&self, seen: &ReceivedFrame) -> bool {
        seen.kind == Kind::Other && !self.profile.events.other.contains(&seen.name)
    }

    /// Holds that the welcome has what the profile looks for in it.
    pub(super) fn welcome(&mut self, seen: &[Arc<ReceivedFrame>]) -> Result<(), String> {
        let fields = &self.profile.fields;
        for (name, paths) in [("connection", &fields.connection), ("epoch", &fields.epoch)] {
            let welcomes: Vec<&ReceivedFrame> =
                seen.iter().filter(|seen| seen.kind == Kind::Welcome).map(|seen| &**seen).collect();
            if paths.is_known() && welcomes.iter().all(|seen| paths.of(&seen.json).is_none()) {
                self.missing(name, &welcomes, "", seen)?;
            }
        }
        Ok(())
    }

    /// Holds that a ping was answered as the profile says.
    pub(super) fn pong(
        &mut self,
        heard: Heard,
        seen: &[Arc<ReceivedFrame>],
        id: Option<&str>,
        ended: Option<Ended>,
    ) -> Result<(), String> {
        match heard {
            Heard::Nothing => self.mute_ping = true,
            Heard::End => {
                let how = ended.map(|ended| ended.to_string()).unwrap_or_default();
                return Err(self.told(
                    "messages.ping",
                    &format!("is answered with the end of the connection: {how}"),
                    seen,
                ));
            }
            Heard::Others if seen.iter().any(|seen| seen.kind == Kind::Error) => {
                return Err(self.told("messages.ping", "is answered with an error", seen));
            }
            Heard::Others => {
                return Err(self.told(
                    "messages.pong",
                    "names none of the frames that answer messages.ping",
                    seen,
                ));
            }
            Heard::It => {
                let pongs: Vec<&ReceivedFrame> =
                    seen.iter().filter(|seen| seen.kind == Kind::Pong).map(|seen| &**seen).collect();
                if let Some(id) =
                    id.filter(|id| pongs.iter().all(|seen| seen.request.as_deref() != Some(*id)))
                {
                    return Err(self.no_request(&pongs, id, "messages.ping", seen));
                }
            }
        }
        Ok(())
    }

    /// Holds that a question brought a run as the profile says.
    pub(super) fn answered(
        &mut self,
        heard: Heard,
        seen: &[Arc<ReceivedFrame>],
        id: &str,
        ended: Option<Ended>,
    ) -> Result<(), String> {
        if seen.iter().any(|seen| self.profile.fields.retry_after_ms.number(&seen.json).is_some()) {
            // Whoever came before has used up what may be asked: nothing is known, and nothing is wrong.
            return Ok(());
        }
        let has_begun = |kind: Kind| kind.is_of_a_run() && kind != Kind::BeforeStart;
        let run: Vec<&ReceivedFrame> =
            seen.iter().map(|seen| &**seen).filter(|seen| has_begun(seen.kind)).collect();
        if let Some(ended) = ended.filter(|_| heard == Heard::End && run.is_empty()) {
            return Err(self.told(
                "messages.ask",
                &format!("is answered with the end of the connection: {ended}"),
                seen,
            ));
        }
        if run.is_empty() && seen.iter().any(|seen| seen.kind == Kind::Error) {
            return Err(self.told("messages.ask", "(or prompts.plain) is answered with an error", seen));
        }
        if matches!(heard, Heard::It | Heard::Others) {
            self.kinds(&run, seen)?;
        }
        if run.is_empty() && !seen.iter().any(|seen| seen.kind == Kind::Accepted || self.is_unknown(seen)) {
            let why = "brings nothing of a run (an agent that takes longer to begin: timing.started_ms)";
            let both = if self.mute_ping { "messages.ask, as messages.ping," } else { "messages.ask" };
            return Err(self.told(both, why, seen));
        }
        self.fields_of(&run, id, seen)
    }

    /// Holds that the beginning and the end of a run have their names.
    fn kinds(&self, run: &[&ReceivedFrame], seen: &[Arc<ReceivedFrame>]) -> Result<(), String> {
        let unknown: BTreeSet<&str> =
            seen.iter().filter(|seen| self.is_unknown(seen)).map(|seen| seen.name.as_str()).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let events = &self.profile.events;
        let named = [
            ("events.started", Kind::Started, &events.started),
            ("events.completed", Kind::Completed, &events.completed),
        ];
        let named: Vec<_> = named.into_iter().filter(|(_, _, names)| !names.is_empty()).collect();
        let missing: Vec<&str> = named
            .iter()
            .filter(|(_, kind, _)| run.iter().all(|seen| seen.kind != *kind))
            .map(|(key, ..)| *key)
            .collect();
        // One frame of no name in the place of a whole run is an answer of the server's, and no matter of names.
        let telling = unknown.len() >= missing.len();
        if missing.is_empty() || !telling {
            return Ok(());
        }
        let unknown = unknown.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let why = format!(
            "names none of the frames that came; no key names {unknown} (events.other lists what is of no run)"
        );
        Err(self.told(&missing.join(" and "), &why, seen))
    }

    /// Holds that the events of a run have the fields that the profile looks for in them.
    fn fields_of(
        &mut self,
        run: &[&ReceivedFrame],
        id: &str,
        seen: &[Arc<ReceivedFrame>],
    ) -> Result<(), String> {
        let fields = &self.profile.fields;
        let all: Vec<&ReceivedFrame> = seen.iter().map(|seen| &**seen).collect();
        if all.iter().any(|seen| seen.json.is_object()) && all.iter().all(|seen| seen.name.is_empty()) {
            return Err(self.told("fields.kind", "is in none of the frames that came", seen));
        }
        if run.is_empty() && !seen.iter().any(|seen| seen.kind == Kind::Accepted) {
            return Ok(());
        }
        if !id.is_empty()
            && fields.request.is_known()
            && all.iter().all(|seen| seen.request.as_deref() != Some(id))
        {
            let elsewhere = holding(&all, id).is_some();
            if elsewhere || !self.profile.events.accepted.is_empty() {
                return Err(self.no_request(&all, id, "messages.ask", seen));
            }
            self.absent.push("request");
        }
        for (name, paths) in [
            ("run", &fields.run),
            ("thread", &fields.thread),
            ("user", &fields.user),
            ("seq", &fields.seq),
            ("run_seq", &fields.run_seq),
            ("timestamp", &fields.timestamp),
        ] {
            if paths.is_known() && !run.is_empty() && run.iter().all(|seen| paths.of(&seen.json).is_none()) {
                self.missing(name, run, id, seen)?;
            }
        }
        let ends: Vec<&ReceivedFrame> =
            run.iter().copied().filter(|seen| seen.kind == Kind::Completed).collect();
        for (name, paths) in [("answer", &fields.answer), ("outcome", &fields.outcome)] {
            if paths.is_known() && !ends.is_empty() && ends.iter().all(|seen| paths.of(&seen.json).is_none())
            {
                self.missing(name, &ends, id, seen)?;
            }
        }
        Ok(())
    }

    /// A field that no frame has: the profile is wrong where something stands there that may be it; else the server has
    /// nothing of the kind, and what needs it is not done.
    fn missing(
        &mut self,
        name: &'static str,
        frames: &[&ReceivedFrame],
        id: &str,
        seen: &[Arc<ReceivedFrame>],
    ) -> Result<(), String> {
        let Some(there) = candidate(self.profile, name, frames, &self.user, id) else {
            self.absent.extend(Some(name).filter(|name| matches!(*name, "run" | "thread")));
            return Ok(());
        };
        let why = format!("is in none of the frames that should have it; is it {there:?}?");
        Err(self.told(&format!("fields.{name}"), &why, seen))
    }

    fn no_request(
        &self,
        frames: &[&ReceivedFrame],
        id: &str,
        message: &str,
        seen: &[Arc<ReceivedFrame>],
    ) -> String {
        let why = match holding(frames, id) {
            Some(path) => format!("is not where the answer to {message} repeats {{id}}: that is {path:?}"),
            None => format!("is in no answer to {message} (without {{id}} in {message} none is looked for)"),
        };
        self.told("fields.request", &why, seen)
    }

    /// What is left to say at the end: gives the fields that no event had.
    pub(super) fn end(self, seen: &[Arc<ReceivedFrame>]) -> Result<Vec<&'static str>, String> {
        if self.mute_ping && seen.iter().all(|seen| seen.kind != Kind::Pong) {
            return Err(self.told("messages.ping", "is not answered", seen));
        }
        Ok(self.absent)
    }

    /// The sentence about a key, and what came, each frame beside the key that names it.
    pub(super) fn told(&self, key: &str, why: &str, seen: &[Arc<ReceivedFrame>]) -> String {
        let typeless = seen.iter().all(|seen| seen.json.is_object() && seen.name.is_empty());
        let (key, why) = match typeless && !seen.is_empty() {
            true => ("fields.kind", "is in none of the frames that came"),
            false => (key, why),
        };
        let mut told = format!("the profile {:?} does not fit this server: {key} {why}", self.profile.name);
        if seen.is_empty() {
            told.push_str("\n  nothing came");
        }
        for frame in seen.iter().take(SHOWN) {
            let key = if frame.json.is_null() { "no JSON" } else { self.key_of(frame) };
            // Writing to a text does not fail.
            let _ = write!(told, "\n  {key:<24} {}", shorten_line(&frame.text, WIDTH));
        }
        if seen.len() > SHOWN {
            let _ = write!(told, "\n  and {} more frames", seen.len() - SHOWN);
        }
        told
    }

    fn key_of(&self, seen: &ReceivedFrame) -> &'static str {
        if seen.kind == Kind::Other && self.is_unknown(seen) { "(no key)" } else { seen.kind.key() }
    }
}
