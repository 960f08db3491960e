//! Builds a server from its settings, runs it, and stops it. Backends are named only here.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpSocket,
    sync::{Notify, Semaphore},
};
use tokio_util::sync::CancellationToken;
use wireproof_agents::Agent;
use wireproof_protocol::CloseCode;

use crate::{
    app::{Context, StoreHealth, follow_revocations, withdrawn_keys},
    auth::{Auth, Keys, Revocations, Tickets, logins::Logins, rules::Rules},
    broker::{Broker, Subscriber},
    clock::unix_now,
    config::{Config, ConfigError, JwtConfig},
    delivery::{self, LogReader, Publisher},
    http,
    hub::{ConnectionCommand, Hub},
    limits::{admission::Admission, rates::Rates},
    metrics::{Metrics, Names},
    runs::{self, RunLimits, Runs},
    shutdown::{Shutdown, ShutdownKind},
    store::{Retention, Store, StoreError, embedded::Embedded, while_away},
    threads::Threads,
    tls::Tls,
    traces::Traces,
};

mod builder;
mod drain;
mod error;
mod node;
pub mod operator;
pub mod server_file;

use builder::Parts;
pub use builder::{Builder, StoreLayer};
pub use error::{ReloadError, StartError};
use node::Node;
use server_file::ServerFile;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// Large bodies of requests that are read at once.
const LARGE_BODIES: usize = 2;
/// Bytes that the kernel may hold for a client that does not read, before it counts as slow; Linux doubles it for its
/// own books.
const SEND_BUFFER: u32 = 64 << 10;
/// How long a cancelled agent has to stop by itself.
const AGENT_GRACE: Duration = Duration::from_secs(2);
/// How long a node may not be heard of before others end its runs.
const LEASE: Duration = Duration::from_secs(30);
/// How often the limits drop idle users and addresses.
const FORGETTING: Duration = Duration::from_secs(20);
/// How long the last writes may take in a drain; then the connections are closed without what these would have published.
const SETTLING: Duration = Duration::from_secs(10);
/// How long connections have to take their close.
const GOODBYE: Duration = Duration::from_secs(8);

/// A running server. [`Server::shutdown`] drains and stops it; when dropped it takes no new connections, and closes
/// those that are open without waiting for runs.
pub struct Server {
    address: SocketAddr,
    /// Where the store and the keys are.
    data_dir: PathBuf,
    /// Says where it is. Here and below: before the context, which holds the store's lock.
    presence: Option<server_file::Announced>,
    /// The file of the operator's socket.
    _operator: operator::OperatorSocket,
    context: Arc<Context>,
    broker: Arc<dyn Broker>,
    /// False for a store that the caller gave.
    closes_store: bool,
    /// What hears the broker, which knows it weakly.
    _node: Arc<dyn Subscriber>,
    traces: Arc<Traces>,
    patience: Duration,
    spread: Duration,
}

impl Server {
    /// The errors in these settings that would stop a start, as far as they show without the store, the port and an
    /// issuer. It changes nothing; [`Server::start`] checks the same.
    pub fn check(config: &Config) -> Vec<StartError> {
        let mut faults: Vec<StartError> = Vec::new();
        faults.extend(Traces::from_config(&config.otel).err().map(StartError::from));
        faults.extend(Keys::faults(&config.jwt, &config.data_dir).into_iter().map(StartError::from));
        faults.extend(Tls::from_config(&config.tls).err().map(StartError::from));
        faults.extend(config.exposed().into_iter().map(StartError::from));
        faults
    }

    /// A server with these settings, to be given parts of the caller's own.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// Starts a server with the builtin agent; returns when it accepts connections.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::builder(config).start().await
    }

    /// Starts a server with these agents, the first of them for messages that name none.
    pub async fn start_with(config: Config, agents: Vec<Arc<dyn Agent>>) -> Result<Self, StartError> {
        Self::builder(config).agents(agents).start().await
    }

    async fn start_from(config: Config, parts: Parts) -> Result<Self, StartError> {
        let Parts { agents, store, broker, layers } = parts;
        let mut faults = Self::check(&config);
        match faults.len() {
            0 => {}
            1 => return Err(faults.remove(0)),
            _ => return Err(StartError::Several(faults)),
        }
        let metrics = Metrics::new(names(&agents));
        let traces = Arc::new(Traces::from_config(&config.otel)?);
        let closes_store = store.is_none();
        let store = match store {
            Some(store) => store,
            None => embedded(&config, &metrics).await?,
        };
        let store = layers.into_iter().fold(store, |store, layer| layer(store));
        let publisher = Arc::new(Publisher::new(broker.clone(), metrics.clone()));
        let unannounced = |source| StartError::ServerFile { data_dir: config.data_dir.clone(), source };
        server_file::forget(&config.data_dir).map_err(unannounced)?;
        // After the store: a folder that is refused gets no key.
        let keys = Keys::counted(&config.jwt, &config.data_dir, metrics.keys.clone())?;
        let tls = Tls::from_config(&config.tls)?;
        let auth = authority(&config, keys, &*store).await?;
        let listener =
            listen(config.listen).map_err(|source| StartError::Listen { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let (context, upkeep) =
            build(&config, auth, tls, store, broker.clone(), publisher, agents, metrics, traces.clone())?;
        // A store that is away for a moment keeps no server down; the revocations were waited for in the same way.
        let store_wait = Duration::from_secs_f64(config.limits.store_wait_seconds);
        while_away(store_wait, &context.shutdown.draining, || context.runs.recover()).await?;
        // All that can fail comes before the first task: a start that fails leaves no listener.
        let (local, operator) = operator::listen(&config.data_dir).map_err(|source| {
            StartError::Operator { path: config.data_dir.join(operator::SOCKET), source }
        })?;
        let scheme = if context.tls.is_some() { "https" } else { "http" };
        let presence = Some(ServerFile::at(scheme, address).announce(&config.data_dir).map_err(unannounced)?);
        let node: Arc<dyn Subscriber> = Arc::new(Node(context.clone()));
        broker.subscribe(Arc::downgrade(&node));
        let shutdown = &context.shutdown;
        let (broker_ended, store_ended) = (broker.ended(), context.store.ended());
        shutdown.spawn_vital("broker", async move { broker_ended.cancelled().await });
        shutdown.spawn_vital("store", async move { store_ended.cancelled().await });
        let heartbeat = Duration::from_secs_f64(config.limits.heartbeat_seconds);
        let (hub, stopped) = (context.hub.clone(), shutdown.stopped.clone());
        shutdown.spawn_vital("heads", hub.compare_heads(context.store.clone(), heartbeat, stopped));
        let (runs, stopped) = (context.runs.clone(), shutdown.stopped.clone());
        shutdown.spawn_vital("leases", runs::keep_leases(runs.clone(), stopped.clone()));
        shutdown.spawn_vital("left runs", runs::end_left_runs(runs, stopped));
        shutdown.spawn_vital("revocations", follow_revocations(context.clone(), heartbeat));
        shutdown.spawn_vital("upkeep", upkeep);
        shutdown.spawn_vital("key follower", withdrawn_keys::follow(context.clone()));
        let (auth, stopped) = (context.auth.clone(), context.shutdown.stopped.clone());
        shutdown.spawn_vital("keys", async move { auth.keys.keep(stopped).await });
        shutdown.spawn_vital("limits", forget_the_idle(context.rates.clone(), shutdown.stopped.clone()));
        if let Some(tls) = context.tls.clone() {
            shutdown.spawn_vital("certificate", tls.watch(shutdown.stopped.clone()));
        }
        let router = http::router(context.clone());
        shutdown
            .spawn_vital("operator's socket", http::accept_operator(local, router.clone(), context.clone()));
        shutdown.spawn_vital("accept loop", http::accept(listener, router, context.clone()));
        let drain = &config.drain;
        let (patience, spread) =
            (Duration::from_secs_f64(drain.seconds), Duration::from_secs_f64(drain.spread_seconds));
        tracing::info!(%address, data_dir = %config.data_dir.display(), "accepting connections");
        let data_dir = config.data_dir;
        let _operator = operator;
        Ok(Self {
            address,
            data_dir,
            presence,
            _operator,
            context,
            broker,
            closes_store,
            _node: node,
            traces,
            patience,
            spread,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// True when TLS is on.
    pub fn is_encrypted(&self) -> bool {
        self.context.tls.is_some()
    }

    /// The keys that check and sign its tokens.
    pub fn keys(&self) -> &Keys {
        &self.context.auth.keys
    }

    /// Takes the settings that may change while it runs: the keys of tokens and the rules for claims. After
    /// an error everything is as it was. Connections whose key is gone end within a second.
    pub async fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        self.context.auth.keys.reload(&config.jwt, &self.data_dir).await?;
        if let Some(tls) = self.context.tls.clone() {
            // The files have changed, not the settings that name them.
            tokio::task::spawn_blocking(move || tls.reload()).await.unwrap_or(Ok(()))?;
        }
        tracing::info!("the keys of tokens were read anew");
        Ok(())
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.context.hub.connections()
    }

    /// Runs going or waiting now.
    pub fn runs(&self) -> usize {
        self.context.runs.alive()
    }

    /// Waits for an authorised request to shut down.
    pub async fn requested(&self) -> ShutdownKind {
        self.context.shutdown.requested().await
    }

    /// Drains: takes nothing new, tells the clients when to come back, lets runs end, closes with 1012, flushes.
    pub async fn shutdown(mut self) {
        self.presence.take();
        let context = &self.context;
        context.shutdown.draining.cancel();
        context.runs.refuse_new();
        let options = context.shutdown.options();
        let (patience, spread) =
            (options.patience.unwrap_or(self.patience), options.spread.unwrap_or(self.spread));
        tokio::join!(drain::send_away(context, spread), context.runs.drain(patience));
        let settled = tokio::time::timeout(SETTLING, async {
            context.publisher.settle().await;
            context.store.settle().await
        });
        match settled.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, "the store did not settle"),
            Err(_) => tracing::warn!("the last writes did not end in time"),
        }
        // No connection is closed before it has it all, whatever became of the notices.
        context.hub.read_on();
        context.hub.command_all(|| ConnectionCommand::Close(CloseCode::Restart, "the server restarts"));
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
        self.broker.close();
        context.shutdown.stopped.cancel();
        if self.closes_store {
            context.store.close().await;
        }
        let traces = self.traces.clone();
        // Sending waits for the receiver.
        let _ = tokio::task::spawn_blocking(move || traces.close()).await;
        if !context.shutdown.wait(Duration::from_secs(3)).await {
            tracing::warn!("some tasks did not end in time");
        }
        tracing::info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stops accepting and ends the upkeep; what is in flight is what a kill would cut off too. After a shutdown
        // nobody is left to be told.
        let close = || ConnectionCommand::Close(CloseCode::Restart, "the server stopped");
        self.context.hub.command_all(close);
        self.context.shutdown.draining.cancel();
        self.context.shutdown.stopped.cancel();
        self.broker.close();
    }
}

async fn authority(config: &Config, keys: Keys, store: &dyn Store) -> Result<Auth, StartError> {
    if config.insecure_no_auth {
        tracing::warn!(
            "AUTHENTICATION IS SWITCHED OFF: whoever reaches {} without a token is the user \"anonymous\"",
            config.listen
        );
    }
    if config.accounts.registration && config.jwt.is_external() {
        tracing::warn!(
            "accounts.registration is open beside an issuer: whoever registers a name first is that user, also with \
             the tokens of the issuer"
        );
    }
    // Earlier versions kept those of administrators for ever.
    let longest = keys.longest_concern().max(Rules::longest_concern(&JwtConfig::default()));
    let (store_wait, never) =
        (Duration::from_secs_f64(config.limits.store_wait_seconds), CancellationToken::new());
    let read = || async {
        store.bound_revocations(longest).await?;
        Ok((store.revocations(unix_now()).await?, store.disabled_users().await?))
    };
    let (kept, disabled) = while_away(store_wait, &never, read).await?;
    let revocations = Revocations::new(kept);
    disabled.iter().for_each(|user_id| revocations.disable(user_id, true));
    Ok(Auth {
        keys,
        revocations,
        tickets: Tickets::new(Duration::from_secs_f64(config.tickets.seconds)),
        query_token: config.auth.query_token,
        insecure_no_auth: config.insecure_no_auth,
    })
}

fn names(agents: &[Arc<dyn Agent>]) -> Names {
    Names {
        agents: agents.iter().map(|agent| agent.name().to_owned()).collect(),
        tools: agents.iter().flat_map(|agent| agent.tools()).collect(),
    }
}

/// Opens the store of the data directory.
async fn embedded(config: &Config, metrics: &Metrics) -> Result<Arc<dyn Store>, StartError> {
    let (data_dir, commits, quota) = (config.data_dir.clone(), metrics.commits.clone(), config.quota.clone());
    let open = move || Embedded::open_counted(&data_dir, commits, quota);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|e| StoreError::Backend(e.to_string()))?;
    Ok(Arc::new(opened?))
}

#[allow(clippy::too_many_arguments)] // each part once
fn build(
    config: &Config,
    auth: Auth,
    tls: Option<Arc<Tls>>,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    publisher: Arc<Publisher>,
    agents: Vec<Arc<dyn Agent>>,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
) -> Result<(Arc<Context>, impl Future<Output = ()> + Send + use<>), ConfigError> {
    let shutdown = Shutdown::default();
    let retention = Retention {
        seconds: config.retention.hours * 3600.0,
        bytes_per_user: config.retention.bytes_per_user,
    };
    let every = Duration::from_secs_f64(config.retention.every_seconds);
    let upkeep = delivery::apply_retention(store.clone(), retention, every, shutdown.stopped.clone());
    let limits = RunLimits {
        concurrent: config.limits.concurrent_runs,
        queued: config.limits.queued_runs,
        run: Duration::from_secs_f64(config.limits.run_seconds),
        grace: AGENT_GRACE,
        lease: LEASE,
        store_wait: Duration::from_secs_f64(config.limits.store_wait_seconds),
        bounds: (&config.limits).into(),
    };
    let runs = Runs::new(
        store.clone(),
        publisher.clone(),
        agents,
        limits,
        metrics.clone(),
        traces,
        config.failpoints,
    );
    let threads =
        Threads::new(store.clone(), publisher.clone(), limits.store_wait, shutdown.draining.clone());
    let auth = Arc::new(auth);
    let logins = Logins::new(store.clone(), auth.clone(), config.accounts.clone());
    let rates = Rates::new(&config.limits, metrics.clone(), Instant::now());
    let log = LogReader::new(store.clone(), &config.limits, rates.clone(), metrics.clone());
    let context = Context {
        store,
        log: Arc::new(log),
        publisher,
        store_health: StoreHealth::default(),
        revocations_due: Notify::new(),
        hub: Arc::new(Hub::new(broker, config.failpoints)),
        runs,
        threads,
        auth,
        logins,
        limits: config.limits.clone(),
        hosts: config.http.hosts()?,
        origins: config.http.origins()?,
        proxies: config.http.proxies()?,
        tls,
        rates,
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
        admission: Admission::new(&config.limits, Instant::now()),
        watchers: config.metrics.watchers()?,
        public_config: http::public_config(config),
        metrics,
        shutdown,
        failpoints: config.failpoints,
    };
    Ok((Arc::new(context), upkeep))
}

/// Drops the limits' state of users and addresses that are idle.
async fn forget_the_idle(rates: Arc<Rates>, stop: CancellationToken) {
    let mut sweep = tokio::time::interval(FORGETTING);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(sweep.tick()).await.is_some() {
        rates.sweep(Instant::now());
    }
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
