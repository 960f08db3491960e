//! One run from its turn to its end: the agent works in a task of its own, this one writes down what it says.

use std::{sync::Arc, time::Instant};

use tokio::{task::JoinHandle, time::sleep_until};
use tokio_util::sync::CancellationToken;
use wireproof_agents::{Agent, AgentError, Answer, Emission, EmissionReceiver, RunContext, emissions};
use wireproof_protocol::{ErrorCode, EventBody, RunId, RunRules, ThreadId, UserId};

use super::{
    Runs, Slot,
    counts::Counts,
    recorder::{NotTaken, RunRecorder},
};
use crate::store::{FIRST_PAUSE, FinishRun, LAST_PAUSE, Lease, STORE_PATIENCE, StoreError, while_away};

/// Emissions that may wait for the store; a full channel makes the agent wait.
const EMISSIONS: usize = 256;
/// How often an agent may go on before what it said is stored.
const GATHERS: usize = 4;
/// Bytes of them that may wait.
const EMISSION_BYTES: u32 = 1 << 20;

type End = Result<Answer, AgentError>;

/// A run that was taken.
pub struct Run {
    pub user_id: UserId,
    pub run_id: RunId,
    pub lease: Lease,
    pub thread_id: ThreadId,
    pub content: String,
    pub first: EventBody,
    pub greeting: String,
    pub slot: Slot,
    pub agent: Arc<dyn Agent>,
    pub counts: Counts,
}

impl Run {
    /// Drives the run to its one end.
    pub async fn drive(mut self, runs: Arc<Runs>) {
        let mut rules = RunRules::new();
        if let Err(violation) = rules.apply(None, 1, &self.first) {
            tracing::error!(run_id = %self.run_id, %violation, "the first event of a run breaks a rule");
        }
        let queued = self.slot.is_queued();
        let agent_name = self.agent.name().to_owned();
        let mut recorder =
            RunRecorder::new(self.user_id.clone(), self.thread_id.clone(), self.run_id, agent_name, rules)
                .bounded(runs.limits.bounds);
        let end = self.wait_and_work(&runs, &mut recorder, queued).await;
        self.finish(&runs, recorder, end).await;
    }

    async fn wait_and_work(&mut self, runs: &Runs, recorder: &mut RunRecorder, queued: bool) -> End {
        let cancelled = self.slot.cancelled.clone();
        let turn = tokio::select! {
            biased;
            () = runs.draining.cancelled() => Err(restarting()),
            () = cancelled.cancelled() => Err(AgentError::Cancelled),
            () = self.slot.turn() => Ok(()),
        };
        if queued && let Err(violation) = recorder.start(self.greeting.clone(), crate::clock::unix_now()) {
            tracing::error!(run_id = %self.run_id, %violation, "a queued run could not start");
        }
        turn?;
        self.work(runs, recorder).await
    }

    async fn work(&self, runs: &Runs, recorder: &mut RunRecorder) -> End {
        let (emissions, mut said) = emissions(EMISSIONS, EMISSION_BYTES);
        let stop = CancellationToken::new();
        let context = RunContext {
            user_id: self.user_id.clone(),
            thread_id: self.thread_id.clone(),
            run_id: self.run_id,
            content: self.content.clone(),
            cancelled: stop.clone(),
            search_threads: runs.search_for(&self.user_id),
            emissions,
        };
        // The call itself stands inside the task: an agent may panic before it returns its future.
        let agent = self.agent.clone();
        let mut agent = tokio::spawn(async move { agent.run(context).await });
        let ended = self.listen(runs, recorder, &mut agent, &mut said).await;
        stop.cancel();
        let end = match ended {
            Ended::ByItself(end) => end,
            Ended::ByUs(why) => {
                if !self.hear_out(runs, recorder, &mut agent, &mut said).await {
                    agent.abort();
                }
                Err(why)
            }
        };
        said.close();
        while let Some(emission) = said.try_recv() {
            if end.is_ok() {
                self.take(recorder, emission)?;
            } else {
                let _ = recorder.take(emission, Instant::now(), crate::clock::unix_now());
            }
        }
        end
    }

    async fn listen(
        &self,
        runs: &Runs,
        recorder: &mut RunRecorder,
        agent: &mut JoinHandle<End>,
        said: &mut EmissionReceiver,
    ) -> Ended {
        let deadline = tokio::time::Instant::now() + runs.limits.run;
        let mut open = true;
        loop {
            if recorder.has_events() {
                if let Err(e) = self.gather(recorder, said).await {
                    return Ended::ByUs(e);
                }
                if agent.is_finished() && !self.slot.cancelled.is_cancelled() {
                    return Ended::ByItself(self.joined((&mut *agent).await));
                }
                if let Err(e) = self.append(runs, recorder).await {
                    return Ended::ByUs(self.store_failed(&e));
                }
            }
            let due = recorder.due();
            tokio::select! {
                biased;
                () = self.slot.cancelled.cancelled() => return Ended::ByUs(AgentError::Cancelled),
                () = runs.draining.cancelled() => return Ended::ByUs(restarting()),
                () = sleep_until(deadline) => return Ended::ByUs(failed("run_timeout", "The run took too long and was ended.")),
                first = said.recv(), if open => {
                    open = first.is_some();
                    if let Some(emission) = first && let Err(e) = self.take(recorder, emission) {
                        return Ended::ByUs(e);
                    }
                }
                joined = &mut *agent => return Ended::ByItself(self.joined(joined)),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if let Err(violation) = recorder.tick(Instant::now(), crate::clock::unix_now()) {
                        return Ended::ByUs(self.broke_rules(&violation));
                    }
                }
            }
        }
    }

    /// Takes what the agent has said and says at once, so that one transaction stores it; of an agent that ends at once, all
    /// goes with the end. Bounded, so that an agent that never stops is heard.
    async fn gather(
        &self,
        recorder: &mut RunRecorder,
        said: &mut EmissionReceiver,
    ) -> Result<(), AgentError> {
        let mut taken = 0;
        for _ in 0..GATHERS {
            tokio::task::yield_now().await;
            let before = taken;
            while taken < EMISSIONS
                && let Some(emission) = said.try_recv()
            {
                self.take(recorder, emission)?;
                taken += 1;
            }
            if taken == before || taken == EMISSIONS {
                break;
            }
        }
        Ok(())
    }

    /// Hears what the agent says while it stops, so that it never waits for us. True when it stopped within the grace.
    async fn hear_out(
        &self,
        runs: &Runs,
        recorder: &mut RunRecorder,
        agent: &mut JoinHandle<End>,
        said: &mut EmissionReceiver,
    ) -> bool {
        let deadline = tokio::time::Instant::now() + runs.limits.grace;
        loop {
            tokio::select! {
                biased;
                // The grace cuts the waiting short, never an append: what is stored has to be published.
                () = sleep_until(deadline) => return false,
                Some(emission) = said.recv() => {
                    // The run is ending: what breaks a rule or a bound now is left out, without a line of the log each.
                    let _ = recorder.take(emission, Instant::now(), crate::clock::unix_now());
                    if recorder.is_full() {
                        // An agent that cannot say any more ends by itself, and soon.
                        said.close();
                    }
                    if recorder.has_events() && self.append(runs, recorder).await.is_err() {
                        return false;
                    }
                }
                _ = &mut *agent => return true,
            }
        }
    }

    fn take(&self, recorder: &mut RunRecorder, emission: Emission) -> Result<(), AgentError> {
        recorder
            .take(emission, Instant::now(), crate::clock::unix_now())
            .map_err(|not_taken| match not_taken {
                NotTaken::Rule(violation) => self.broke_rules(&violation),
                NotTaken::Bound(exceeded) => {
                    tracing::warn!(run_id = %self.run_id, agent = self.agent.name(), code = exceeded.code(), "an agent went beyond a bound: its run ends");
                    self.counts.exceeded(exceeded.code());
                    exceeded.into()
                }
            })
    }

    fn joined(&self, joined: Result<End, tokio::task::JoinError>) -> End {
        match joined {
            Ok(Err(AgentError::Cancelled)) => Err(failed("agent_stopped", "The agent stopped by itself.")),
            Ok(end) => end,
            // Not what it said: that may hold what the user said.
            Err(_) => {
                tracing::error!(run_id = %self.run_id, agent = self.agent.name(), "an agent panicked");
                Err(failed("agent_panicked", "The agent failed with an internal error."))
            }
        }
    }

    fn broke_rules(&self, violation: &wireproof_protocol::RunViolation) -> AgentError {
        tracing::error!(run_id = %self.run_id, agent = self.agent.name(), %violation, "an agent broke the rules of a run");
        failed("agent_broke_rules", "The agent said something that no run may say.")
    }

    fn store_failed(&self, error: &StoreError) -> AgentError {
        if let StoreError::QuotaExceeded(full) = error {
            return failed(ErrorCode::QuotaExceeded.as_str(), &full.to_string());
        }
        tracing::error!(run_id = %self.run_id, %error, "the events of a run could not be stored");
        failed("internal", "The run could not be recorded.")
    }

    /// Stores what the agent said so far; what the store does not take stays with the recorder for the next try.
    async fn append(&self, runs: &Runs, recorder: &mut RunRecorder) -> Result<(), StoreError> {
        let events = Arc::new(recorder.drain());
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
                recorder.put_back(events.to_vec());
                Err(e)
            }
        }
    }

    async fn finish(self, runs: &Runs, mut recorder: RunRecorder, end: End) {
        let duration_ms = self.counts.seconds() * 1e3;
        let now = crate::clock::unix_now();
        let (outcome, answer) = recorder.finish(end, duration_ms, now);
        let events = recorder.drain();
        self.slot.end_is_decided();
        let finish =
            FinishRun { user_id: self.user_id.clone(), lease: self.lease, events, outcome, answer, now };
        let finish = Arc::new(finish);
        let finish = self.store_end(runs, finish).await;
        let outcome = finish.outcome;
        tracing::debug!(
            run_id = %self.run_id,
            user_id = %self.user_id,
            thread_id = self.thread_id.as_str(),
            agent = self.agent.name(),
            outcome = outcome.as_str(),
            seconds = duration_ms / 1e3,
            "run ended"
        );
        self.counts.ended(outcome.as_str(), &finish.events);
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

/// How listening to an agent came to its end.
enum Ended {
    ByItself(End),
    ByUs(AgentError),
}

fn failed(code: &str, message: &str) -> AgentError {
    AgentError::Failed { code: code.to_owned(), message: message.to_owned() }
}

fn restarting() -> AgentError {
    failed("server_restarting", "The server is restarting; ask again.")
}
