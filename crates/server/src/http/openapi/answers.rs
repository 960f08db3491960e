//! Answers that handlers put together: what is in them. The kit holds every real answer against this.
#![allow(dead_code)]

use schemars::JsonSchema;
use serde_json::{Map, Value};
use wireproof_protocol::{ConnectionId, Message, Thread, Timestamp, UserId};

use crate::{
    auth::{Permission, accounts::AccountView},
    store::QuotaUse,
};

/// A page of threads.
#[derive(JsonSchema)]
pub struct ThreadPage {
    threads: Vec<Thread>,
    /// How many there are.
    total: u64,
    limit: u64,
    offset: u64,
}

/// A page of messages.
#[derive(JsonSchema)]
pub struct MessagePage {
    messages: Vec<Message>,
    /// How many there are.
    total: u64,
    limit: u64,
    offset: u64,
}

/// What opens one WebSocket.
#[derive(JsonSchema)]
pub struct Ticket {
    ticket: String,
    /// How long it is good, in seconds.
    expires_in: f64,
}

/// The process is alive.
#[derive(JsonSchema)]
pub struct Health {
    #[schemars(extend("const" = "healthy"))]
    status: String,
    service: String,
    version: String,
    timestamp: Timestamp,
}

/// Whether new connections are welcome.
#[derive(JsonSchema)]
pub struct Ready {
    #[schemars(extend("enum" = ["ready", "not_ready"]))]
    status: String,
    #[schemars(extend("enum" = ["ok", "failing"]))]
    store: String,
    #[schemars(extend("enum" = ["ok", "draining"]))]
    accepting: String,
    connections: u64,
    runs: u64,
}

/// Whether clients are served; the numbers are for the addresses that may see them.
#[derive(JsonSchema)]
pub struct SocketHealth {
    #[schemars(extend("enum" = ["healthy", "degraded", "unhealthy"]))]
    status: String,
    service: String,
    version: String,
    timestamp: Timestamp,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    reasons: Vec<String>,
    /// What the server counts; in full at `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Map<String, Value>>,
    /// Limits and ways in.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Map<String, Value>>,
}

/// Who a token is for.
#[derive(JsonSchema)]
pub struct Me {
    user_id: UserId,
    permissions: Vec<Permission>,
    /// When the token expires.
    expires_at: Timestamp,
    /// The token's login.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// The account behind it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountView>,
    /// What the user keeps, by quota.
    quotas: Vec<QuotaUse>,
}

/// A page of accounts.
#[derive(JsonSchema)]
pub struct AccountPage {
    users: Vec<AccountView>,
    /// How many there are.
    total: u64,
    limit: u64,
    offset: u64,
}

/// A page of connections.
#[derive(JsonSchema)]
pub struct ConnectionPage {
    connections: Vec<Connection>,
    /// How many there are.
    total: u64,
    limit: u64,
    offset: u64,
}

/// One connection, as an administrator sees it.
#[derive(JsonSchema)]
pub struct Connection {
    connection_id: ConnectionId,
    user_id: UserId,
    /// Where the client is.
    address: String,
    /// When it was opened.
    since: Timestamp,
    /// The token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    /// The token's login.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// When the token expires.
    expires_at: Timestamp,
    permissions: Vec<Permission>,
    /// Bytes that wait for the client.
    queued_bytes: u64,
}

/// How many connections were told to end.
#[derive(JsonSchema)]
pub struct Disconnected {
    disconnected: u64,
}

/// The server is going away.
#[derive(JsonSchema)]
pub struct Draining {
    draining: bool,
}

/// The server starts again.
#[derive(JsonSchema)]
pub struct Restarting {
    restarting: bool,
}
