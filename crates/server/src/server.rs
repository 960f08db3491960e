//! The roof: builds everything from the settings, runs it, and takes it down again. Only here backends are named.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use wireproof_agents::{Agent, Builtin};
use wireproof_protocol::CloseCode;

use crate::{
    auth::{Auth, KeyError, Keys},
    broker::{Broker, local::Local},
    config::Config,
    delivery, http,
    hub::{Hub, Order},
    metrics::Metrics,
    runs::{self, RunLimits, Runs},
    shutdown::Shutdown,
    store::{OpenError, Retention, Store, StoreError, embedded::Embedded},
    threads::Threads,
    ws::Context,
};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// Bytes that the kernel may hold for a client that does not read, before it counts as slow; Linux doubles it for its
/// own books.
const SEND_BUFFER: u32 = 64 << 10;
/// How long a cancelled agent has to stop by itself.
const AGENT_GRACE: Duration = Duration::from_secs(2);
/// How long connections have to take their goodbye.
const GOODBYE: Duration = Duration::from_secs(8);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store cannot be read or written.
    #[error("the store cannot be used: {0}")]
    Recovery(#[from] StoreError),
    /// There is no key for tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}. Give another --listen address, or stop what has this one."
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running server. [`Server::shutdown`] drains and stops it; when dropped it takes no new connections, and those that
/// are open end with the runtime.
pub struct Server {
    address: SocketAddr,
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    /// Cancelled when the hub has handed on the last of what was published.
    handed_on: CancellationToken,
    patience: Duration,
    spread: Duration,
}

impl Server {
    /// Starts a server with the builtin agent; returns when it accepts connections.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let tool_time = Duration::from_secs_f64(config.limits.tool_seconds);
        let builtin = Builtin::new().with_tool_deadline(tool_time);
        Self::start_with(config, vec![Arc::new(builtin)]).await
    }

    /// Starts a server with these agents, the first of them for messages that name none.
    pub async fn start_with(config: Config, agents: Vec<Arc<dyn Agent>>) -> Result<Self, StartError> {
        let broker: Arc<dyn Broker> = Arc::new(Local::default());
        let metrics = Metrics::new();
        let sink = delivery::publisher(broker.clone(), metrics.clone());
        let data_dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&data_dir, sink)).await;
        let store: Arc<dyn Store> = Arc::new(opened.map_err(|e| StoreError::Backend(e.to_string()))??);
        // After the store: a folder that is refused gets no key.
        let keys = Keys::from_config(&config.jwt, &config.data_dir)?;
        let recovered = runs::recover(&*store).await?;
        if recovered > 0 {
            tracing::info!(runs = recovered, "ended the runs that the last process left");
        }
        let listener =
            listen(config.listen).map_err(|source| StartError::Listen { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let (context, upkeep) = build(&config, keys, store, agents, metrics);
        let (hub, stopped) = (context.hub.clone(), context.shutdown.stopped.clone());
        let (listening, handed_on) = (hub.listen(broker.subscribe(), stopped), CancellationToken::new());
        let hub_ended = handed_on.clone().drop_guard();
        context.shutdown.spawn(async move {
            listening.await;
            drop(hub_ended);
        });
        context.shutdown.spawn(upkeep);
        let router = http::router(context.clone());
        context.shutdown.spawn(http::accept(listener, router, context.clone()));
        let drain = &config.drain;
        let (patience, spread) =
            (Duration::from_secs_f64(drain.seconds), Duration::from_secs_f64(drain.spread_seconds));
        tracing::info!(%address, data_dir = %config.data_dir.display(), "accepting connections");
        Ok(Self { address, context, broker, handed_on, patience, spread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What checks and makes its tokens.
    pub fn keys(&self) -> &Keys {
        &self.context.auth.keys
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.context.hub.connections()
    }

    /// Runs going or waiting now.
    pub fn runs(&self) -> usize {
        self.context.runs.alive()
    }

    /// Drains: takes nothing new, tells the clients when to come back, lets runs end, closes with 1012, flushes.
    pub async fn shutdown(self) {
        let context = &self.context;
        context.shutdown.draining.cancel();
        context.runs.refuse_new();
        let spread = self.spread.as_millis() as u64;
        context.hub.order_all(|| Order::GoAway { reconnect_after_ms: rand::random_range(0..=spread) });
        context.runs.drain(self.patience).await;
        // The hub hands on what was published, and only then ends: no connection is closed before it has it all.
        if let Err(e) = context.store.settle().await {
            tracing::warn!(error = %e, "the store did not settle");
        }
        self.broker.close();
        if tokio::time::timeout(GOODBYE, self.handed_on.cancelled()).await.is_err() {
            tracing::warn!("the last events were not handed on in time");
        }
        context.hub.order_all(|| Order::Close(CloseCode::Restart, "the server restarts"));
        let quiet = tokio::time::timeout(GOODBYE, async {
            while context.hub.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if quiet.await.is_err() {
            tracing::warn!(
                connections = context.hub.connections(),
                "connections did not take their goodbye in time"
            );
        }
        context.shutdown.stopped.cancel();
        context.store.close().await;
        if !context.shutdown.wait(Duration::from_secs(3)).await {
            tracing::warn!("some tasks did not end in time");
        }
        tracing::info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stops accepting and ends the upkeep; what is in flight is what a kill would cut off too.
        self.context.shutdown.draining.cancel();
        self.context.shutdown.stopped.cancel();
        self.broker.close();
    }
}

fn build(
    config: &Config,
    keys: Keys,
    store: Arc<dyn Store>,
    agents: Vec<Arc<dyn Agent>>,
    metrics: Arc<Metrics>,
) -> (Arc<Context>, impl Future<Output = ()> + Send + use<>) {
    let shutdown = Shutdown::default();
    let retention = Retention {
        seconds: config.retention.hours * 3600.0,
        bytes_per_user: config.retention.bytes_per_user,
    };
    let every = Duration::from_secs_f64(config.retention.every_seconds);
    let upkeep = delivery::keep_short(store.clone(), retention, every, shutdown.stopped.clone());
    let limits = RunLimits {
        concurrent: config.limits.concurrent_runs,
        queued: config.limits.queued_runs,
        run: Duration::from_secs_f64(config.limits.run_seconds),
        grace: AGENT_GRACE,
    };
    let runs = Runs::new(store.clone(), agents, limits, metrics.clone());
    let threads = Threads::new(store.clone());
    let context = Context {
        store,
        hub: Arc::new(Hub::default()),
        runs,
        threads,
        auth: Arc::new(Auth { keys }),
        limits: config.limits.clone(),
        metrics,
        shutdown,
    };
    (Arc::new(context), upkeep)
}

fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server takes its port back at once.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it: left to itself the kernel takes megabytes for each client that does not read.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
