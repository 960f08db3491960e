//! What a test gives a server in the place of its store and its broker, and puts around its agents.

use std::sync::Arc;

use wireproof_agents::Agent;
use wireproof_server::{broker::Broker, server::StoreLayer, store::Store};

/// Makes the broker of a server; called at each start.
pub type BrokerMaker = Arc<dyn Fn() -> Arc<dyn Broker> + Send + Sync>;

/// Puts an agent around another.
pub type AgentLayer = Arc<dyn Fn(Arc<dyn Agent>) -> Arc<dyn Agent> + Send + Sync>;

/// What a test gives a server in the place of its store and its broker, and puts around its agents.
#[derive(Clone, Default)]
pub(crate) struct Seams {
    pub store: Option<Arc<dyn Store>>,
    pub layers: Vec<StoreLayer>,
    pub agent_layers: Vec<AgentLayer>,
    pub broker: Option<BrokerMaker>,
}
