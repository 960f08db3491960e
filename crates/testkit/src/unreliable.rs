//! A broker and a store that do what a network does to them: the proof that the server needs no more than they promise.
//!
//! With `WIREPROOF_UNRELIABLE` set to `broker` or `store`, every [`TestServer`](crate::TestServer) that a test has not given one of
//! its own gets this one, so that whole suites run over it.

mod broker;
mod lossy;
mod store;

pub use broker::UnreliableBroker;
pub use lossy::LossyBroker;
pub use store::UnreliableStore;

use std::sync::Arc;

use wireproof_server::{Config, broker::local::Local, store::layer::Layered};

use crate::seams::Seams;

/// Seconds between two comparisons of heads: a test does not wait long for what a lost notice told of.
const HEARTBEAT_SECONDS: f64 = 0.5;

/// Puts in what the environment asks for. Panics on a word that is none of ours.
pub(crate) fn from_environment(config: &mut Config, seams: &mut Seams) {
    let Ok(word) = std::env::var("WIREPROOF_UNRELIABLE") else { return };
    match word.as_str() {
        "broker" if seams.broker.is_none() => {
            seams.broker = Some(Arc::new(|| Arc::new(UnreliableBroker::new(Arc::new(Local::default()), 1))));
            let limits = &mut config.limits;
            limits.heartbeat_seconds = limits.heartbeat_seconds.min(HEARTBEAT_SECONDS);
        }
        "store" if seams.layers.is_empty() => {
            seams.layers.push(Arc::new(|store| Arc::new(Layered::new(store, UnreliableStore::new(1)))));
        }
        "broker" | "store" => {}
        _ => panic!("WIREPROOF_UNRELIABLE is \"broker\" or \"store\", not {word:?}"),
    }
}
