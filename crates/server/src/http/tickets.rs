//! Tickets over HTTP: a web page gets one for its token and opens a WebSocket with it.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::extract::Authenticated;
use crate::{app::Context, error::Refusal};

/// `POST /ws/ticket`: a ticket that opens one WebSocket as the bearer of the token.
pub async fn sell(
    State(context): State<Arc<Context>>,
    Authenticated(principal): Authenticated,
) -> Result<Response, Refusal> {
    let tickets = &context.auth.tickets;
    let ticket = tickets.sell(principal, Instant::now());
    let ticket = ticket.inspect_err(|_| context.metrics.limit_hit("tickets"))?;
    let body = Json(json!({ "ticket": ticket, "expires_in": tickets.life().as_secs_f64() }));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
