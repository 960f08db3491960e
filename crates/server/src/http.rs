//! Every route on one page, and the accept loop under them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use crate::{error::Refusal, ws};

mod extract;
mod runs;
mod status;
mod threads;

/// Largest request body in bytes.
const BODY_BYTES: usize = 1 << 20;
/// Most header lines of a request; more are answered 431.
const HEADER_LINES: usize = 100;
/// Largest head of a request in bytes; larger ones are answered 431.
const HEADER_BYTES: usize = 64 << 10;
/// How long a client may take for the head of a request.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// All routes.
pub fn router(context: Arc<ws::Context>) -> Router {
    Router::new()
        .route("/ws", get(ws::upgrade::upgrade))
        .route("/websocket", get(ws::upgrade::upgrade))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/api/threads", get(threads::list).post(threads::create))
        .route("/api/threads/{id}", get(threads::show).patch(threads::update).delete(threads::delete))
        .route("/api/threads/{id}/messages", get(threads::messages).post(threads::write))
        .route("/api/runs/{id}", get(runs::show))
        .route("/api/runs/{id}/cancel", post(runs::cancel))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::map_request(bounded_head))
        .with_state(context)
}

/// The parser minds its bound only when a read ends inside a head: one that came whole is measured here.
async fn bounded_head(request: Request) -> Result<Request, Response> {
    let line = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if line + fields.sum::<usize>() <= HEADER_BYTES {
        return Ok(request);
    }
    let body = ErrorBody::new(ErrorCode::MessageTooLarge, "The head of the request is too large.");
    Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, axum::Json(ControlBody::Error(body))).into_response())
}

async fn no_route() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is nothing at this address.")
}

async fn no_method() -> Response {
    let body = ErrorBody::new(ErrorCode::InvalidFrame, "This address does not take that method.");
    (StatusCode::METHOD_NOT_ALLOWED, axum::Json(ControlBody::Error(body))).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = crate::error::status(self.code());
        let mut response = (status, axum::Json(ControlBody::Error(*self.body))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, bearer);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let second = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, second);
        }
        response
    }
}

/// Takes connections until the server drains.
pub async fn accept(listener: TcpListener, router: Router, context: Arc<ws::Context>) {
    let draining = context.shutdown.draining.clone();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                context.shutdown.spawn(serve(stream, peer, router.clone(), context.clone()))
            }
            Err(e) => {
                // Out of files, most likely: a moment later there may be some again.
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, context: Arc<ws::Context>) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(%peer, error = %e, "a connection was gone before it was served");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADER_LINES)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = context.shutdown.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = served {
        tracing::debug!(%peer, error = %e, "a connection ended badly");
    }
}
