//! The broker inside one process: whoever publishes calls the nodes, so nothing waits and nothing is lost.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;

use super::{Broker, Notice, Subscriber};

/// A node, with what is cancelled when it hears no more.
type Ear = (CancellationToken, Weak<dyn Subscriber>);

/// The end of one node; nodes that share a process share the rest.
#[derive(Default)]
pub struct Local {
    nodes: Arc<RwLock<Vec<Ear>>>,
    ended: CancellationToken,
}

impl Local {
    /// The end of another node in this process.
    pub fn another(&self) -> Self {
        Self { nodes: self.nodes.clone(), ended: CancellationToken::new() }
    }
}

#[async_trait]
impl Broker for Local {
    fn try_publish(&self, notice: Notice) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().filter_map(|(_, node)| node.upgrade()).for_each(|node| node.hear(&notice));
    }

    // A node looks for the user among its own: nobody has to be asked.
    async fn join(&self, _: &UserId) {}

    fn leave(&self, _: &UserId) {}

    fn subscribe(&self, node: Weak<dyn Subscriber>) {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner).push((self.ended.clone(), node));
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    fn close(&self) {
        self.ended.cancel();
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|(ended, _)| !ended.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use wireproof_protocol::Epoch;

    use super::*;
    use crate::store::Committed;

    #[derive(Default)]
    struct Listener(AtomicUsize);

    impl Subscriber for Listener {
        fn hear(&self, _: &Notice) {
            self.0.fetch_add(1, SeqCst);
        }
        fn missed(&self) {}
    }

    #[test]
    fn every_node_hears_until_it_closes() {
        let (one, ears) = (Local::default(), [Arc::new(Listener::default()), Arc::new(Listener::default())]);
        let other = one.another();
        let weak = |ear: &Arc<Listener>| Arc::downgrade(ear) as Weak<dyn Subscriber>;
        one.subscribe(weak(&ears[0]));
        other.subscribe(weak(&ears[1]));
        let committed = Committed {
            user_id: UserId::new("ada").unwrap(),
            epoch: Epoch::new(1),
            first_seq: 1,
            seq: 1,
            bytes: 0,
            stored_at: 0.0,
            events: None,
        };
        let tell = || one.try_publish(Notice::Committed(committed.clone()));
        tell();
        other.close();
        tell();
        assert_eq!(ears.each_ref().map(|ear| ear.0.load(SeqCst)), [2, 1]);
        assert!(other.ended().is_cancelled() && !one.ended().is_cancelled());
    }
}
