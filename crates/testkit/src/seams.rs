//! What a test gives a server in the place of its store and its broker.

use std::sync::Arc;

use wireproof_server::{broker::Broker, server::StoreLayer, store::Store};

/// Makes the broker of a server; called at each start.
pub type BrokerMaker = Arc<dyn Fn() -> Arc<dyn Broker> + Send + Sync>;

/// What a test gives a server in the place of its store and its broker.
#[derive(Clone, Default)]
pub(crate) struct Seams {
    pub store: Option<Arc<dyn Store>>,
    pub layers: Vec<StoreLayer>,
    pub broker: Option<BrokerMaker>,
}
