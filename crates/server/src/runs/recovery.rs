//! The leases of this node's runs, and the one end of the runs that a dead node left.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wireproof_agents::AgentError;
use wireproof_protocol::{EventBody, Outcome};

use super::{RunLimits, Runs, recorder::RunRecorder};
use crate::{
    clock::unix_now,
    delivery::{Publisher, snapshot::RunHistory},
    store::{FinishRun, Lease, LeaseTerm, RunRecord, Store, StoreError, in_time},
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
            let mut done = 0;
            for (run, lease) in &left {
                done += usize::from(self.end_left(run, *lease).await?);
            }
            ended += done;
            // Those that are not ended, for the store is away, are taken over again once their leases are over; so is the rest.
            if done < PORTION {
                break;
            }
        }
        if ended > 0 {
            tracing::info!(runs = ended, "ended the runs that a dead process left");
        }
        Ok(ended)
    }

    /// Ends a run that was taken over; false when the store is away.
    async fn end_left(&self, run: &RunRecord, lease: Lease) -> Result<bool, StoreError> {
        let store = &*self.store;
        match in_time(self.limits.store_patience(), end(store, &self.publisher, run, lease)).await {
            // It was ended meanwhile, here or elsewhere.
            Ok(()) | Err(StoreError::LeaseLost | StoreError::NotFound) => Ok(true),
            // Its end must be an event that users see: it is ended when its lease is over once more.
            Err(e @ StoreError::Unavailable(_)) => {
                tracing::warn!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run is ended later");
                Ok(false)
            }
            // One run whose log is broken must not keep everybody's server down.
            Err(e) => {
                tracing::error!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run could not be ended");
                in_time(self.limits.store_patience(), close(store, run, lease)).await.map(|()| true)
            }
        }
    }
}

/// Closes a run whose log cannot be read: it is no longer active, though no event says so.
async fn close(store: &dyn Store, run: &RunRecord, lease: Lease) -> Result<(), StoreError> {
    let finish = FinishRun {
        user_id: run.user_id.clone(),
        lease,
        events: Vec::new(),
        outcome: Outcome::Failed,
        answer: None,
        now: unix_now(),
    };
    // There is no event to publish.
    store.finish_run(Arc::new(finish)).await.map(drop)
}

async fn end(
    store: &dyn Store,
    publisher: &Publisher,
    run: &RunRecord,
    lease: Lease,
) -> Result<(), StoreError> {
    let head = store.head(&run.user_id).await?.seq;
    let history = RunHistory::read(store, run, head).await?;
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
    if !started && let Err(violation) = recorder.start(format!("{agent_name} was waiting for its turn."), now)
    {
        return Err(StoreError::Backend(format!("run {} cannot be ended: {violation}", run.run_id)));
    }
    let error = AgentError::Failed {
        code: "server_restarted".to_owned(),
        message: "The server restarted before the run ended; ask again.".to_owned(),
    };
    let (outcome, answer) = recorder.finish(Err(error), (now - run.created_at).max(0.0) * 1e3, now);
    let events = recorder.drain();
    debug_assert!(events.last().is_some_and(|event| matches!(event.body, EventBody::AgentCompleted { .. })));
    tracing::info!(run_id = %run.run_id, user_id = %run.user_id, "ended a run that a dead process left");
    let finish = FinishRun { user_id, lease, events, outcome, answer, now };
    let ended = match store.finish_run(Arc::new(finish.clone())).await {
        Err(StoreError::QuotaExceeded(full)) => store.finish_run(Arc::new(finish.without_answer(full))).await,
        ended => ended,
    };
    publisher.publish(ended?);
    Ok(())
}
