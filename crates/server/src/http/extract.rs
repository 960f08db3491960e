//! The user, the JSON body and the query of a request; each is refused with an error of the usual shape.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use wireproof_protocol::{ErrorCode, UserId, read_json};

use crate::{
    app::Context,
    auth::{AuthError, Principal},
    error::Refusal,
};

/// The principal that the [guard](super::guard) found; `None` on routes for everybody.
pub struct Authenticated(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| AuthError::Missing.into())
    }
}

/// The user of the request.
pub struct User(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Authenticated::from_request_parts(parts, state).await.map(|who| Self(who.0.user_id))
    }
}

/// The id in the address, as text; an id that is not UTF-8 is not found.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such thing."))
    }
}

/// Larger bodies, in bytes, are parsed off the threads that serve connections.
const SMALL_BODY: usize = 64 << 10;

/// A JSON object; an empty body is an empty object.
pub struct Object<T>(pub T);

impl<T> FromRequest<Arc<Context>> for Object<T>
where
    T: DeserializeOwned + Send + 'static,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Arc<Context>) -> Result<Self, Refusal> {
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    Refusal::new(ErrorCode::MessageTooLarge, "The body is too large.")
                }
                _ => Refusal::new(ErrorCode::InvalidFrame, "The body could not be read."),
            })?;
        if body.len() <= SMALL_BODY {
            return object(&body).map(Self);
        }
        let broken = || Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again.");
        let turn = state.large_bodies.clone().acquire_owned().await.map_err(|_| broken())?;
        let read = tokio::task::spawn_blocking(move || {
            // Owned by the parsing: its caller may go away before it ends.
            let _turn = turn;
            object(&body).map(Self)
        });
        read.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    let value = read_json(text).map_err(|sentence| Refusal::new(ErrorCode::InvalidJson, sentence))?;
    if !value.is_object() {
        return Err(Refusal::new(ErrorCode::InvalidFrame, "The body must be a JSON object."));
    }
    serde_json::from_value(value).map_err(|e| {
        let missing = e.to_string().starts_with("missing field");
        let code = if missing { ErrorCode::MissingField } else { ErrorCode::InvalidFrame };
        let what = if missing { e.to_string() } else { "a field is of the wrong type".to_owned() };
        Refusal::new(code, format!("The body cannot be used: {what}."))
    })
}

/// The parameters of a query string.
pub struct Parameters<T>(pub T);

impl<T, S> FromRequestParts<S> for Parameters<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|_| Refusal::new(ErrorCode::InvalidFrame, "A parameter of the query cannot be used."))
    }
}
