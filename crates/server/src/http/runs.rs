//! Runs over REST.

use std::sync::Arc;

use axum::{Json, extract::State};
use wireproof_protocol::{ControlBody, ErrorCode, RunId};

use super::extract::{Id, User};
use crate::{app::Context, error::Refusal, store::RunRecord};

fn run_id(text: &str) -> Result<RunId, Refusal> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such run."))
}

/// `GET /api/runs/{id}`
pub async fn show(
    State(context): State<Arc<Context>>,
    User(user): User,
    Id(id): Id,
) -> Result<Json<RunRecord>, Refusal> {
    context.runs.run(&user, run_id(&id)?).await.map(Json)
}

/// `POST /api/runs/{id}/cancel`: for a run that is over, the answer is how it ended.
pub async fn cancel(
    State(context): State<Arc<Context>>,
    User(user): User,
    Id(id): Id,
) -> Result<Json<ControlBody>, Refusal> {
    context.runs.cancel(&user, run_id(&id)?).await.map(Json)
}
