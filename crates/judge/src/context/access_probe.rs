//! The places where a token can be shown, and the proof that none of them let anybody in.

use std::time::Duration;

use serde_json::json;
use wireproof_client::{Connect, OpenError};

use super::{CheckContext, MAX_RETRY_AFTER, TRIES};
use crate::{
    outcome::{Failure, broken},
    profile::{Kind, Place},
    received_frame::ReceivedFrame,
    session::{Session, new_id},
};

/// The close that says "later" (RFC 6455, registered as Try Again Later).
const TRY_LATER: u16 = 1013;

/// What came of an attempt.
enum AccessProbe {
    /// It was refused: how.
    Refused(String),
    /// Nobody is let in for so long.
    Later(Duration),
}

impl CheckContext<'_> {
    /// Where the server takes tokens: the first place, then the others.
    pub fn places(&self) -> Vec<Place> {
        let auth = &self.profile.auth;
        auth.place.into_iter().chain(auth.places.iter().copied()).collect()
    }

    /// Holds that none of these tokens opens anything: the first is shown in every place, the others in the first one.
    /// Says how each was refused.
    pub async fn assert_tokens_refused(&self, tokens: &[(String, String)]) -> Result<String, Failure> {
        let mut told = Vec::new();
        for (index, (what, token)) in tokens.iter().enumerate() {
            let places = self.places();
            let places = if index == 0 { &places[..] } else { &places[..places.len().min(1)] };
            for place in places {
                let connect = self.target.connect(self.target.url(), Some(token), Some(*place));
                let shown = if *place == Place::Frame { Some(token.as_str()) } else { None };
                let how = self.assert_no_access(connect, shown, &format!("{what} ({place:?})")).await?;
                told.push(format!("{what} ({place:?}): {how}"));
            }
        }
        if told.is_empty() {
            return Err(Failure::NotDone("there is no such token here".to_owned()));
        }
        Ok(told.join("; "))
    }

    /// Holds that nobody gets in like this, a token in the first frame included: the handshake is refused, or all that
    /// comes, whatever is said, is an error or a close. Says how it was refused.
    pub async fn assert_no_access(
        &self,
        connect: Connect,
        token: Option<&str>,
        whom: &str,
    ) -> Result<String, Failure> {
        self.assert_good_credentials_work().await?;
        for _ in 0..TRIES {
            match self.probe_access(connect.clone(), token, whom).await? {
                AccessProbe::Refused(how) => return Ok(how),
                // What the server asks for, and it is bounded.
                AccessProbe::Later(wait) => tokio::time::sleep(wait.min(MAX_RETRY_AFTER)).await,
            }
        }
        Err(Failure::NotDone(format!("the server lets nobody in for now, so {whom} was not put to the test")))
    }

    /// The same for somebody who alone is told "later": that is a refusal too.
    pub async fn assert_no_access_once(
        &self,
        connect: Connect,
        token: Option<&str>,
        whom: &str,
    ) -> Result<String, Failure> {
        match self.probe_access(connect, token, whom).await? {
            AccessProbe::Refused(how) => Ok(how),
            AccessProbe::Later(_) => Ok("it was told to come later".to_owned()),
        }
    }

    async fn probe_access(
        &self,
        connect: Connect,
        token: Option<&str>,
        whom: &str,
    ) -> Result<AccessProbe, Failure> {
        let session = match self.open(connect, whom).await {
            Ok(session) => session,
            Err(OpenError::Refused { status: 429 | 503, retry_after, .. }) => {
                return Ok(AccessProbe::Later(retry_after.unwrap_or(Duration::from_secs(1))));
            }
            Err(OpenError::Refused { status, .. }) if (400..500).contains(&status) => {
                return Ok(AccessProbe::Refused(format!("HTTP {status}")));
            }
            Err(OpenError::Refused { status, .. }) => {
                return broken(format!("{whom} was answered with HTTP {status}, which is no refusal"));
            }
            Err(OpenError::Ended { .. }) => {
                return Ok(AccessProbe::Refused("the connection was ended".to_owned()));
            }
            // Cut in the middle of the handshake. A server that is gone cannot be reached at the next try.
            Err(OpenError::NotUnderstood { .. }) => {
                return Ok(AccessProbe::Refused("the handshake was broken off".to_owned()));
            }
            Err(error) => return Err(Failure::Gone(error.to_string())),
        };
        self.ask_anything(&session, token).await;
        let others = &self.profile.events.other;
        let let_in = |seen: &ReceivedFrame| seen.kind != Kind::Error && !others.contains(&seen.name);
        let within = session.patience();
        if let Ok(told) = session.wait("refusal", 0, within, let_in).await {
            return broken(format!("{whom} got in: {}", told.brief()));
        }
        let errors = session.seen().iter().filter(|seen| seen.kind == Kind::Error).count();
        match session.end() {
            Some(ended) if ended.code == Some(TRY_LATER) => Ok(AccessProbe::Later(Duration::from_secs(1))),
            Some(ended) => Ok(AccessProbe::Refused(
                ended.code.map_or("ended".to_owned(), |code| format!("close {code}")),
            )),
            None if errors > 0 => Ok(AccessProbe::Refused("errors alone".to_owned())),
            None => broken(format!("{whom} was neither refused nor served within {within:?}")),
        }
    }

    /// Shows a token if there is one for the first frame, then asks for something: whoever got in is answered.
    async fn ask_anything(&self, session: &Session, token: Option<&str>) {
        let messages = &self.profile.messages;
        let id = json!(new_id());
        let shown = messages.authenticate.as_ref().zip(token);
        let shown = shown.map(|(frame, token)| frame.fill(&[("token", json!(token)), ("id", id.clone())]));
        let ping = messages.ping.as_ref().map(|ping| ping.fill(&[("id", id.clone())]));
        let ask = || Some(messages.ask.as_ref()?.fill(&[("text", json!("hello")), ("id", id.clone())]));
        for frame in [shown, ping.or_else(ask)].into_iter().flatten() {
            // A server that has refused already takes nothing more: that is what is looked at next.
            let _ = session.send(frame).await;
        }
    }
}
