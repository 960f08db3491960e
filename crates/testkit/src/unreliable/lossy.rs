//! A broker that loses what a test picks, and may be cut off from the network and come back.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;
use wireproof_server::broker::{Broker, Notice, Subscriber};

/// A broker around another.
pub struct LossyBroker {
    broker: Arc<dyn Broker>,
    is_lost: fn(&Notice) -> bool,
    node: Mutex<Option<Weak<dyn Subscriber>>>,
}

impl LossyBroker {
    /// Loses the notices of its node that are picked.
    pub fn new(broker: Arc<dyn Broker>, is_lost: fn(&Notice) -> bool) -> Self {
        Self { broker, is_lost, node: Mutex::default() }
    }

    /// Says that it was cut off, as a broker does that hears again.
    pub fn reconnect(&self) {
        let node = self.node.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade);
        node.into_iter().for_each(|node| node.missed());
    }
}

#[async_trait]
impl Broker for LossyBroker {
    fn try_publish(&self, notice: Notice) {
        if !(self.is_lost)(&notice) {
            self.broker.try_publish(notice);
        }
    }

    async fn join(&self, user_id: &UserId) {
        self.broker.join(user_id).await;
    }

    fn leave(&self, user_id: &UserId) {
        self.broker.leave(user_id);
    }

    fn subscribe(&self, node: Weak<dyn Subscriber>) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        self.broker.subscribe(node);
    }

    fn ended(&self) -> CancellationToken {
        self.broker.ended()
    }

    fn close(&self) {
        self.broker.close();
    }
}
