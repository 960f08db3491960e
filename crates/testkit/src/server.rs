//! The real server on a port of its own with a folder of its own; as many in one process as a test wants.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    net::TcpSocket,
    time::{Instant, sleep},
};
use wireproof_agents::Agent;
use wireproof_client::Connect;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config, ReloadError, Server,
    auth::{Keys, keys::KeyReport},
};

mod launch;
mod site;

pub(crate) use site::Site;

use crate::{DEADLINE, account::TestAccount, apart::Apart, rest::Rest, user::TestUser};
use launch::{launch, launch_apart, reserve, try_launch_apart};

/// Between two looks at a number of the server that has no event of its own.
const LOOK: Duration = Duration::from_millis(1);

/// A running server that ends with its test.
pub struct TestServer {
    server: Server,
    /// Where it runs, when that is not the test's own runtime.
    apart: Option<Apart>,
    config: Config,
    agents: Vec<Arc<dyn Agent>>,
    site: Arc<Site>,
    folder: TempDir,
    /// Bound but not listening: keeps the port this server's own over a restart.
    _port: TcpSocket,
}

/// A server with settings and agents of a test's own.
#[derive(Default)]
pub struct Builder {
    config: Config,
    agents: Vec<Arc<dyn Agent>>,
    apart: bool,
}

impl Builder {
    /// Changes settings; the address and the data directory are the kit's.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Switches a bug on, by its name: `lost_event`, or `lost_event:50` for once in fifty times. Panics when there is no
    /// such bug.
    #[cfg(feature = "sabotage")]
    pub fn bug(mut self, name: &str, seed: u64) -> Self {
        let bugs = wireproof_server::sabotage::Bugs::parse(name, seed);
        self.config.bugs = bugs.unwrap_or_else(|e| panic!("{e}"));
        self
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

    /// Runs the server on a thread of its own, so that [`TestServer::kill_and_restart`] can end it, and so that a test
    /// that blocks its runtime does not hold it up.
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Starts the server; it accepts connections when this returns. Panics with the reason when it does not start.
    pub async fn start(self) -> TestServer {
        let folder =
            TempDir::with_prefix("wireproof-").unwrap_or_else(|e| panic!("no folder for the server: {e}"));
        let (port, address) = reserve().unwrap_or_else(|e| panic!("no port for the server: {e}"));
        let mut config = self.config;
        config.listen = address;
        config.data_dir = folder.path().to_owned();
        let (apart, server) = match self.apart {
            false => (None, launch(&config, &self.agents).await),
            true => {
                let (apart, server) = launch_apart(&config, &self.agents).await;
                (Some(apart), server)
            }
        };
        let site = Arc::new(Site::open(&config));
        TestServer { server, apart, config, agents: self.agents, site, folder, _port: port }
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
        self.site.url()
    }

    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.site.address
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
        &self.site.keys
    }

    /// A user of this name. Panics when the name cannot be a user's.
    pub fn user(&self, name: &str) -> TestUser {
        let user_id = UserId::new(name).unwrap_or_else(|e| panic!("{name:?} cannot be a user: {e}"));
        TestUser::new(self.site.clone(), user_id)
    }

    /// HTTP of an administrator with all permissions.
    pub fn admin(&self) -> Rest {
        self.site.admin()
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

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Runs going or waiting now.
    pub fn runs(&self) -> usize {
        self.server.runs()
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
        self.server.reload(&config).await?;
        self.site.reload(&config).await?;
        self.config = config;
        Ok(())
    }

    /// Where its keys come from, and how they are.
    pub fn key_report(&self) -> KeyReport {
        self.server.keys().report()
    }

    /// Drains and starts again on the same folder and the same address; users and clients stay good.
    pub async fn restart(self) -> Self {
        let Self { server, apart, config, agents, site, folder, _port } = self;
        server.shutdown().await;
        let (apart, server) = match apart {
            None => (None, launch(&config, &agents).await),
            Some(before) => {
                before.end().await;
                let (apart, server) = launch_apart(&config, &agents).await;
                (Some(apart), server)
            }
        };
        Self { server, apart, config, agents, site, folder, _port }
    }

    /// Ends in the middle of what it does, as a crash would, and starts again on the same folder and the same address:
    /// no close, no drain; what its runs left is ended by the start. Only for a server with [`Builder::apart`]; panics
    /// for others. A whole process, which takes its memory along, is `wireproof serve` to be killed.
    pub async fn kill_and_restart(self) -> Self {
        let Self { server, apart, config, agents, site, folder, _port } = self;
        let Some(killed) = apart else { panic!("a server that is to be killed is started with `apart`") };
        killed.end().await;
        drop(server);
        let deadline = Instant::now() + DEADLINE;
        // The store's own thread writes what it had in its hands, and holds the file until then.
        let (apart, server) = loop {
            match try_launch_apart(&config, &agents).await {
                Ok(launched) => break launched,
                Err(error) if Instant::now() >= deadline => panic!("the server did not start again: {error}"),
                Err(_) => sleep(LOOK).await,
            }
        };
        Self { server, apart: Some(apart), config, agents, site, folder, _port }
    }

    /// Drains: clients are told, runs end, everything is flushed. Gives back the folder for a look.
    pub async fn shutdown(self) -> TempDir {
        self.server.shutdown().await;
        self.folder
    }
}
