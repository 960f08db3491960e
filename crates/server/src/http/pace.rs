//! Limits HTTP requests: their rate, in the same buckets as frames of the socket; what the server holds for them at once;
//! and their bodies, which have to come in time and not compressed.

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
use bytes::Bytes;
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::{BODY_BYTES, accounts, answers, guard::Operator};
use crate::{
    app::Context,
    auth::Principal,
    clock::within,
    error::Refusal,
    limits::{ClientAddress, holds::Requester, idle_connections::IdleConnection, rates::Allowance},
};

/// Reads that hold nothing, and are answered whatever else comes from an address: the server's health, and the
/// handshakes, which have bounds of their own.
const UNHELD: [&str; 6] = ["/health", "/ready", "/metrics", "/ws/health", "/ws", "/websocket"];

/// Counts the request of a known user, a read as other frames and everything else as a message; takes its body; holds
/// what it takes of the server until its answer is out.
pub async fn keep(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let Some(address) = request.extensions().get::<ClientAddress>().copied() else {
        return Refusal::new(ErrorCode::Internal, "The connection has no address.").into_response();
    };
    // The operator is bounded by its socket; limits of users do not apply to it.
    let counted = request.extensions().get::<Operator>().is_none();
    let user = request.extensions().get::<Principal>().filter(|_| counted);
    let user = user.map(|principal| principal.user_id.clone());
    let allowance = user.as_ref().map(|user_id| context.rates.allowance(user_id, address));
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Some(allowance) = &allowance {
        let now = Instant::now();
        let counted = if is_read { allowance.other(now) } else { allowance.message(now) };
        if let Err(exceeded) = counted {
            return Refusal::from(exceeded).into_response();
        }
    }
    let is_unheld = is_read && is_of(&request, &UNHELD);
    let requester = match counted && !is_unheld {
        true => context.rates.requester(user.as_ref(), address),
        false => Requester::unbounded(),
    };
    let held = match requester.request() {
        Ok(held) => Arc::new(held),
        Err(exceeded) => return Refusal::from(exceeded).into_response(),
    };
    request.extensions_mut().insert(held.clone());
    let has_route = request.extensions().get::<MatchedPath>().is_some();
    let response = if request.body().is_end_stream() || is_unheld || !has_route {
        next.run(request).await
    } else {
        with_body(&context, request, next, allowance.as_ref(), &requester).await
    };
    answers::hold(response, held, &requester, is_read).await
}

async fn with_body(
    context: &Context,
    request: Request,
    next: Next,
    allowance: Option<&Allowance>,
    requester: &Requester,
) -> Response {
    let (head, body) = request.into_parts();
    // An unauthenticated connection counts as idle, and can be evicted, while its body does not come.
    let waiting = head.extensions.get::<Arc<IdleConnection>>().filter(|_| allowance.is_none());
    waiting.inspect(|connection| connection.request_ended(Instant::now()));
    let most = if allowance.is_some() { BODY_BYTES } else { accounts::BODY_BYTES };
    // As many as are announced; as many as there may be where none are.
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(most);
    let announced = announced.min(most);
    // Counted before they come: a client that sends a part of them and leaves has sent them all.
    let held = requester.bytes(announced).and_then(|held| match allowance {
        Some(allowance) => allowance.bytes(announced, Instant::now()).map(|()| held),
        None => Ok(held),
    });
    let whole = match &held {
        Ok(_) => whole(context, body, most).await,
        Err(exceeded) => Err(Box::new(Refusal::from(*exceeded).into_response())),
    };
    if let (Some(allowance), Ok(body)) = (allowance, &whole) {
        allowance.give_back_bytes(announced - body.len());
    }
    waiting.inspect(|connection| connection.request_began());
    match whole {
        Ok(body) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(response) => *response,
    }
}

fn is_of(request: &Request, routes: &[&str]) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| routes.contains(&route.as_str()))
}

/// The whole body, if it comes in time and is not too large.
async fn whole(context: &Context, body: Body, most: usize) -> Result<Bytes, Box<Response>> {
    let time = Duration::from_secs_f64(context.limits.body_seconds);
    match within(time, to_bytes(body, most)).await {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(e)) if is_too_large(&e) => {
            let refusal = Refusal::new(ErrorCode::MessageTooLarge, "The body is too large.");
            Err(Box::new(refusal.into_response()))
        }
        Some(Err(_)) => {
            let refusal = Refusal::new(ErrorCode::InvalidFrame, "The body could not be read.");
            Err(Box::new(refusal.into_response()))
        }
        None => {
            context.metrics.limit_hit("body");
            Err(Box::new(too_slow()))
        }
    }
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

/// Refuses compressed bodies: a small one can be large once it is unpacked.
pub async fn unpacked(request: Request) -> Result<Request, Response> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(request);
    }
    let body = ErrorBody::new(ErrorCode::InvalidFrame, "A body is taken as it is, without Content-Encoding.");
    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, axum::Json(ControlBody::Error(body))).into_response())
}
