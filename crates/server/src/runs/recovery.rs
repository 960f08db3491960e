//! The leases of this node's runs, and the one end of the runs that a dead node left.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wireproof_agents::AgentError;
use wireproof_protocol::{EventBody, Outcome, Usage};

use super::{RunLimits, Runs, recorder::RunRecorder};
use crate::{
    clock::unix_now,
    delivery::snapshot::RunHistory,
    store::{FinishRun, Lease, LeaseTerm, RunRecord, StoreError, in_time},
};

#[cfg(test)]
mod tests;

/// Runs that are taken over at once.
const PORTION: usize = 64;

/// Lets the leases of this node's runs go on until `stop`.
pub async fn keep_leases(runs: Arc<Runs>, stop: CancellationToken) {
    every_tick(&runs, &stop, || async {
        if let Err(e) = in_time(runs.limits.store_patience(), runs.renew_leases()).await {
            tracing::warn!(error = %e, "the leases of runs could not be renewed");
        }
    })
    .await;
}

/// Ends what dead nodes leave, until `stop`. Apart from the renewals, which must not wait for it.
pub async fn end_left_runs(runs: Arc<Runs>, stop: CancellationToken) {
    every_tick(&runs, &stop, || async {
        if let Err(e) = runs.recover().await {
            tracing::warn!(error = %e, "the runs that nobody leases could not be ended");
        }
    })
    .await;
}

async fn every_tick<F: Future<Output = ()>>(
    runs: &Runs,
    stop: &CancellationToken,
    mut work: impl FnMut() -> F,
) {
    let mut ticks = tokio::time::interval(runs.limits.renewal());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if stop.run_until_cancelled(work()).await.is_none() {
            return;
        }
    }
}

impl RunLimits {
    /// Between two renewals of leases, and between two looks for runs that nobody leases: there is time for two more tries.
    fn renewal(&self) -> Duration {
        self.lease / 3
    }

    /// How long the store may take for one renewal, or for the end of one run; after it the store counts as away.
    fn store_patience(&self) -> Duration {
        self.lease / 3
    }
}

impl Runs {
    /// A lease of this node that begins now.
    pub(super) fn lease_term(&self) -> LeaseTerm {
        LeaseTerm { node_id: self.node_id, until: unix_now() + self.limits.lease.as_secs_f64() }
    }

    /// Renews the leases of the runs that are driven here. The lease of another one runs out, such as that of a run whose
    /// start was stored and not answered: so it gets its end.
    async fn renew_leases(&self) -> Result<(), StoreError> {
        let driven = self.registry.run_ids();
        if driven.is_empty() {
            return Ok(());
        }
        self.store.renew_leases(self.lease_term(), &driven).await
    }

    /// Leases to this node some of the runs that nobody leases. Those that are driven here are not left, also when their
    /// leases are over: after a pause of the process nothing was renewed.
    async fn take_over(&self) -> Result<Vec<(RunRecord, Lease)>, StoreError> {
        // In this order: a run that is claimed behind both is leased from a later time on.
        let now = unix_now();
        let driven = self.registry.run_ids();
        let taken = self.store.take_over_runs(self.lease_term(), &driven, now, PORTION);
        in_time(self.limits.store_patience(), taken).await
    }

    /// Ends every run as failed that is not over and that nobody leases. Returns how many there were.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let mut ended = 0;
        loop {
            let left = self.take_over().await?;
            let (mut done, mut is_away) = (0, false);
            for (run, lease) in &left {
                match self.end_left(run, *lease).await {
                    Ok(()) => done += 1,
                    // The others would wait as long each.
                    Err(StoreError::Unavailable(_)) => {
                        is_away = true;
                        break;
                    }
                    Err(_) => {}
                }
            }
            ended += done;
            // Those that are not ended are taken over again once their leases are over.
            if is_away || done == 0 || left.len() < PORTION {
                break;
            }
        }
        if ended > 0 {
            tracing::info!(runs = ended, "ended the runs that a dead process left");
        }
        Ok(ended)
    }

    /// Ends a run that was taken over. After an error it is not over: its end must be an event that users see, and a store
    /// that is away, or whose disk is full, takes that later.
    async fn end_left(&self, run: &RunRecord, lease: Lease) -> Result<(), StoreError> {
        let patience = self.limits.store_patience();
        let ended = match in_time(patience, self.last_of(run, lease)).await {
            Ok(Some(finish)) => in_time(patience, self.store_end_of_left(finish)).await,
            // One run whose log is broken must not keep everybody's server down.
            Ok(None) => in_time(patience, self.store_end_of_left(without_events(run, lease))).await,
            Err(e) => Err(e),
        };
        match ended {
            Ok(()) => {
                tracing::info!(run_id = %run.run_id, user_id = %run.user_id, "ended a run that a dead process left");
                Ok(())
            }
            // It was ended meanwhile, here or elsewhere.
            Err(StoreError::LeaseLost | StoreError::NotFound) => Ok(()),
            Err(e) => {
                tracing::warn!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run is ended later");
                Err(e)
            }
        }
    }

    /// The end of a run that was left, behind what its log says; none when no event can follow that: the log cannot be
    /// parsed, or breaks the rules of a run.
    async fn last_of(&self, run: &RunRecord, lease: Lease) -> Result<Option<FinishRun>, StoreError> {
        let head = self.store.head(&run.user_id).await?.seq;
        let history = match RunHistory::read(&*self.store, run, head).await? {
            Ok(history) => history,
            Err(broken) => {
                tracing::error!(run_id = %run.run_id, user_id = %run.user_id, error = %broken, "a run ends without an event");
                return Ok(None);
            }
        };
        let now = unix_now();
        let started = history.rules.is_running();
        let (user_id, agent_name) = (run.user_id.clone(), run.agent_name.clone());
        let mut recorder = RunRecorder::new(
            user_id.clone(),
            run.thread_id.clone(),
            run.run_id,
            agent_name.clone(),
            history.rules,
        );
        let waited = format!("{agent_name} was waiting for its turn.");
        if !started && let Err(violation) = recorder.start(waited, now) {
            tracing::error!(run_id = %run.run_id, user_id = %run.user_id, %violation, "a run ends without an event");
            return Ok(None);
        }
        let error =
            AgentError::failed("server_restarted", "The server restarted before the run ended; ask again.");
        let duration_ms = (now - run.created_at).max(0.0) * 1e3;
        // What it cost was known to the dead process alone.
        let (outcome, answer) = recorder.finish(Err(error), Usage::default(), duration_ms, now);
        let events = recorder.drain();
        debug_assert!(
            events.last().is_some_and(|event| matches!(event.body, EventBody::AgentCompleted { .. }))
        );
        Ok(Some(FinishRun { user_id, lease, events, outcome, answer, now }))
    }

    /// Stores the end, without the answer when a quota has no room for that. It goes on when its caller waits no longer: what
    /// it commits has to be published, and that may be events of others too.
    async fn store_end_of_left(&self, finish: FinishRun) -> Result<(), StoreError> {
        let store = self.store.clone();
        let write = async move {
            match store.finish_run(Arc::new(finish.clone())).await {
                Err(StoreError::QuotaExceeded(full)) => {
                    store.finish_run(Arc::new(finish.without_answer(full))).await
                }
                ended => ended,
            }
        };
        self.publisher.carry_out(write).await.map(drop)
    }
}

/// The end of a run whose log takes no event: it is no longer active, though no event says so.
fn without_events(run: &RunRecord, lease: Lease) -> FinishRun {
    FinishRun {
        user_id: run.user_id.clone(),
        lease,
        events: Vec::new(),
        outcome: Outcome::Failed,
        answer: None,
        now: unix_now(),
    }
}
