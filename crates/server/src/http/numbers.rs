//! The server in numbers: `/metrics` for Prometheus, `/ws/health` for people and load balancers. Numbers are for the
//! networks of `metrics.allow`; the health is for everybody.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde_json::{Value, json};
use wireproof_protocol::ErrorCode;

use crate::{
    app::Context,
    config::Config,
    error::Refusal,
    hub::Queues,
    limits::ClientAddress,
    metrics::{Family, Format, Label, PREFIX, metrics},
};

/// How long a failed commit counts against the server.
const LATELY: Duration = Duration::from_secs(60);

/// `GET /metrics`: in OpenMetrics when the client accepts it, else in Prometheus' classic text.
pub async fn metrics(
    State(context): State<Arc<Context>>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Response {
    if !context.watchers.hold(address) {
        return Refusal::new(ErrorCode::Forbidden, "The metrics are not for this address.").into_response();
    }
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    // It reads files of the process.
    let text = tokio::task::spawn_blocking(move || {
        let mut levels = Registry::with_prefix(PREFIX);
        Levels::at_start(&Now::of(&context)).register(&mut levels);
        context.metrics.text(&levels, format)
    });
    match text.await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], text).into_response()
        }
        Err(_) => {
            Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again.").into_response()
        }
    }
}

/// What is looked at when somebody asks for numbers.
struct Now {
    queues: Queues,
    running: usize,
    queued: usize,
    store_file_bytes: u64,
}

impl Now {
    fn of(context: &Context) -> Self {
        let (running, queued) = context.runs.states();
        let store_file_bytes = context.metrics.commits.file_bytes();
        Self { queues: context.hub.queues(), running, queued, store_file_bytes }
    }
}

metrics! {
    /// The gauges that are read at each look. All others are counted where something happens, in `metrics`.
    struct Levels(now: &Now) {
        /// Users with a WebSocket connection now.
        users: Gauge = level(now.queues.users as u64) => "users";
        /// Bytes of events that wait in memory for clients.
        queue_bytes: Gauge = level(now.queues.bytes as u64) => "queue", Bytes;
        /// Connections that are served from the log now.
        connections_behind: Gauge = level(now.queues.behind as u64) => "connections_behind";
        /// Runs now, by where they are in their life.
        runs_alive: Family<Gauge> = levels("state", &[("running", now.running), ("queued", now.queued)]) => "runs_alive";
        /// Bytes that the files of the store take, the database and its write-ahead log.
        store_file_bytes: Gauge = level(now.store_file_bytes) => "store_file", Bytes;
    }
}

fn level(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value as i64);
    gauge
}

fn levels(label: &'static str, values: &[(&'static str, usize)]) -> Family<Gauge> {
    let words: Vec<_> = values.iter().map(|(word, _)| *word).collect();
    let mut gauges = values.iter().map(|(_, value)| level(*value as u64));
    Family::new(vec![Label::new(label, &words)], || gauges.next().unwrap_or_default())
}

/// `GET /ws/health`: 200 while clients are served, 503 when the store fails or the server drains.
pub async fn health(
    State(context): State<Arc<Context>>,
    Extension(address): Extension<ClientAddress>,
) -> Response {
    let ill = [
        (!context.store_answers().await || context.metrics.commits.is_failing(LATELY), "store_failing"),
        (context.shutdown.draining.is_cancelled(), "draining"),
    ];
    let weak = [(context.metrics.commits.failed_within(LATELY), "store_failed_lately")];
    let reasons = |list: &[(bool, &'static str)]| -> Vec<&'static str> {
        list.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect()
    };
    let (ill, weak) = (reasons(&ill), reasons(&weak));
    let (code, status) = match (ill.is_empty(), weak.is_empty()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "healthy"),
    };
    let mut body = json!({
        "status": status,
        "service": "wireproof",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": crate::clock::unix_now(),
    });
    let reasons = [ill, weak].concat();
    if !reasons.is_empty() {
        body["reasons"] = json!(reasons);
    }
    if context.watchers.hold(address) {
        body["metrics"] = numbers(&context);
        body["config"] = context.public_config.clone();
    }
    let mut response = (code, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response();
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, context.shutdown.retry_after().as_secs().into());
    }
    response
}

fn numbers(context: &Context) -> Value {
    let (metrics, Now { queues, running, queued, .. }) = (&context.metrics, Now::of(context));
    json!({
        "uptime_seconds": (crate::clock::unix_now() - metrics.started.get()).max(0.0),
        "connections": metrics.connections_now(),
        "connections_with_user": queues.connections,
        "users": queues.users,
        "handshakes_accepted": metrics.handshakes("accepted"),
        "handshakes_refused": metrics.handshakes_refused(),
        "messages_received": metrics.frames(),
        "errors": metrics.refusals(),
        "limits_hit": metrics.limits_hit(),
        "events_appended": metrics.events_appended.get(),
        "events_delivered": metrics.events_delivered.get(),
        "events_replayed": metrics.events_replayed.get(),
        "queue_bytes": queues.bytes,
        "slow_consumers": metrics.slow_consumers.get(),
        "runs_active": running,
        "runs_queued": queued,
        "runs_succeeded": metrics.runs("success"),
        "runs_failed": metrics.runs("failed"),
        "runs_cancelled": metrics.runs("cancelled"),
    })
}

/// The part of the settings that `/ws/health` shows: limits and ways to authenticate, and no secrets.
pub fn public_config(config: &Config) -> Value {
    let limits = &config.limits;
    let mut ways = vec!["authorization_header", "subprotocol", "ticket", "first_frame"];
    if config.auth.query_token {
        ways.push("query_token");
    }
    if config.insecure_no_auth {
        ways.push("none");
    }
    json!({
        "authentication": ways,
        "limits": limits.announced(),
        "heartbeat_seconds": limits.heartbeat_seconds,
        "dead_seconds": limits.dead_seconds,
        "authenticate_seconds": limits.authenticate_seconds,
        "run_seconds": limits.run_seconds,
        "tool_seconds": limits.tool_seconds,
        "retention_hours": config.retention.hours,
        "drain_seconds": config.drain.seconds,
    })
}
