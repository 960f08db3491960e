//! Which connections each user has on this node, and handing them what the broker brings.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::task::AtomicWaker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{CloseCode, ConnectionId, UserId};

use crate::{broker::Notice, delivery::feed::Feed};

/// One connection, as the hub and its own task share it.
pub struct Outbox {
    /// The connection.
    pub connection_id: ConnectionId,
    feed: Mutex<Feed>,
    waker: AtomicWaker,
    /// What was asked and not yet done, in order: a close must not take the place of the go_away before it.
    orders: Mutex<VecDeque<Order>>,
}

/// What the server asks of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Say `go_away`, then go on until told to close.
    GoAway {
        /// When the client shall come back, in milliseconds.
        reconnect_after_ms: u64,
    },
    /// Send what is queued, then close.
    Close(CloseCode, &'static str),
}

impl Outbox {
    /// The connection's feed. The lock is held for moments and never across an await.
    pub fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the connection's task waits for its feed and orders.
    pub fn waker(&self) -> &AtomicWaker {
        &self.waker
    }

    /// Tells the connection what to do.
    pub fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.waker.wake();
    }

    /// What the connection was told to do next, once.
    pub fn take_order(&self) -> Option<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The node's connections.
#[derive(Default)]
pub struct Hub {
    users: Mutex<HashMap<UserId, Vec<Arc<Outbox>>>>,
}

impl Hub {
    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Arc<Outbox>>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection of a user, unless the user has `most` already (0: no limit). Commits are noted from now on.
    pub fn register(
        self: &Arc<Self>,
        user_id: &UserId,
        connection_id: ConnectionId,
        soft_bytes: usize,
        most: usize,
    ) -> Option<Registration> {
        let mut users = self.users();
        let outboxes = users.entry(user_id.clone()).or_default();
        if most > 0 && outboxes.len() >= most {
            return None;
        }
        let outbox = Arc::new(Outbox {
            connection_id,
            feed: Mutex::new(Feed::new(soft_bytes)),
            waker: AtomicWaker::new(),
            orders: Mutex::default(),
        });
        outboxes.push(outbox.clone());
        Some(Registration { hub: self.clone(), user_id: user_id.clone(), outbox })
    }

    /// Hands each commit to the connections of its user.
    pub fn deliver(&self, notices: &[Notice]) {
        for notice in notices {
            // A short lock a notice: registering connections get in between.
            let users = self.users();
            for outbox in users.get(&notice.user_id).into_iter().flatten() {
                if outbox.feed().notice(&notice.events) {
                    outbox.waker.wake();
                }
            }
        }
    }

    /// Delivers until the broker closes or `stop` is cancelled.
    pub async fn listen(self: Arc<Self>, mut notices: mpsc::Receiver<Vec<Notice>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                batch = notices.recv() => match batch {
                    Some(batch) => self.deliver(&batch),
                    None => return,
                }
            }
        }
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.users().values().map(Vec::len).sum()
    }

    /// Tells every connection what to do; `order` is asked for each.
    pub fn order_all(&self, mut order: impl FnMut() -> Order) {
        for outbox in self.users().values().flatten() {
            outbox.order(order());
        }
    }
}

/// A connection's place in the hub; left when dropped.
pub struct Registration {
    hub: Arc<Hub>,
    user_id: UserId,
    /// The connection's outbox.
    pub outbox: Arc<Outbox>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut users = self.hub.users();
        if let Some(outboxes) = users.get_mut(&self.user_id) {
            outboxes.retain(|outbox| !Arc::ptr_eq(outbox, &self.outbox));
            if outboxes.is_empty() {
                users.remove(&self.user_id);
            }
        }
    }
}
