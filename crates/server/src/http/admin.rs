//! The admin API: lists and ends connections, revokes tokens, drains. Every act is logged with the administrator and
//! the user concerned.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wireproof_protocol::{ConnectionId, ErrorBody, ErrorCode, UserId};

use super::extract::{Id, Object, Parameters, User};
use crate::{
    app::{Context, revoke::ENDED},
    broker::Notice,
    clock::unix_now,
    error::Refusal,
    hub::{ConnectionCommand, ConnectionHandle},
    limits::ClientAddress,
    shutdown::DrainOptions,
    store::Revoked,
};

/// Connections on a page by default, and at most.
const PAGE: (usize, usize) = (50, 1000);
/// Longest id of a token or a login, in bytes.
const LONGEST_ID: usize = 1024;

type Shared = State<Arc<Context>>;

/// Selects connections.
#[derive(Deserialize)]
pub struct ConnectionFilter {
    user_id: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

/// One connection, as an administrator sees it.
#[derive(Serialize)]
struct Shown {
    connection_id: ConnectionId,
    user_id: UserId,
    #[serde(serialize_with = "as_text")]
    address: ClientAddress,
    since: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    expires_at: f64,
    permissions: Vec<&'static str>,
    queued_bytes: usize,
}

fn as_text<S: serde::Serializer>(address: &ClientAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

impl Shown {
    fn of(handle: &ConnectionHandle) -> Self {
        let principal = handle.principal().clone();
        Self {
            connection_id: handle.connection_id,
            user_id: principal.user_id,
            address: handle.address,
            since: handle.since,
            token_id: principal.token_id,
            session_id: principal.session_id,
            expires_at: principal.expires_at,
            permissions: principal.permissions.names(),
            queued_bytes: handle.feed().queued_bytes(),
        }
    }
}

/// `GET /api/admin/connections?user_id=&limit=&offset=`: the oldest first.
pub async fn connections(
    State(context): Shared,
    Parameters(asked): Parameters<ConnectionFilter>,
) -> Result<Json<Value>, Refusal> {
    let picked = |handle: &ConnectionHandle| {
        let wanted = asked.user_id.as_deref();
        wanted.is_none_or(|user_id| handle.principal().user_id.as_str() == user_id)
    };
    let mut found = context.hub.connections_where(picked);
    // An id begins with the time of its making.
    found.sort_unstable_by_key(|handle| handle.connection_id.to_string());
    let (limit, offset) = (asked.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1), asked.offset.unwrap_or(0));
    let page: Vec<_> = found.iter().skip(offset).take(limit).map(|handle| Shown::of(handle)).collect();
    Ok(Json(json!({ "connections": page, "total": found.len(), "limit": limit, "offset": offset })))
}

/// `DELETE /api/admin/connections/{id}`
pub async fn end(State(context): Shared, User(admin): User, Id(id): Id) -> Result<StatusCode, Refusal> {
    let connection_id = id.parse::<ConnectionId>().ok();
    let found = context.hub.connections_where(|handle| Some(handle.connection_id) == connection_id);
    let Some(handle) = found.first() else {
        return Err(Refusal::new(ErrorCode::NotFound, "There is no such connection."));
    };
    handle.command(ConnectionCommand::End(ENDED.0, ENDED.1));
    let user_id = handle.principal().user_id.clone();
    tracing::warn!(%admin, %user_id, connection_id = %handle.connection_id, "an administrator ended a connection");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/admin/users/{id}/disconnect`: all connections of a user; they may come back at once.
pub async fn disconnect(
    State(context): Shared,
    User(admin): User,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    let user_id = user_id(&id)?;
    // Here whatever the clock says; elsewhere the notice may come after the user did.
    let ended = context.disconnect(&user_id, None);
    context.publisher.tell(Notice::Kick(user_id.clone(), unix_now()));
    tracing::warn!(%admin, %user_id, connections = ended, "an administrator disconnected a user");
    Ok(Json(json!({ "disconnected": ended })))
}

/// What shall no longer count: one of the three.
#[derive(Deserialize)]
pub struct RevokeBody {
    token_id: Option<String>,
    session_id: Option<String>,
    user_id: Option<String>,
}

/// `POST /api/admin/revoke` `{token_id | session_id | user_id}`: from now on, for as long as a token can live, and
/// connections end.
pub async fn revoke(
    State(context): Shared,
    User(admin): User,
    Object(asked): Object<RevokeBody>,
) -> Result<Json<Value>, Refusal> {
    let what = match (asked.token_id, asked.session_id, asked.user_id) {
        (Some(id), None, None) => Revoked::Token(known_length(id, "token_id")?),
        (None, Some(id), None) => Revoked::Session(known_length(id, "session_id")?),
        (None, None, Some(id)) => Revoked::User(user_id(&id)?),
        _ => {
            let sentence = "The body must name one of token_id, session_id and user_id.";
            return Err(Refusal::new(ErrorCode::InvalidFrame, sentence));
        }
    };
    context.may_revoke(&what)?;
    let until = unix_now() + context.auth.keys.longest_concern();
    let ended = context.revoke(what.clone(), until).await?;
    tracing::warn!(%admin, revoked = ?what, connections = ended, "an administrator revoked");
    Ok(Json(json!({ "disconnected": ended })))
}

fn known_length(id: String, field: &str) -> Result<String, Refusal> {
    if (1..=LONGEST_ID).contains(&id.len()) {
        return Ok(id);
    }
    let sentence = format!("The field \"{field}\" must have 1 to {LONGEST_ID} bytes.");
    Err(ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", field).into())
}

fn user_id(text: &str) -> Result<UserId, Refusal> {
    UserId::new(text).map_err(|_| Refusal::new(ErrorCode::NotFound, "There can be no such user."))
}

/// How the server shall go away; what is absent is as the settings say.
#[derive(Deserialize)]
pub struct DrainBody {
    seconds: Option<f64>,
    spread_seconds: Option<f64>,
}

/// `POST /api/admin/drain` `{seconds?, spread_seconds?}`: the server goes away as when it is told to stop.
pub async fn drain(
    State(context): Shared,
    User(admin): User,
    Object(asked): Object<DrainBody>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let options = DrainOptions { patience: seconds(asked.seconds)?, spread: seconds(asked.spread_seconds)? };
    tracing::warn!(%admin, ?options, "an administrator drains the server");
    context.shutdown.ask(options);
    Ok((StatusCode::ACCEPTED, Json(json!({ "draining": true }))))
}

fn seconds(given: Option<f64>) -> Result<Option<std::time::Duration>, Refusal> {
    let refused = || Refusal::new(ErrorCode::InvalidFrame, "Seconds must be from 0 to 86400.");
    given
        .map(|given| match given {
            0.0..=86400.0 => Ok(std::time::Duration::from_secs_f64(given)),
            _ => Err(refused()),
        })
        .transpose()
}
