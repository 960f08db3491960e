//! How the server is: alive, ready, and in numbers.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use wireproof_protocol::UserId;

use crate::ws::Context;

/// `GET /health`: the process is alive. Asks no dependency.
pub async fn health() -> Response {
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
    // A read of a user nobody is asks the database, not a memory of it.
    let store = match UserId::new("wireproof-ready-probe") {
        Ok(nobody) => context.store.active_runs(Some(&nobody)).await.is_ok(),
        Err(_) => false,
    };
    let status = if store && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool, bad: &'static str| if good { "ok" } else { bad };
    let body = json!({
        "status": if status == StatusCode::OK { "ready" } else { "not_ready" },
        "store": word(store, "failing"),
        "accepting": word(!draining, "draining"),
        "connections": context.hub.connections(),
        "runs": context.runs.alive(),
    });
    (status, Json(body)).into_response()
}

/// `GET /metrics`: the counters in the text form of OpenMetrics.
pub async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.text()).into_response()
}
