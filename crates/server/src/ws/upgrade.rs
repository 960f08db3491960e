//! The handshake: what RFC 6455 asks of it, whose token it carries, and the task that serves the connection.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::{Context, connection, opening::Opening, resume::Asked, socket::Socket};
use crate::auth::token;

/// Why a handshake is refused.
fn refused(status: StatusCode, sentence: &str) -> Response {
    (status, axum::Json(ControlBody::Error(ErrorBody::new(ErrorCode::InvalidFrame, sentence))))
        .into_response()
}

/// `GET /ws` and `GET /websocket`.
pub async fn upgrade(State(context): State<Arc<Context>>, mut request: Request) -> Response {
    if context.shutdown.draining.is_cancelled() {
        let body = ErrorBody::new(ErrorCode::ShuttingDown, "The server is going away; try again.");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], axum::Json(body))
            .into_response();
    }
    let key = match handshake_key(&request) {
        Ok(key) => key,
        Err(response) => return *response,
    };
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refused(StatusCode::UPGRADE_REQUIRED, "This connection cannot become a WebSocket.");
    };
    let offer = token::offer(request.headers());
    let opening = Opening { token: offer.token, asked: asked(request.uri().query().unwrap_or_default()) };
    let shutdown = context.shutdown.clone();
    shutdown.spawn(serve(context, on_upgrade, opening));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(selected) = offer.selected.and_then(|selected| HeaderValue::from_str(&selected).ok()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, selected);
    }
    response
}

async fn serve(context: Arc<Context>, on_upgrade: OnUpgrade, opening: Opening) {
    let Ok(upgraded) = on_upgrade.await else {
        context.metrics.handshake("gone");
        return;
    };
    // The bare stream is smaller than the wrapped one, for as long as the connection lives.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("an upgraded connection is not the TCP stream that was accepted");
        return;
    };
    let socket = Socket::new(parts.io.into_inner(), parts.read_buf, context.limits.message_hard_bytes);
    connection::serve(context, socket, opening).await;
}

/// The client's key, if the request is a handshake of version 13.
fn handshake_key(request: &Request) -> Result<String, Box<Response>> {
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
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
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
fn asked(query: &str) -> Option<Asked> {
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
        .then(|| Asked { epoch: epoch.unwrap_or_default(), after: after.unwrap_or_default() })
}
