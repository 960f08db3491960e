//! The first look at a server, before any check: it connects, pings, asks once, and holds what came against the profile. A key
//! that does not fit is told with the frames that show it, in place of a failure of each check that needs the key.

use std::time::{Duration, Instant};

use serde_json::json;
use wireproof_client::OpenError;

use super::{
    CheckContext, Session, Target, TargetError, TestPrincipal,
    session::{Asked, new_id},
};
use crate::{
    profile::{Kind, Transport},
    record::HistoryRecorder,
};

mod fields;
mod fit;

use fit::Fit;

/// How long nothing comes before what came is taken for all.
const QUIET: Duration = Duration::from_millis(500);
/// How long a ping may go without an answer before the agent is asked all the same.
const PONG: Duration = Duration::from_secs(1);
/// How long an agent may take to say anything; `timing.started_ms` makes it longer.
const BEGIN: Duration = Duration::from_millis(1500);
/// What the agent is asked to repeat.
const MARKER: &str = "wk1look";

/// What came of waiting for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// The frame came.
    It,
    /// Other frames came that the profile does not know or that are errors, and then nothing.
    Others,
    /// Nothing came that says anything.
    Nothing,
    /// The connection ended.
    End,
}

/// Whether somebody is there who speaks the profile and lets the judge in; gives the fields that no event had.
pub(super) async fn look(target: &Target, seed: u64) -> Result<Vec<&'static str>, TargetError> {
    let context = CheckContext::new(target, HistoryRecorder::new(), "look", seed, 1);
    let principal = context.principal("ada").map_err(|fault| TargetError::Refused(fault.to_string()))?;
    let began = Instant::now();
    let posts = context.profile.endpoint.transport == Transport::Sse;
    let session =
        if posts { post(&context, &principal).await? } else { connect(&context, &principal).await? };
    let mut look = Look {
        context: &context,
        slow: began.elapsed(),
        fit: Fit::new(&context.profile, &principal.user),
        session,
    };
    if !posts {
        look.welcome().await?;
    }
    look.ping().await?;
    look.ask().await
}

/// Opens the connection and shows the token.
async fn connect(context: &CheckContext<'_>, principal: &TestPrincipal) -> Result<Session, TargetError> {
    let target = context.target;
    let attempt = context.attempt(principal);
    let session = match context.try_once(&attempt, context.new_name(&principal.user)).await {
        Ok(session) => session,
        Err(error) if error.is_of_host() => return Err(TargetError::Misaddressed(error.to_string())),
        Err(error) if error.is_refusal() => return Err(TargetError::Refused(format!("{error} ({AUTH})"))),
        Err(error @ OpenError::Refused { .. }) => {
            let path = target.path();
            let keys = "endpoint.path, endpoint.transport, endpoint.subprotocol, endpoint.headers";
            return Err(TargetError::Unreachable(format!(
                "{error} at the path {path:?} (the address, or {keys})"
            )));
        }
        Err(error) => return Err(TargetError::Unreachable(error.to_string())),
    };
    context
        .show(&session, &attempt)
        .await
        .map_err(|fault| TargetError::Refused(format!("{fault} ({AUTH})")))?;
    Ok(session)
}

/// The keys that say who the judge is, and the one whose address may refuse everybody.
const AUTH: &str = "auth.place, auth.jwt, messages.authenticate, or the path: endpoint.path";

/// Posts a message, to see whether it is answered with events.
async fn post(context: &CheckContext<'_>, principal: &TestPrincipal) -> Result<Session, TargetError> {
    let (Some(ask), Ok(text)) = (&context.profile.messages.ask, context.plain(MARKER)) else {
        let why = "the profile does not say how to ask an agent (messages.ask, prompts.plain)".to_owned();
        return Err(TargetError::Url { url: context.target.url().to_owned(), why });
    };
    let attempt = context.attempt(principal);
    let post = context.target.post(attempt.url, principal.token.as_deref(), attempt.place);
    post.reach(attempt.url, ask.fill(&[("text", json!(text)), ("id", json!(new_id()))])).await?;
    Ok(context.posting(&attempt))
}

struct Look<'a> {
    context: &'a CheckContext<'a>,
    session: Session,
    /// How long the connection took: on a machine that is busy all takes longer.
    slow: Duration,
    fit: Fit<'a>,
}

impl Look<'_> {
    /// Waits for a frame that fits, from one on.
    async fn hear(
        &self,
        from: usize,
        within: Duration,
        fits: impl Fn(&super::ReceivedFrame) -> bool,
    ) -> Heard {
        let (began, quiet) = (Instant::now(), QUIET + self.slow * 4);
        loop {
            let before = self.session.count();
            let found = self.session.wait("frame", from, quiet.min(within), &fits).await;
            let seen = self.session.seen();
            // What came before a frame that is known says nothing of what is still to come: a tool may take its time. The reply
            // to the request may come behind all that it caused.
            let mut events = seen.iter().skip(from).filter(|seen| seen.kind != Kind::Accepted);
            let others = events.next_back().is_some_and(|seen| self.fit.is_odd(seen));
            match (found, self.session.end()) {
                (Ok(_), _) => return Heard::It,
                (Err(_), Some(_)) => return Heard::End,
                (Err(_), None) if others && seen.len() == before => return Heard::Others,
                (Err(_), None) if began.elapsed() >= within && seen.len() == before => return Heard::Nothing,
                (Err(_), None) if began.elapsed() >= within * 2 => return Heard::Nothing,
                (Err(_), None) => {}
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), TargetError> {
        if self.context.profile.events.welcome.is_empty() {
            return Ok(());
        }
        let is_welcome = |seen: &super::ReceivedFrame| seen.kind == Kind::Welcome;
        let mut heard = self.hear(0, PONG, is_welcome).await;
        if heard == Heard::Nothing {
            // A server that says nothing yet may be slow; one that answers a ping meanwhile has no welcome of this name.
            self.send_ping().await;
            heard = self
                .hear(0, self.session.patience(), |seen| is_welcome(seen) || seen.kind == Kind::Pong)
                .await;
        }
        let seen = self.session.seen();
        if seen.iter().any(|seen| is_welcome(seen)) {
            return self.fit.welcome(&seen).map_err(TargetError::Misfit);
        }
        let came = self.session.missed("welcome (events.welcome)", 0, self.session.patience());
        match (heard, self.session.end()) {
            (_, Some(ended)) if ended.code.is_some_and(says_no) => {
                Err(TargetError::Refused(format!("{came} ({AUTH})")))
            }
            (Heard::End | Heard::Nothing, _) => Err(TargetError::Unreachable(came)),
            _ if seen.iter().all(|seen| seen.kind == Kind::Error) => {
                Err(TargetError::Refused(format!("{came} ({AUTH}): {}", seen[0].brief())))
            }
            _ => Err(TargetError::Misfit(self.fit.told(
                "events.welcome",
                "names none of the frames that came",
                &seen,
            ))),
        }
    }

    /// Sends a ping; gives its id if there is one to look for.
    async fn send_ping(&self) -> Option<String> {
        let ping = self.context.profile.messages.ping.as_ref()?;
        let id = new_id();
        // A connection that is over is told by what is waited for next.
        let _ = self.session.send(ping.fill(&[("id", json!(id))])).await;
        Some(id).filter(|_| ping.names("id") && self.context.profile.fields.request.is_known())
    }

    async fn ping(&mut self) -> Result<(), TargetError> {
        if self.context.profile.messages.ping.is_none() {
            return Ok(());
        }
        let from = self.session.count();
        let id = self.send_ping().await;
        let heard = self.hear(from, PONG, |seen| seen.kind == Kind::Pong).await;
        let seen = self.session.seen();
        self.fit.pong(heard, &seen[from..], id.as_deref(), self.session.end()).map_err(TargetError::Misfit)
    }

    async fn ask(mut self) -> Result<Vec<&'static str>, TargetError> {
        let (Some(ask), Ok(text)) = (&self.context.profile.messages.ask, self.context.plain(MARKER)) else {
            return self.fit.end(&[]).map_err(TargetError::Misfit);
        };
        let id = if ask.names("id") { new_id() } else { String::new() };
        let asked = Asked { id, from: self.session.count(), at: Instant::now() };
        let frame = ask.fill(&[("text", json!(text)), ("id", json!(asked.id))]);
        // A connection that is over is told by what is waited for next.
        let _ = self.session.send(frame).await;
        let began = Duration::from_secs_f64(self.context.profile.timing.started_ms.unwrap_or(0.0) / 1e3);
        let within = (BEGIN + self.slow * 10).max(began * 2);
        let heard = self.hear(asked.from, within, |seen| seen.kind == Kind::Completed).await;
        if heard == Heard::It && !asked.id.is_empty() && self.context.profile.fields.request.is_known() {
            let is_answer = |seen: &super::ReceivedFrame| seen.request.as_deref() == Some(asked.id.as_str());
            let _ = self.session.wait("answer", asked.from, QUIET + self.slow * 4, is_answer).await;
        }
        let (seen, ended) = (self.session.seen(), self.session.end());
        // What comes behind the end of the run is of it as well: the answer to a request may be.
        let run = seen.get(asked.from..).unwrap_or_default();
        self.fit.answered(heard, run, &asked.id, ended).map_err(TargetError::Misfit)?;
        let over = run.iter().any(|seen| seen.kind == Kind::Completed);
        if !over && run.iter().any(|seen| seen.kind == Kind::Started) {
            // Who leaves in the middle may hurt others: that is for a check to find out.
            let within = self.session.patience();
            let _ = self
                .session
                .wait("end of the run", asked.from, within, |seen| seen.kind == Kind::Completed)
                .await;
        }
        self.fit.end(run).map_err(TargetError::Misfit)
    }
}

/// Closes that refuse who comes: a policy, "unauthorized" and "forbidden" as they are registered, and what applications
/// make of 401 and 403.
fn says_no(code: u16) -> bool {
    matches!(code, 1008 | 3000 | 3003 | 4001 | 4003 | 4401 | 4403)
}
