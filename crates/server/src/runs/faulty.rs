//! What runs with a bug do between two steps that belong together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use wireproof_protocol::{ControlBody, Event, EventBody, EventId, Outcome, RunId, ThreadId, Usage, UserId};

use super::{RunRequest, Runs, driver::Run, recorder::faulty::Others};
use crate::{error::Refusal, sabotage::Bug, store::RequestKey};

/// Between a look at something and what is done after it, without a lock.
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes of a message that somebody thought to be enough.
const CUT: usize = 4096;
/// What somebody notices who waits for a run to begin.
const LATE: Duration = Duration::from_millis(250);

/// What is kept that should not be.
#[derive(Default)]
pub struct Faults {
    /// What was asked last, and by whom.
    asked: Mutex<Option<(UserId, String)>>,
    /// The thread that each user wrote in last.
    threads: Mutex<HashMap<UserId, ThreadId>>,
}

impl Runs {
    /// Keeps what a user asks, for the errors of others.
    pub(super) fn overhear(&self, user_id: &UserId, content: &str) {
        let mut asked = self.faults.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Some((user_id.clone(), content.to_owned()));
    }

    /// What a recorder may take for its own: another run of the user that is alive, and the thread of the latest.
    pub(super) fn others(self: &Arc<Self>, user_id: &UserId, run_id: RunId) -> Others {
        let (runs, user_id) = (Arc::downgrade(self), user_id.clone());
        Box::new(move || {
            let Some(runs) = runs.upgrade() else { return (None, None) };
            let threads = runs.faults.threads.lock().unwrap_or_else(PoisonError::into_inner);
            (runs.registry.another(&user_id, run_id), threads.get(&user_id).cloned())
        })
    }

    /// Keeps where a user wrote last.
    pub(super) fn wrote_in(&self, user_id: &UserId, thread_id: &ThreadId) {
        let mut threads = self.faults.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.insert(user_id.clone(), thread_id.clone());
    }

    /// What a user asks, as it arrives at the agent.
    pub(super) async fn mishear(&self, request: &mut RunRequest) {
        if self.bugs.on(Bug::NonAsciiMangled) {
            request.content = request.content.bytes().map(char::from).collect();
        }
        if self.bugs.on(Bug::LongTextCut) {
            let end =
                (0..=CUT.min(request.content.len())).rev().find(|end| request.content.is_char_boundary(*end));
            request.content.truncate(end.unwrap_or(0));
        }
        if self.bugs.on(Bug::StartedLate) {
            tokio::time::sleep(LATE).await;
        }
    }

    /// Does nothing else until the run has ended.
    pub async fn wait_for_end(&self, user_id: &UserId, answer: &ControlBody) {
        let ControlBody::Accepted { run_id, .. } = answer else { return };
        while self.bugs.on(Bug::OneAtATime)
            && self.run(user_id, *run_id).await.is_ok_and(|run| run.outcome.is_none())
        {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What is told first of a run.
    pub(super) fn first(&self, first: EventBody) -> EventBody {
        match first {
            EventBody::AgentStarted { .. } if self.bugs.on(Bug::ThinkingBeforeStarted) => {
                EventBody::AgentThinking { reasoning: "I look at the message.".to_owned(), step_number: 1 }
            }
            first => first,
        }
    }

    /// A refusal that tells what was asked last, if that was somebody else's.
    pub fn telling_prompt(&self, mut refusal: Refusal, user_id: &UserId) -> Refusal {
        let asked = self.faults.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, content)) = asked.as_ref().filter(|(other, _)| other != user_id)
            && self.bugs.on(Bug::PromptInErrorText)
        {
            refusal.body.message.push_str(&format!(" (while answering {content:?})"));
        }
        refusal
    }

    /// Takes the key from a request that was not answered before, and does something else for a moment.
    pub(super) async fn unguarded(&self, request: &mut RunRequest) -> Option<RequestKey> {
        if !self.bugs.on(Bug::RequestRace) {
            return None;
        }
        let key = request.request.take();
        tokio::time::sleep(PAUSE).await;
        key
    }

    /// Keeps the answer to a request whose run has begun.
    pub(super) async fn remember(&self, user_id: &UserId, key: Option<RequestKey>, answer: &ControlBody) {
        let Some(key) = key else { return };
        if let Err(error) = self.store.remember(user_id, key, answer.clone(), crate::clock::unix_now()).await
        {
            tracing::error!(%user_id, %error, "the answer to a request could not be kept");
        }
    }
}

impl Run {
    /// Says that a run was cancelled which has just ended: whoever cancels does not look at what is being written.
    pub(super) async fn end_again(
        &self,
        runs: &Runs,
        outcome: Outcome,
        mut events: Vec<Event>,
    ) -> Vec<Event> {
        if outcome == Outcome::Cancelled || !runs.bugs.on(Bug::CancelEndsTwice) {
            return events;
        }
        tokio::time::sleep(PAUSE).await;
        if let (true, Some(last)) = (self.slot.cancelled.is_cancelled(), events.last()) {
            let mut again = Event { event_id: EventId::new(), ..last.clone() };
            again.run = again.run.map(|mut part| {
                part.run_seq += 1;
                part
            });
            again.body = EventBody::AgentCompleted {
                outcome: Outcome::Cancelled,
                message_id: None,
                final_response: None,
                error: None,
                usage: Usage::default(),
                duration_ms: 0.0,
            };
            events.push(again);
        }
        events
    }
}
