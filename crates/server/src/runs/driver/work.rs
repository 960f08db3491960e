//! A run's agent at work: what it says is taken and stored until it ends, or is ended.

use std::{sync::Arc, time::Instant};

use tokio::{task::JoinError, time::sleep_until};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use wireproof_agents::{AgentError, Emission, EmissionReceiver, RunContext, emissions};
use wireproof_protocol::RunViolation;

use super::{AgentResult, Progress, Run, restarting};
use crate::{
    clock::unix_now,
    runs::{Runs, recorder::NotTaken},
};

/// Emissions that may wait for the store; a full channel makes the agent wait.
const EMISSIONS: usize = 256;
/// Bytes of them that may wait.
const EMISSION_BYTES: u32 = 1 << 20;
/// How often an agent may go on before what it said is stored.
const GATHERS: usize = 4;

/// An agent that has begun; it is ended when this is dropped.
pub struct Work {
    agent: AbortOnDropHandle<AgentResult>,
    said: EmissionReceiver,
    /// Tells the agent to stop when it is dropped.
    stop: DropGuard,
    /// Held until the message is stored; until then a search waits.
    message_pending: Option<DropGuard>,
    /// Why the run has to end, found before it was stored.
    failed_early: Option<AgentError>,
}

/// Why listening to an agent came to its end.
enum Stopped {
    ByItself(AgentResult),
    ByUs(AgentError),
}

impl Work {
    /// Lets searches begin: the run's message is stored.
    fn message_is_stored(&mut self) {
        self.message_pending = None;
    }
}

impl Run {
    /// Lets the agent begin, in a task of its own.
    pub(super) fn spawn_agent(&self, runs: &Runs) -> Work {
        let (emissions, said) = emissions(EMISSIONS, EMISSION_BYTES);
        let (stop, stored) = (CancellationToken::new(), CancellationToken::new());
        let (user_id, thread_id) = (self.user_id.clone(), self.thread_id.clone());
        let earlier = runs.earlier_for(&user_id, &thread_id, self.message_id, stored.clone());
        let search = runs.search_for(&user_id, stored.clone());
        let context = RunContext::new(user_id, thread_id, self.run_id, self.content.clone(), emissions)
            .with_cancelled(stop.clone())
            .with_history(self.message_id, earlier)
            .with_search(search)
            .with_usage(self.usage.clone());
        // The call itself stands inside the task: an agent may panic before it returns its future.
        let agent = self.agent.clone();
        let agent = AbortOnDropHandle::new(tokio::spawn(async move { agent.run(context).await }));
        Work {
            agent,
            said,
            stop: stop.drop_guard(),
            message_pending: Some(stored.drop_guard()),
            failed_early: None,
        }
    }

    /// Lets the agent begin before the run is stored, and takes what it says at once: nothing of it is stored or delivered
    /// before the message is. The end of an agent that ends at once is decided.
    pub async fn begin(&mut self, runs: &Runs) {
        if self.slot.is_queued() {
            return;
        }
        let mut work = self.spawn_agent(runs);
        match self.gather(&mut work.said).await {
            Ok(()) if work.agent.is_finished() && !self.slot.cancelled.is_cancelled() => {
                let end = self.joined((&mut work.agent).await);
                let end = self.take_rest(work.said, end);
                self.progress = Progress::Decided(Arc::new(self.decide_end(end)));
                return;
            }
            Ok(()) => {}
            Err(e) => work.failed_early = Some(e),
        }
        self.progress = Progress::Begun(Box::new(work));
    }

    /// Takes and stores what the agent says until its end.
    pub async fn work_to_end(&mut self, runs: &Runs, mut work: Work) -> AgentResult {
        work.message_is_stored();
        let ended = match work.failed_early.take() {
            Some(why) => Stopped::ByUs(why),
            None => self.listen(runs, &mut work).await,
        };
        drop(work.stop);
        let end = match ended {
            Stopped::ByItself(end) => end,
            Stopped::ByUs(why) => {
                if !self.listen_in_grace(runs, &mut work.agent, &mut work.said).await {
                    work.agent.abort();
                }
                Err(why)
            }
        };
        self.take_rest(work.said, end)
    }

    /// Takes what an agent said before it ended.
    fn take_rest(&mut self, mut said: EmissionReceiver, end: AgentResult) -> AgentResult {
        said.close();
        while let Some(emission) = said.try_recv() {
            if end.is_ok() {
                self.take(emission)?;
            } else {
                let _ = self.recorder.take(emission, Instant::now(), unix_now());
            }
        }
        end
    }

    async fn listen(&mut self, runs: &Runs, work: &mut Work) -> Stopped {
        let Work { agent, said, .. } = work;
        let deadline = tokio::time::Instant::now() + runs.limits.run;
        let mut open = true;
        loop {
            if self.recorder.has_events() {
                if let Err(e) = self.gather(said).await {
                    return Stopped::ByUs(e);
                }
                if agent.is_finished() && !self.slot.cancelled.is_cancelled() {
                    return Stopped::ByItself(self.joined((&mut *agent).await));
                }
                if let Err(e) = self.append(runs).await {
                    return Stopped::ByUs(self.store_failed(&e));
                }
            }
            let due = self.recorder.due();
            tokio::select! {
                biased;
                () = self.slot.cancelled.cancelled() => return Stopped::ByUs(AgentError::Cancelled),
                () = runs.draining.cancelled() => return Stopped::ByUs(restarting()),
                () = sleep_until(deadline) => return Stopped::ByUs(AgentError::failed("run_timeout", "The run took too long and was ended.")),
                first = said.recv(), if open => {
                    open = first.is_some();
                    if let Some(emission) = first && let Err(e) = self.take(emission) {
                        return Stopped::ByUs(e);
                    }
                }
                joined = &mut *agent => return Stopped::ByItself(self.joined(joined)),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    if let Err(violation) = self.recorder.tick(Instant::now(), unix_now()) {
                        return Stopped::ByUs(self.broke_rules(&violation));
                    }
                }
            }
        }
    }

    /// Takes what the agent has said and says at once, so that one transaction stores it; of an agent that ends at once, all
    /// goes with the end. Bounded, so that an agent that never stops is heard.
    async fn gather(&mut self, said: &mut EmissionReceiver) -> Result<(), AgentError> {
        let mut taken = 0;
        for _ in 0..GATHERS {
            tokio::task::yield_now().await;
            let before = taken;
            while taken < EMISSIONS
                && let Some(emission) = said.try_recv()
            {
                self.take(emission)?;
                taken += 1;
            }
            if taken == before || taken == EMISSIONS {
                break;
            }
        }
        Ok(())
    }

    /// Takes what the agent says while it stops, so that it never waits for us. True when it stopped within the grace.
    async fn listen_in_grace(
        &mut self,
        runs: &Runs,
        agent: &mut AbortOnDropHandle<AgentResult>,
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
                    let _ = self.recorder.take(emission, Instant::now(), unix_now());
                    if self.recorder.is_full() {
                        // An agent that cannot say any more ends by itself, and soon.
                        said.close();
                    }
                    if self.recorder.has_events() && self.append(runs).await.is_err() {
                        return false;
                    }
                }
                _ = &mut *agent => return true,
            }
        }
    }

    fn take(&mut self, emission: Emission) -> Result<(), AgentError> {
        self.recorder
            .take(emission, Instant::now(), unix_now())
            .map_err(|not_taken| match not_taken {
                NotTaken::Rule(violation) => self.broke_rules(&violation),
                NotTaken::Bound(exceeded) => {
                    tracing::warn!(run_id = %self.run_id, agent = self.agent.name(), code = exceeded.code(), "an agent went beyond a bound: its run ends");
                    self.counts.exceeded(exceeded.code());
                    exceeded.into()
                }
            })
    }

    fn joined(&self, joined: Result<AgentResult, JoinError>) -> AgentResult {
        match joined {
            Ok(Err(AgentError::Cancelled)) => {
                Err(AgentError::failed("agent_stopped", "The agent stopped by itself."))
            }
            Ok(end) => end,
            // Not what it said: that may hold what the user said.
            Err(_) => {
                tracing::error!(run_id = %self.run_id, agent = self.agent.name(), "an agent panicked");
                Err(AgentError::failed("agent_panicked", "The agent failed with an internal error."))
            }
        }
    }

    fn broke_rules(&self, violation: &RunViolation) -> AgentError {
        tracing::error!(run_id = %self.run_id, agent = self.agent.name(), %violation, "an agent broke the rules of a run");
        AgentError::failed("agent_broke_rules", "The agent said something that no run may say.")
    }
}
