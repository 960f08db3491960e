//! The handshake: checks it by RFC 6455, reads its token, and starts the task that serves the connection.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::{connection, handshake::Handshake, socket::Socket};
use crate::{
    app::Context,
    auth::token,
    delivery::start::RequestedPosition,
    error::Refusal,
    limits::{ClientAddress, permits::Permit},
    metrics::Metrics,
    tls::Timed,
    traces::TraceParent,
};

/// Why a handshake is refused.
fn refused(status: StatusCode, sentence: &str) -> Response {
    (status, axum::Json(ControlBody::Error(ErrorBody::new(ErrorCode::InvalidFrame, sentence))))
        .into_response()
}

/// `GET /ws` and `GET /websocket`.
pub async fn upgrade(State(context): State<Arc<Context>>, mut request: Request) -> Response {
    if context.shutdown.draining.is_cancelled() {
        context.metrics.handshake("draining");
        let wait = context.shutdown.retry_after();
        let mut body = ErrorBody::new(ErrorCode::ShuttingDown, "The server is going away; try again.");
        body.retry_after_ms = Some(wait.as_millis() as u64);
        let wait = [(header::RETRY_AFTER, wait.as_secs().to_string())];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, axum::Json(ControlBody::Error(body))).into_response();
    }
    let key = match handshake_key(&request) {
        Ok(key) => key,
        Err(response) => {
            context.metrics.handshake("bad_request");
            return *response;
        }
    };
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refused(StatusCode::UPGRADE_REQUIRED, "This connection cannot become a WebSocket.");
    };
    let Some(address) = request.extensions().get::<ClientAddress>().copied() else {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "The connection has no address.");
    };
    let query = request.uri().query().unwrap_or_default();
    let offer = token::offer(request.headers(), query, context.auth.query_token);
    let places = match admit(&context, address, offer.shown.is_none()) {
        Ok(places) => places,
        Err(response) => return *response,
    };
    let handshake = Handshake {
        shown: offer.shown,
        address,
        parent: TraceParent::of(request.headers()),
        requested: requested(query),
        admitted: Some(places.admitted),
        unauthenticated: places.unauthenticated,
    };
    let held = (request.extensions_mut().remove::<Arc<Permit>>(), places.of_address);
    let shutdown = context.shutdown.clone();
    shutdown.spawn(async move {
        serve(context, on_upgrade, handshake).await;
        drop(held);
    });
    let mut response = switching(&key);
    if let Some(selected) = offer.selected.and_then(|selected| HeaderValue::from_str(&selected).ok()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, selected);
    }
    response
}

/// The answer to a good handshake with this key.
pub fn switching(key: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The places that an admitted handshake holds.
struct Places {
    admitted: Permit,
    unauthenticated: Option<Permit>,
    of_address: Option<Permit>,
}

/// Admits a handshake, or refuses it with a time to come back, before its credentials are checked.
fn admit(context: &Context, address: ClientAddress, anonymous: bool) -> Result<Places, Box<Response>> {
    let (limits, rates, now) = (&context.limits, &context.rates, Instant::now());
    let admitted = context.admission.handshake(now).map_err(|busy| {
        context.metrics.handshake("admission");
        context.metrics.limit_hit("admission");
        let mut response = Refusal::from(busy.body()).into_response();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        // A connection that is kept open would take a place.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })?;
    let too_many = |limit: &'static str, word: &'static str| {
        context.metrics.handshake("too_many");
        context.metrics.limit_hit(word);
        let sentence = "There are too many connections from your address.";
        let mut body = ErrorBody::new(ErrorCode::TooManyConnections, sentence).detail("limit", limit);
        body.retry_after_ms = Some(1000);
        Box::new(Refusal::from(body).into_response())
    };
    rates.may_try_token(address, now).map_err(|exceeded| {
        context.metrics.handshake("rate_limited");
        Box::new(Refusal::from(exceeded).into_response())
    })?;
    let place = |most: usize, taken: Option<Permit>| if most == 0 { Some(None) } else { taken.map(Some) };
    let waits = if anonymous { limits.unauthenticated_per_address } else { 0 };
    let unauthenticated = place(waits, rates.unauthenticated(address, waits))
        .ok_or_else(|| too_many("unauthenticated_per_address", "unauthenticated"))?;
    let most = limits.connections_per_address;
    let of_address = place(most, rates.connection(address, most))
        .ok_or_else(|| too_many("connections_per_address", "connections_per_address"))?;
    Ok(Places { admitted, unauthenticated, of_address })
}

async fn serve(context: Arc<Context>, on_upgrade: OnUpgrade, handshake: Handshake) {
    let (hard_limit, metrics) = (context.limits.message_hard_bytes, context.metrics.clone());
    let Some(socket) = upgraded(on_upgrade, hard_limit, metrics).await else {
        context.metrics.handshake("gone");
        return;
    };
    connection::serve(context, socket, handshake).await;
}

/// The socket that the connection of a good handshake becomes; `None` when the client is gone.
pub async fn upgraded(on_upgrade: OnUpgrade, hard_limit: usize, metrics: Arc<Metrics>) -> Option<Socket> {
    // The bare stream is smaller than the wrapped one, for as long as the connection lives.
    match on_upgrade.await.ok()?.downcast::<TokioIo<Timed>>() {
        Ok(parts) => {
            Some(Socket::new(parts.io.into_inner().into_inner(), parts.read_buf, hard_limit, metrics))
        }
        Err(_) => {
            tracing::error!("an upgraded connection is not the stream that was accepted");
            None
        }
    }
}

/// The client's key, if the request is a handshake of version 13.
pub fn handshake_key(request: &Request) -> Result<String, Box<Response>> {
    let headers = request.headers();
    let refuse = |status, sentence| Err(Box::new(refused(status, sentence)));
    if request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket handshake is a GET.");
    }
    if !has_word(headers, header::UPGRADE, "websocket") || !has_word(headers, header::CONNECTION, "upgrade") {
        let mut response = refused(StatusCode::UPGRADE_REQUIRED, "This address speaks WebSocket.");
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(response));
    }
    let twice = |name: &header::HeaderName| headers.get_all(name).iter().count() > 1;
    if let Some(name) =
        [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION].iter().find(|name| twice(name))
    {
        return refuse(StatusCode::BAD_REQUEST, &format!("The header {name} may come once only."));
    }
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if length || headers.contains_key(header::TRANSFER_ENCODING) {
        // The bytes after the head would be read as frames here, and as a body by a proxy.
        let mut response = refused(StatusCode::BAD_REQUEST, "A WebSocket handshake has no body.");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Err(Box::new(response));
    }
    let is_13 = headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !is_13 {
        let mut response = refused(StatusCode::BAD_REQUEST, "The WebSocket version must be 13.");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    match key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)) {
        Some(key) => Ok(key.to_owned()),
        None => refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64."),
    }
}

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// The position in a query string, if it names one by either of its parts.
fn requested(query: &str) -> Option<RequestedPosition> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (mut epoch, mut after) = (None, None);
    for (name, value) in pairs {
        match name {
            "epoch" => epoch = Some(value.to_owned()),
            "after" => after = Some(value.to_owned()),
            _ => {}
        }
    }
    (epoch.is_some() || after.is_some())
        .then(|| RequestedPosition { epoch: epoch.unwrap_or_default(), after: after.unwrap_or_default() })
}
