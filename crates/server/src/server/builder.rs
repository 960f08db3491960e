//! What a server is built from: its settings, and the parts that the caller gives in place of the usual ones.

use std::{sync::Arc, time::Duration};

use wireproof_agents::{Agent, Builtin};

use super::{Server, StartError};
use crate::{
    broker::{Broker, local::Local},
    config::Config,
    store::Store,
};

/// Puts a store between the server and the store that it opened: a cache, a fault, a count of calls.
pub type StoreLayer = Arc<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync>;

/// A server that is about to be started. What is not given is the builtin agent, the embedded store in the data
/// directory, and the broker of a single node.
pub struct Builder {
    pub(super) config: Config,
    agents: Vec<Arc<dyn Agent>>,
    store: Option<Arc<dyn Store>>,
    broker: Option<Arc<dyn Broker>>,
    layers: Vec<StoreLayer>,
}

/// The parts of a server.
pub(super) struct Parts {
    pub agents: Vec<Arc<dyn Agent>>,
    /// None: the embedded one.
    pub store: Option<Arc<dyn Store>>,
    pub broker: Arc<dyn Broker>,
    pub layers: Vec<StoreLayer>,
}

impl Builder {
    pub(super) fn new(config: Config) -> Self {
        Self { config, agents: Vec::new(), store: None, broker: None, layers: Vec::new() }
    }

    /// The agents, the first of them for messages that name none; none means the builtin agent.
    pub fn agents(mut self, agents: Vec<Arc<dyn Agent>>) -> Self {
        self.agents = agents;
        self
    }

    /// The store, which the caller closes. The data directory holds the keys and the server's sockets all the same.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The broker.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Adds a layer around the store; the last one added is the outermost.
    pub fn layer_store(mut self, layer: StoreLayer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Starts the server; returns when it accepts connections.
    pub async fn start(self) -> Result<Server, StartError> {
        let Self { config, mut agents, store, broker, layers } = self;
        if agents.is_empty() {
            let tool_time = Duration::from_secs_f64(config.limits.tool_seconds);
            agents.push(Arc::new(Builtin::new().with_tool_deadline(tool_time)));
        }
        let broker = broker.unwrap_or_else(|| Arc::new(Local::default()));
        Server::start_from(config, Parts { agents, store, broker, layers }).await
    }
}
