//! At the start of a server, the runs that a dead process left get their one end.

use std::sync::Arc;

use wireproof_agents::AgentError;
use wireproof_protocol::{EventBody, Outcome};

use super::recorder::Recorder;
use crate::{
    delivery::snapshot::RunHistory,
    store::{FinishRun, RunRecord, Store, StoreError},
};

/// Ends every run that is not over as failed. Returns how many there were.
pub async fn recover(store: &dyn Store) -> Result<usize, StoreError> {
    let left = store.active_runs(None).await?;
    for run in &left {
        if let Err(e) = end(store, run).await {
            // One run whose log is broken must not keep everybody's server down.
            tracing::error!(run_id = %run.run_id, user_id = %run.user_id, error = %e, "a run could not be ended");
            close(store, run).await?;
        }
    }
    Ok(left.len())
}

/// Closes a run whose log cannot be read: it is no longer active, though no event says so.
async fn close(store: &dyn Store, run: &RunRecord) -> Result<(), StoreError> {
    let finish = FinishRun {
        user_id: run.user_id.clone(),
        run_id: run.run_id,
        events: Vec::new(),
        outcome: Outcome::Failed,
        answer: None,
        now: crate::clock::unix_now(),
    };
    store.finish_run(Arc::new(finish)).await.map(drop)
}

async fn end(store: &dyn Store, run: &RunRecord) -> Result<(), StoreError> {
    let head = store.head(&run.user_id).await?.seq;
    let history = RunHistory::read(store, run, head).await?;
    let now = crate::clock::unix_now();
    let started = history.rules.is_running();
    let (user_id, agent_name) = (run.user_id.clone(), run.agent_name.clone());
    let mut recorder =
        Recorder::new(user_id.clone(), run.thread_id.clone(), run.run_id, agent_name.clone(), history.rules);
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
    let run_id = run.run_id;
    let finish = FinishRun { user_id, run_id, events, outcome, answer, now };
    match store.finish_run(Arc::new(finish.clone())).await {
        Err(StoreError::QuotaExceeded(full)) => store.finish_run(Arc::new(finish.without_answer(full))).await,
        ended => ended,
    }
    .map(drop)
}
