//! The WebSocket edge: the upgrade, one task a connection, and the writing that never holds anything else up.

use std::sync::Arc;

use crate::{
    auth::Auth, hub::Hub, limits::Limits, metrics::Metrics, runs::Runs, shutdown::Shutdown, store::Store,
    threads::Threads,
};

pub mod connection;
mod counted;
pub mod dispatch;
pub mod opening;
pub mod resume;
pub mod socket;
pub mod upgrade;

/// What a connection needs of the server.
pub struct Context {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Who has which connections here.
    pub hub: Arc<Hub>,
    /// The runs.
    pub runs: Arc<Runs>,
    /// The threads.
    pub threads: Threads,
    /// Who is who.
    pub auth: Arc<Auth>,
    /// What users may do.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the server is going away.
    pub shutdown: Shutdown,
}
