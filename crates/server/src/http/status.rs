//! How the server is: alive, ready, and in numbers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use wireproof_protocol::UserId;

use crate::{sabotage::Bug, ws::Context};

/// `GET /health`: the process is alive. Asks no dependency.
pub async fn health(State(context): State<Arc<Context>>) -> Response {
    if context.bugs.on(Bug::HealthFails) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    Json(json!({
        "status": "healthy",
        "service": "wireproof",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": crate::clock::unix_now(),
    }))
    .into_response()
}

/// `GET /ready`: new connections are welcome, and the store answers.
pub async fn ready(State(context): State<Arc<Context>>) -> Response {
    let draining = context.shutdown.draining.is_cancelled();
    let store = store_answers(&context).await;
    let status = if store && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let body = json!({
        "status": if status == StatusCode::OK { "ready" } else { "not_ready" },
        "store": word(store, "failing"),
        "accepting": word(!draining, "draining"),
        "connections": context.hub.connections(),
        "runs": context.runs.alive(),
    });
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = if draining { context.shutdown.retry_after().as_secs() } else { 1 };
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, wait.into());
    }
    response
}

/// How long an answer of the store counts.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Whether the store can be read, as it was seen within the last second: whoever asks, the database is read once.
pub struct StoreHealth(Mutex<(Option<Instant>, bool)>);

impl Default for StoreHealth {
    fn default() -> Self {
        // It has just been read, at the start.
        Self(Mutex::new((None, true)))
    }
}

impl StoreHealth {
    fn state(&self) -> MutexGuard<'_, (Option<Instant>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen, when nobody has to look now. Who has to look is the only one to.
    fn remembered(&self, now: Instant) -> Option<bool> {
        let mut state = self.state();
        let (seen, answers) = *state;
        if seen.is_some_and(|seen| now < seen + REMEMBERED) {
            return Some(answers);
        }
        state.0 = Some(now);
        None
    }
}

/// True when the store can be read, and what writes is alive.
pub async fn store_answers(context: &Context) -> bool {
    if context.store.ended().is_cancelled() {
        return false;
    }
    if let Some(answers) = context.store_health.remembered(Instant::now()) {
        return answers;
    }
    // A read of a user nobody is asks the database, not a memory of it.
    let answers = match UserId::new("wireproof-ready-probe") {
        Ok(nobody) => context.store.active_runs(Some(&nobody)).await.is_ok(),
        Err(_) => false,
    };
    context.store_health.state().1 = answers;
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: `/ready` and `/ws/health` read the database for whoever asked, as often as they asked.
    #[test]
    fn the_database_is_looked_at_once_a_second_whoever_asks() {
        let (health, now) = (StoreHealth::default(), Instant::now());
        assert_eq!(health.remembered(now), None, "the first has to look");
        assert_eq!(health.remembered(now), Some(true), "who asks meanwhile hears what was so before");
        health.state().1 = false;
        assert_eq!(health.remembered(now + REMEMBERED / 2), Some(false));
        assert_eq!(health.remembered(now + REMEMBERED), None);
        assert_eq!(health.remembered(now + REMEMBERED), Some(false));
    }
}
