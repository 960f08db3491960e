//! The leases of this node's runs, and the one end of the runs that a dead node left.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wireproof_agents::AgentError;
use wireproof_protocol::{EventBody, Outcome};

use super::{Runs, recorder::RunRecorder};
use crate::{
    delivery::{Publisher, snapshot::RunHistory},
    store::{FinishRun, Lease, RunRecord, Store, StoreError},
};

/// How long a node may not be heard of before others end its runs.
pub const LEASE: Duration = Duration::from_secs(30);

/// Lets the leases of this node's runs go on, and ends what dead nodes leave, until `stop`.
pub async fn keep_leases(runs: Arc<Runs>, stop: CancellationToken) {
    let mut renewal = tokio::time::interval(LEASE / 3);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    renewal.tick().await;
    while stop.run_until_cancelled(renewal.tick()).await.is_some() {
        if let Err(e) = runs.keep_leases().await {
            // There is time for two more tries.
            tracing::warn!(error = %e, "the leases of runs could not be kept");
        }
    }
}

impl Runs {
    async fn keep_leases(&self) -> Result<(), StoreError> {
        if self.alive() > 0 {
            // First: after a pause of the whole process these are not ended by itself.
            self.store.renew_leases(self.node_id, until()).await?;
        }
        self.recover().await.map(drop)
    }

    /// Ends every run as failed that is not over and that nobody leases. Returns how many there were.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let store = &*self.store;
        let left = store.take_over_runs(self.node_id, crate::clock::unix_now(), until()).await?;
        for (run, lease) in &left {
            match end(store, &self.publisher, run, *lease).await {
                Ok(()) => {}
                // It was ended meanwhile, here or elsewhere.
                Err(StoreError::LeaseLost | StoreError::NotFound) => {}
                // Its end must be an event that users see: it is ended when its lease is over once more.
                Err(e @ StoreError::Unavailable(_)) => {
                    tracing::warn!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run is ended later");
                }
                // One run whose log is broken must not keep everybody's server down.
                Err(e) => {
                    tracing::error!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run could not be ended");
                    close(store, run, *lease).await?;
                }
            }
        }
        if !left.is_empty() {
            tracing::info!(runs = left.len(), "ended the runs that a dead process left");
        }
        Ok(left.len())
    }
}

fn until() -> f64 {
    crate::clock::unix_now() + LEASE.as_secs_f64()
}

/// Closes a run whose log cannot be read: it is no longer active, though no event says so.
async fn close(store: &dyn Store, run: &RunRecord, lease: Lease) -> Result<(), StoreError> {
    let finish = FinishRun {
        user_id: run.user_id.clone(),
        lease,
        events: Vec::new(),
        outcome: Outcome::Failed,
        answer: None,
        now: crate::clock::unix_now(),
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
    let now = crate::clock::unix_now();
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
