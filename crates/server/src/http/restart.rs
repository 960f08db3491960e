//! Starting again in place, for a restored store and for settings that are read at the start.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use super::extract::User;
use crate::app::Context;

/// `POST /api/admin/restart`: the server drains, closes and starts again in the same process, at the same address.
pub async fn restart(State(context): State<Arc<Context>>, User(admin): User) -> (StatusCode, Json<Value>) {
    tracing::warn!(%admin, "an administrator restarts the server");
    context.shutdown.ask_restart();
    (StatusCode::ACCEPTED, Json(json!({ "restarting": true })))
}
