//! Whether the server is alive, and ready for connections.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::app::Context;

/// `GET /health`: the process is alive. Needs no dependency.
pub async fn health() -> Response {
    Json(json!({
        "status": "healthy",
        "service": "wireproof",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": crate::clock::unix_now(),
    }))
    .into_response()
}

/// `GET /ready`: new connections are accepted, and the store answers.
pub async fn ready(State(context): State<Arc<Context>>) -> Response {
    let draining = context.shutdown.draining.is_cancelled();
    let store = context.store_answers().await;
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
