//! Whether the server still answers: after each check somebody new comes in. Once nobody is served any more the checks that
//! are left are not run, and the ones that ran then are told by name.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::watch;
use wireproof_client::OpenError;
use wireproof_protocol::shorten_line;

use super::{Check, CheckContext, Target, session::new_id};
use crate::{
    profile::{Kind, Transport},
    record::{Action, HistoryRecorder, Op},
    report::{CheckResult, Verdict, terminal::tell},
};

/// Tries to come in: one that fails may have met a server that was just busy with the check.
const TRIES: usize = 3;
/// A failure that took longer is no accident.
const SOON: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Characters of the last thing that a check did.
const LAST: usize = 160;

/// What is known of a server while checks run.
pub(super) struct Alive<'a> {
    target: &'a Target,
    seed: u64,
    running: Mutex<Vec<&'static str>>,
    /// How it stopped, once it did.
    stopped: watch::Sender<Option<String>>,
}

impl<'a> Alive<'a> {
    pub(super) fn new(target: &'a Target, seed: u64) -> Self {
        Self { target, seed, running: Mutex::default(), stopped: watch::Sender::default() }
    }

    /// Runs a check, unless the server has stopped, and looks at the server behind it.
    pub(super) async fn during(
        &self,
        check: &'static Check,
        run: impl Future<Output = CheckResult>,
    ) -> CheckResult {
        let mut stops = self.stopped.subscribe();
        if let Some(why) = stops.borrow_and_update().clone() {
            return gone(check, why);
        }
        self.running().push(&check.id);
        let result = tokio::select! {
            biased;
            result = run => self.behind(check, result).await,
            Ok(why) = stops.wait_for(Option::is_some) => gone(check, why.clone().unwrap_or_default()),
        };
        self.running().retain(|id| *id != check.id);
        result
    }

    async fn behind(&self, check: &'static Check, mut result: CheckResult) -> CheckResult {
        if result.verdict == Verdict::NotDone && result.history.is_empty() {
            return result;
        }
        let Err(how) = self.serves().await else { return result };
        let beside = self.running().join(", ");
        let why =
            format!("the server stopped answering during {beside}, after {}: {how}", last(&result.history));
        let why = self.stopped.send_replace(Some(why.clone())).unwrap_or(why);
        // A check that nothing ran beside has broken what it found broken.
        if result.verdict == Verdict::Fail && beside == check.id {
            result.what.push_str(&format!("\n{why}"));
        } else {
            result.what = format!("{why} ({} before: {})", result.verdict.word(), result.what);
            result.verdict = Verdict::Gone;
        }
        result
    }

    /// Comes in as somebody new and is answered; a refusal is an answer as well. Says what happened instead.
    async fn serves(&self) -> Result<(), String> {
        let (mut tries, began) = (0, Instant::now());
        loop {
            tries += 1;
            match self.comes_in().await {
                Err(_) if tries < TRIES && began.elapsed() < SOON => tokio::time::sleep(PAUSE).await,
                served => return served,
            }
        }
    }

    async fn comes_in(&self) -> Result<(), String> {
        let context = CheckContext::new(self.target, HistoryRecorder::new(), "alive", self.seed, 1);
        let (target, profile) = (self.target, &context.profile);
        if profile.endpoint.transport == Transport::Sse {
            let answer = target.http("GET", target.path(), None, None).await;
            return answer.map(|_| ()).map_err(|error| error.to_string());
        }
        // Where users are given there is nobody new.
        let Ok(principal) = context.principal("ada") else { return Ok(()) };
        let attempt = context.attempt(&principal);
        let session = match context.try_once(&attempt, context.new_name(&principal.user)).await {
            Ok(session) => session,
            Err(OpenError::Refused { .. }) => return Ok(()),
            Err(OpenError::Ended { ended, .. }) if ended.code.is_some() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        context.show(&session, &attempt).await.map_err(|fault| fault.to_string())?;
        let mut awaited = Vec::new();
        if !profile.events.welcome.is_empty() {
            awaited.push(("welcome", Kind::Welcome));
        }
        if let Some(ping) = &profile.messages.ping {
            // A connection that is over is told by what is waited for next.
            let _ = session.send(ping.fill(&[("id", json!(new_id()))])).await;
            awaited.push(("answer to a ping", Kind::Pong));
        }
        for (what, kind) in awaited {
            let fits = |seen: &super::ReceivedFrame| seen.kind == kind || seen.kind == Kind::Error;
            let answered = session.wait(what, 0, session.patience(), fits).await;
            let closed = session.end().is_some_and(|ended| ended.code.is_some());
            if let (Err(fault), false) = (answered, closed) {
                return Err(fault.to_string());
            }
        }
        session.close(1000).await;
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last thing that a check did, in a few words.
fn last(history: &[Op]) -> String {
    let did = |op: &&Op| {
        matches!(op.f, Action::Send | Action::Close | Action::Fault | Action::Http | Action::Connect)
    };
    history.iter().rev().find(did).map_or("nothing".to_owned(), |op| shorten_line(tell(op).trim(), LAST))
}

/// What comes of a check that the server did not live to see.
fn gone(check: &Check, why: String) -> CheckResult {
    CheckResult {
        id: check.id.to_string(),
        sentence: check.sentence.to_owned(),
        severity: check.severity,
        verdict: Verdict::Gone,
        what: why,
        ms: 0.0,
        measures: Vec::new(),
        beside: Vec::new(),
        history: Vec::new(),
    }
}
