//! How fast users may ask over HTTP: in the same buckets as over the socket. And how a body comes: in time, and as it
//! is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::{BODY_BYTES, accounts, guard::Operator};
use crate::{
    auth::Principal,
    error::Refusal,
    limits::{Address, rates::Allowance, silent::Listener},
    ws::Context,
};

/// Counts the request of a known user, a read as other frames and everything else as a message; then takes its body.
pub async fn keep(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    // The operator is bounded by its socket, and never kept from its server by what users may do.
    let counted = extensions.get::<Operator>().is_none();
    let user = extensions.get::<Principal>().filter(|_| counted).map(|principal| &principal.user_id);
    let allowance = user
        .zip(extensions.get::<Address>())
        .map(|(user_id, address)| context.rates.allowance(user_id, *address));
    if let Some(allowance) = &allowance {
        let now = Instant::now();
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        let counted = if read { allowance.other(now) } else { allowance.message(now) };
        if let Err(exceeded) = counted {
            return Refusal::from(exceeded).into_response();
        }
    }
    if request.body().is_end_stream() || !has_route(&request) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    // Who has not said who it is makes room for others while its body does not come.
    let waiting = head.extensions.get::<Arc<Listener>>().filter(|_| allowance.is_none());
    waiting.inspect(|listener| listener.silent_again(Instant::now()));
    let whole = whole(&context, body, allowance.as_ref()).await;
    waiting.inspect(|listener| listener.spoke());
    match whole {
        Ok(body) => next.run(Request::from_parts(head, body)).await,
        Err(response) => *response,
    }
}

fn has_route(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some()
}

/// The whole body, if it comes in time, is not too large, and the user may still send as much.
async fn whole(context: &Context, body: Body, allowance: Option<&Allowance>) -> Result<Body, Box<Response>> {
    let time = Duration::from_secs_f64(context.limits.body_seconds);
    let most = if allowance.is_some() { BODY_BYTES } else { accounts::BODY_BYTES };
    let bytes = match tokio::time::timeout(time, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(e)) if is_too_large(&e) => {
            let refusal = Refusal::new(ErrorCode::MessageTooLarge, "The body is too large.");
            return Err(Box::new(refusal.into_response()));
        }
        Ok(Err(_)) => {
            let refusal = Refusal::new(ErrorCode::InvalidFrame, "The body could not be read.");
            return Err(Box::new(refusal.into_response()));
        }
        Err(_) => {
            context.metrics.limit_hit("body");
            return Err(Box::new(too_slow()));
        }
    };
    if let Some(Err(exceeded)) = allowance.map(|allowance| allowance.bytes(bytes.len(), Instant::now())) {
        return Err(Box::new(Refusal::from(exceeded).into_response()));
    }
    Ok(Body::from(bytes))
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>())
}

fn too_slow() -> Response {
    let body = ErrorBody::new(ErrorCode::InvalidFrame, "The body did not come in time.");
    let mut response = (StatusCode::REQUEST_TIMEOUT, axum::Json(ControlBody::Error(body))).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Refuses bodies that would have to be unpacked: a small one can be large then.
pub async fn unpacked(request: Request) -> Result<Request, Response> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(request);
    }
    let body = ErrorBody::new(ErrorCode::InvalidFrame, "A body is taken as it is, without Content-Encoding.");
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, axum::Json(ControlBody::Error(body))).into_response())
}
