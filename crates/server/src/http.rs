//! All routes, on one page.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use crate::{app::Context, error::Refusal, ws};

mod accept;
mod accounts;
mod admin;
mod admin_accounts;
mod answers;
mod asyncapi;
mod documents;
mod extract;
mod guard;
mod numbers;
mod openapi;
mod operator;
mod pace;
mod restart;
mod runs;
mod status;
mod threads;
mod tickets;
mod told_once;

pub use accept::accept;
pub use asyncapi::document as asyncapi_document;
pub use numbers::public_config;
pub use openapi::document as openapi_document;
pub use operator::accept as accept_operator;

/// Largest request body in bytes.
const BODY_BYTES: usize = 1 << 20;
/// Most header lines of a request; more are answered 431.
const HEADER_LINES: usize = 100;
/// Largest head of a request in bytes; larger ones are answered 431.
const HEADER_BYTES: usize = 64 << 10;

/// All routes.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/ws", get(ws::upgrade::upgrade))
        .route("/websocket", get(ws::upgrade::upgrade))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(numbers::metrics))
        .route("/ws/health", get(numbers::health))
        .route("/openapi.json", get(documents::openapi))
        .route("/asyncapi.json", get(documents::asyncapi))
        .route("/api/threads", get(threads::list).post(threads::create))
        .route("/api/threads/{id}", get(threads::show).patch(threads::update).delete(threads::delete))
        .route("/api/threads/{id}/messages", get(threads::messages).post(threads::write))
        .route("/api/runs/{id}", get(runs::show))
        .route("/api/runs/{id}/cancel", post(runs::cancel))
        .route("/ws/ticket", post(tickets::sell))
        .merge(own_account())
        .route("/api/admin/users", get(admin_accounts::list).post(admin_accounts::create))
        .route("/api/admin/users/{id}", get(admin_accounts::show).patch(admin_accounts::change))
        .route("/api/admin/connections", get(admin::connections))
        .route("/api/admin/connections/{id}", delete(admin::end))
        .route("/api/admin/users/{id}/disconnect", post(admin::disconnect))
        .route("/api/admin/revoke", post(admin::revoke))
        .route("/api/admin/drain", post(admin::drain))
        .route("/api/admin/restart", post(restart::restart))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::from_fn(guard::to_the_end))
        .layer(from_fn_with_state(context.clone(), pace::keep))
        .layer(from_fn_with_state(context.clone(), guard::permission))
        .layer(from_fn_with_state((context.clone(), Arc::default()), guard::origin))
        .layer(axum::middleware::map_request(pace::unpacked))
        .layer(from_fn_with_state((context.clone(), Arc::default()), guard::host))
        .layer(axum::middleware::map_request(bounded_head))
        .with_state(context)
}

/// The routes of a user's own account; their bodies are small.
fn own_account() -> Router<Arc<Context>> {
    Router::new()
        .route("/auth/register", post(accounts::register))
        .route("/auth/login", post(accounts::login))
        .route("/auth/refresh", post(accounts::refresh))
        .route("/auth/logout", post(accounts::logout))
        .route("/auth/me", get(accounts::me))
        .layer(axum::extract::DefaultBodyLimit::max(accounts::BODY_BYTES))
}

/// The parser checks its bound only when a read ends inside a head; a head that came whole is measured here.
async fn bounded_head(request: Request) -> Result<Request, Response> {
    let line = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if line + fields.sum::<usize>() <= HEADER_BYTES && request.headers().len() <= HEADER_LINES {
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
        let status = StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let wait = self.body.retry_after_ms;
        let mut response = (status, axum::Json(ControlBody::Error(*self.body))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, bearer);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            // Rounded up: a client that comes back then is not refused again for the same reason.
            let seconds = wait.map_or(1, |wait| wait.div_ceil(1000).max(1));
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
