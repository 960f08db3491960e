//! One run from its message to its end: the agent works in a task of its own, this one writes down what it says.

use std::sync::Arc;

use wireproof_agents::{Agent, AgentError, Answer, RunUsage};
use wireproof_protocol::{
    ErrorCode, EventBody, MessageId, RunId, RunRules, StatusUpdate, ThreadId, Timestamp, UserId,
};

use super::{Runs, Slot, bounds, counts::Counts, recorder::RunRecorder};
use crate::{
    clock::unix_now,
    store::{FIRST_PAUSE, FinishRun, LAST_PAUSE, Lease, STORE_PATIENCE, Started, StoreError, while_away},
    traces::{RunFacts, TraceParent},
};

mod work;

use work::Work;

type AgentResult = Result<Answer, AgentError>;

/// A run with a place.
pub struct Run {
    pub user_id: UserId,
    pub run_id: RunId,
    /// The thread that was asked for; once the run is stored, the one it answers in.
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub content: String,
    /// When it was asked for, in Unix seconds: the time of its message and of its first event.
    pub asked_at: Timestamp,
    /// Its first event, which is stored with the message.
    pub first: EventBody,
    pub agent: Arc<dyn Agent>,
    greeting: String,
    slot: Slot,
    /// Its number is 0 until the run is stored.
    lease: Lease,
    counts: Counts,
    recorder: RunRecorder,
    usage: RunUsage,
    progress: Progress,
}

/// How far the agent came before the run is driven.
#[derive(Default)]
enum Progress {
    #[default]
    NotBegun,
    Begun(Box<Work>),
    Decided(Arc<FinishRun>),
}

impl Run {
    /// A run that is to be stored.
    pub fn new(
        runs: &Runs,
        user_id: UserId,
        run_id: RunId,
        thread_id: ThreadId,
        content: String,
        agent: Arc<dyn Agent>,
        slot: Slot,
    ) -> Self {
        let asked_at = unix_now();
        let greeting = bounds::greeting(agent.greeting());
        let first = match slot.is_queued() {
            true => EventBody::StatusUpdate(StatusUpdate {
                status: "queued".to_owned(),
                detail: Some("Waiting for a free run.".to_owned()),
            }),
            false => EventBody::AgentStarted { message: greeting.clone() },
        };
        let mut rules = RunRules::new();
        if let Err(violation) = rules.apply(None, 1, &first) {
            tracing::error!(%run_id, %violation, "the first event of a run breaks a rule");
        }
        let agent_name = agent.name().to_owned();
        let counts = Counts::new(runs.metrics.clone(), &agent_name);
        let recorder = RunRecorder::new(user_id.clone(), thread_id.clone(), run_id, agent_name, rules)
            .bounded(runs.limits.bounds);
        let lease = Lease { run_id, number: 0 };
        let (message_id, usage, progress) = (MessageId::new(), RunUsage::default(), Progress::NotBegun);
        Self {
            user_id,
            run_id,
            thread_id,
            message_id,
            content,
            asked_at,
            first,
            agent,
            greeting,
            slot,
            lease,
            counts,
            recorder,
            usage,
            progress,
        }
    }

    /// True while it waits for its turn.
    pub fn is_queued(&self) -> bool {
        self.slot.is_queued()
    }

    /// The end of a run that began before it was stored and ended at once.
    pub fn decided_end(&self) -> Option<Arc<FinishRun>> {
        match &self.progress {
            Progress::Decided(finish) => Some(finish.clone()),
            _ => None,
        }
    }

    /// The run is stored. Returns it to be driven, unless its end is stored too.
    pub fn on_stored(mut self, runs: &Runs, started: Started, parent: Option<TraceParent>) -> Option<Self> {
        self.lease.number = started.lease;
        self.recorder.set_thread(&started.thread_id);
        self.thread_id = started.thread_id;
        let facts = RunFacts {
            run_id: self.run_id,
            thread_id: &self.thread_id,
            user_id: &self.user_id,
            agent: self.agent.name(),
            asked_at: self.asked_at,
        };
        self.counts.set_trace(runs.traces.run(facts, parent));
        self.counts.stored([&self.first]);
        match self.decided_end() {
            Some(finish) if started.ended => {
                self.count_end(&finish);
                None
            }
            _ => Some(self),
        }
    }

    /// Drives the run to its one end.
    pub async fn drive(mut self, runs: Arc<Runs>) {
        let finish = match std::mem::take(&mut self.progress) {
            Progress::Decided(finish) => FinishRun { lease: self.lease, ..FinishRun::clone(&finish) },
            Progress::Begun(work) => {
                let end = self.work_to_end(&runs, *work).await;
                self.decide_end(end)
            }
            Progress::NotBegun => {
                let end = self.wait_and_work(&runs).await;
                self.decide_end(end)
            }
        };
        let finish = self.store_end(&runs, Arc::new(finish)).await;
        self.count_end(&finish);
    }

    async fn wait_and_work(&mut self, runs: &Runs) -> AgentResult {
        let queued = self.slot.is_queued();
        let cancelled = self.slot.cancelled.clone();
        let turn = tokio::select! {
            biased;
            () = runs.draining.cancelled() => Err(restarting()),
            () = cancelled.cancelled() => Err(AgentError::Cancelled),
            () = self.slot.turn() => Ok(()),
        };
        if queued && let Err(violation) = self.recorder.start(self.greeting.clone(), unix_now()) {
            tracing::error!(run_id = %self.run_id, %violation, "a queued run could not start");
        }
        turn?;
        let work = self.spawn_agent(runs);
        self.work_to_end(runs, work).await
    }

    /// What is to be stored of the run's end.
    fn decide_end(&mut self, end: AgentResult) -> FinishRun {
        let now = unix_now();
        let duration_ms = self.counts.seconds() * 1e3;
        let (outcome, answer) = self.recorder.finish(end, self.usage.total(), duration_ms, now);
        let events = self.recorder.drain();
        self.slot.end_is_decided();
        FinishRun { user_id: self.user_id.clone(), lease: self.lease, events, outcome, answer, now }
    }

    /// The end is stored.
    fn count_end(&self, finish: &FinishRun) {
        let outcome = finish.outcome.as_str();
        tracing::debug!(
            run_id = %self.run_id,
            user_id = %self.user_id,
            thread_id = self.thread_id.as_str(),
            agent = self.agent.name(),
            outcome,
            seconds = self.counts.seconds(),
            "run ended"
        );
        self.counts.ended(outcome, &finish.events);
    }

    fn store_failed(&self, error: &StoreError) -> AgentError {
        if let StoreError::QuotaExceeded(full) = error {
            return AgentError::failed(ErrorCode::QuotaExceeded.as_str(), full.to_string());
        }
        tracing::error!(run_id = %self.run_id, %error, "the events of a run could not be stored");
        AgentError::failed("internal", "The run could not be recorded.")
    }

    /// Stores what the agent said so far; what the store does not take stays with the recorder for the next try.
    async fn append(&mut self, runs: &Runs) -> Result<(), StoreError> {
        let events = Arc::new(self.recorder.drain());
        let (store, draining, wait) = (runs.store.clone(), runs.draining.clone(), runs.limits.store_wait);
        let (user_id, lease, said) = (self.user_id.clone(), self.lease, events.clone());
        let write = async move {
            let append = || store.append_events(&user_id, Some(lease), said.clone());
            while_away(wait, &draining, append).await
        };
        match runs.publisher.carry_out_in_time(wait + STORE_PATIENCE, write).await {
            Ok(_) => {
                self.counts.stored(events.iter().map(|event| &event.body));
                Ok(())
            }
            Err(e) => {
                self.recorder.put_back(events.to_vec());
                Err(e)
            }
        }
    }

    /// Offers the end to the store until it takes it, without the answer when a quota has no room for that. Returns what
    /// was stored. A store that is still broken when the server drains leaves it to the next start.
    async fn store_end(&self, runs: &Runs, mut finish: Arc<FinishRun>) -> Arc<FinishRun> {
        let mut pause = FIRST_PAUSE;
        loop {
            match runs.store.finish_run(finish.clone()).await {
                Ok(written) => {
                    runs.publisher.publish(written);
                    return finish;
                }
                Err(StoreError::QuotaExceeded(full)) if finish.answer.is_some() => {
                    finish = Arc::new(finish.without_answer(full));
                }
                Err(
                    e @ (StoreError::Unavailable(_) | StoreError::Database { .. } | StoreError::Backend(_)),
                ) if !runs.draining.is_cancelled() => {
                    tracing::error!(run_id = %self.run_id, error = %e, "the end of a run could not be stored: trying again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = runs.draining.cancelled() => {}
                    }
                    pause = (2 * pause).min(LAST_PAUSE);
                }
                Err(e) => {
                    tracing::error!(run_id = %self.run_id, error = %e, "the end of a run was refused by the store");
                    return finish;
                }
            }
        }
    }
}

fn restarting() -> AgentError {
    AgentError::failed("server_restarting", "The server is restarting; ask again.")
}
