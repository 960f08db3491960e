//! The real server on a port of its own with a folder of its own; as many in one process as a test wants.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    net::TcpSocket,
    runtime::Handle,
    time::{Instant, sleep},
};
use wireproof_agents::Agent;
use wireproof_client::Connect;
use wireproof_protocol::{IdError, UserId};
use wireproof_server::{
    Config, ConfigError, ReloadError, Server,
    auth::{Keys, keys::KeyReport},
    server::StoreLayer,
    store::Store,
};

mod launch;

pub use launch::LaunchError;

use crate::{
    account::TestAccount,
    deadline::DEADLINE,
    rest::Rest,
    seams::{AgentLayer, BrokerMaker, Seams},
    server_info::ServerInfo,
    unreliable,
    user::TestUser,
};
use launch::{Place, Running, reserve};

/// Between two looks at a number of the server that has no event of its own.
const LOOK: Duration = Duration::from_millis(1);

/// A running server that ends with its test.
pub struct TestServer {
    /// The server, unless it was shut down or killed.
    running: Option<Running>,
    place: Place,
    config: Config,
    agents: Vec<Arc<dyn Agent>>,
    seams: Seams,
    info: Arc<ServerInfo>,
    folder: TempDir,
    /// Bound but not listening: keeps the port this server's own over a restart.
    _port: TcpSocket,
}

/// A server with settings and agents of a test's own.
#[derive(Default)]
pub struct Builder {
    config: Config,
    agents: Vec<Arc<dyn Agent>>,
    seams: Seams,
    place: Place,
}

impl Builder {
    /// Changes settings; the address and the data directory are the kit's.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes settings by a text as the file of settings has them, such as `[limits]\nqueued_runs = 3`.
    pub fn settings(mut self, toml: &str) -> Result<Self, ConfigError> {
        self.config.merge(toml)?;
        Ok(self)
    }

    /// Changes one setting by its key as in the file, such as `limits.queued_runs`.
    pub fn setting(mut self, key: &str, value: impl Into<toml::Value>) -> Result<Self, ConfigError> {
        self.config.set(key, value)?;
        Ok(self)
    }

    /// Adds an agent behind the builtin one, which stays the first.
    pub fn agent(mut self, agent: impl Agent) -> Self {
        self.agents.push(Arc::new(agent));
        self
    }

    /// Adds agents behind the builtin one.
    pub fn agents(mut self, agents: impl IntoIterator<Item = Arc<dyn Agent>>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// Puts an agent of the test's own around each agent, at each start: one that leaves out or changes what it reports.
    /// The last one added is the outermost.
    pub fn layer_agents(mut self, layer: AgentLayer) -> Self {
        self.seams.agent_layers.push(layer);
        self
    }

    /// Gives the server a store that the test opened, and closes: two servers with one are two nodes.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.seams.store = Some(store);
        self
    }

    /// Puts a store of the test's own around the other one, at each start: one that counts, or fails now and then. The last
    /// one added is the outermost.
    pub fn layer_store(mut self, layer: StoreLayer) -> Self {
        self.seams.layers.push(layer);
        self
    }

    /// Gives the server a broker of the test's own, made at each start.
    pub fn broker(mut self, broker: BrokerMaker) -> Self {
        self.seams.broker = Some(broker);
        self
    }

    /// Runs the server on a thread of its own, so that [`TestServer::kill_and_restart`] can end it, and so that a test
    /// that blocks its runtime does not hold it up.
    pub fn server_thread(mut self) -> Self {
        self.place = Place::ServerThread;
        self
    }

    /// Runs the server on this runtime, and not on the one that starts it.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.place = Place::On(runtime);
        self
    }

    /// Starts the server; it accepts connections when this returns. Panics with the reason when it does not start.
    pub async fn start(self) -> TestServer {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same with the failure as an error.
    pub async fn try_start(self) -> Result<TestServer, LaunchError> {
        let folder = TempDir::with_prefix("wireproof-").map_err(LaunchError::machine("folder"))?;
        let (port, address) = reserve().map_err(LaunchError::machine("port"))?;
        let Self { mut config, agents, mut seams, place } = self;
        config.listen = address;
        config.data_dir = folder.path().to_owned();
        unreliable::from_environment(&mut config, &mut seams);
        let running = Some(place.launch(&config, &agents, &seams).await?);
        let info = Arc::new(ServerInfo::open(&config));
        Ok(TestServer { running, place, config, agents, seams, info, folder, _port: port })
    }
}

impl TestServer {
    /// Starts a server with the default settings and the builtin agent.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts a server with changed settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::builder().config(change).start().await
    }

    /// A server with settings and agents of the test's own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where its WebSocket is.
    pub fn url(&self) -> String {
        self.info.url()
    }

    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.info.address
    }

    /// Where it keeps everything; gone when the server is dropped.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What signs its tokens: for tokens that no `TestUser` would show.
    pub fn keys(&self) -> &Keys {
        &self.info.keys
    }

    /// A user of this name. Panics when the name cannot be a user's.
    pub fn user(&self, name: &str) -> TestUser {
        self.try_user(name).unwrap_or_else(|e| panic!("{name:?} cannot be a user: {e}"))
    }

    /// The same with the failure as an error.
    pub fn try_user(&self, name: &str) -> Result<TestUser, IdError> {
        Ok(TestUser::new(self.info.clone(), UserId::new(name)?))
    }

    /// HTTP of an administrator with all permissions.
    pub fn admin(&self) -> Rest {
        self.info.admin()
    }

    /// A user with an account, which is made if there is none, who has just logged in.
    pub async fn account(&self, name: &str, password: &str) -> TestAccount {
        let body = serde_json::json!({ "user_id": name, "password": password });
        let made = self.admin().post("/api/admin/users", body).await;
        assert!([201, 409].contains(&made.status), "no account {name}: {}", made.body);
        TestAccount::login(self.user(name), password).await
    }

    /// A connection of nobody, to be given credentials or none.
    pub fn connect(&self) -> Connect {
        Connect::to(self.url())
    }

    /// HTTP without credentials.
    pub fn rest(&self) -> Rest {
        Rest::to(self.address())
    }

    /// Connections open now; none of a server that was shut down or killed.
    pub fn connections(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.server.connections())
    }

    /// Runs going or waiting now; none of a server that was shut down or killed.
    pub fn runs(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.server.runs())
    }

    fn server(&self) -> &Server {
        match &self.running {
            Some(running) => &running.server,
            None => panic!("the server was shut down or killed"),
        }
    }

    /// Waits until no run is going or waiting, and returns; panics past the deadline.
    pub async fn idle(&self) {
        self.until("no run is left", |server| server.runs() == 0).await;
    }

    /// Waits until the closure says yes; panics past the deadline with the words.
    pub async fn until(&self, words: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self) {
            let (runs, connections) = (self.runs(), self.connections());
            assert!(
                Instant::now() < deadline,
                "not within {DEADLINE:?}: {words} ({runs} runs, {connections} connections)"
            );
            sleep(LOOK).await;
        }
    }

    /// Changes settings and has the running server take in what it can, as SIGHUP does; users sign with its new key.
    /// After an error all is as before.
    pub async fn reload(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), ReloadError> {
        let mut config = self.config.clone();
        change(&mut config);
        self.server().reload(&config).await?;
        self.info.reload(&config).await?;
        self.config = config;
        Ok(())
    }

    /// Where its keys come from, and how they are.
    pub fn key_report(&self) -> KeyReport {
        self.server().keys().report()
    }

    /// Drains and starts again on the same folder and the same address; users and clients stay good. Starts one that was
    /// shut down or killed.
    pub async fn restart(&mut self) {
        self.try_restart().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same with the failure as an error.
    pub async fn try_restart(&mut self) -> Result<(), LaunchError> {
        self.shutdown().await;
        self.running = Some(self.place.launch(&self.config, &self.agents, &self.seams).await?);
        Ok(())
    }

    /// Ends in the middle of what it does, as a crash would: no close, no drain. Only for a server with
    /// [`Builder::server_thread`]; panics for others. A whole process, which takes its memory along, is `wireproof serve` to be
    /// killed.
    pub async fn kill(&mut self) {
        self.try_kill().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same with the failure as an error.
    pub async fn try_kill(&mut self) -> Result<(), LaunchError> {
        if !matches!(self.place, Place::ServerThread) {
            return Err(LaunchError::NotApart);
        }
        if let Some(Running { server, server_thread: Some(server_thread) }) = self.running.take() {
            server_thread.end().await;
            drop(server);
        }
        Ok(())
    }

    /// Is killed, as [`TestServer::kill`] says, and starts again on the same folder and the same address; what its runs
    /// left is ended by the start.
    pub async fn kill_and_restart(&mut self) {
        self.try_kill_and_restart().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same with the failure as an error.
    pub async fn try_kill_and_restart(&mut self) -> Result<(), LaunchError> {
        self.try_kill().await?;
        let deadline = Instant::now() + DEADLINE;
        // The store's own thread writes what it had in its hands, and holds the file until then.
        while let Err(error) = self.try_restart().await {
            if Instant::now() >= deadline {
                return Err(error);
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Drains: clients are told, runs end, everything is flushed. The folder stays for a look.
    pub async fn shutdown(&mut self) {
        let Some(Running { server, server_thread }) = self.running.take() else { return };
        server.shutdown().await;
        if let Some(server_thread) = server_thread {
            server_thread.end().await;
        }
    }
}
