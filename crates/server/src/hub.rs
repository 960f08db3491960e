//! Which connections each user has on this node, and handing them what the broker brings.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::task::AtomicWaker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{CloseCode, ConnectionId, ErrorCode, UserId};

use crate::{
    auth::Principal,
    broker::Notice,
    clock::unix_now,
    delivery::{SharedFeed, feed::Feed},
    limits::Address,
    sabotage::{Bug, Bugs},
};

#[cfg(feature = "sabotage")]
mod faulty;
#[cfg(feature = "sabotage")]
mod unequal;

/// One connection, as the hub and its own task share it.
pub struct Outbox {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Where it comes from.
    pub address: Address,
    /// Since when it is open, in Unix seconds.
    pub since: f64,
    principal: Mutex<Principal>,
    feed: Arc<SharedFeed>,
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
    /// Send nothing any more but this error, then close with 1008.
    End(ErrorCode, &'static str),
}

impl Outbox {
    /// The connection's feed. The lock is held for moments and never across an await.
    pub fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock()
    }

    /// The feed, for the subscription that empties it.
    pub fn shared_feed(&self) -> Arc<SharedFeed> {
        self.feed.clone()
    }

    /// Whose connection it is, by the latest credentials.
    pub fn principal(&self) -> MutexGuard<'_, Principal> {
        self.principal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the connection's task waits for its feed and orders.
    pub fn waker(&self) -> &AtomicWaker {
        self.feed.waker()
    }

    /// Tells the connection what to do.
    pub fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.waker().wake();
    }

    /// What the connection was told to do next, once.
    pub fn take_order(&self) -> Option<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// What waits for the connections of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queues {
    /// Users with a connection.
    pub users: usize,
    /// Connections that have a user.
    pub connections: usize,
    /// Bytes of events that wait in memory.
    pub bytes: usize,
    /// Connections that are served from the log.
    pub behind: usize,
}

/// The node's connections.
#[derive(Default)]
pub struct Hub {
    users: Mutex<HashMap<UserId, Vec<Arc<Outbox>>>>,
    bugs: Bugs,
    #[cfg(feature = "sabotage")]
    faults: faulty::Faults,
}

impl Hub {
    /// A node without connections.
    pub fn new(bugs: Bugs) -> Self {
        Self { bugs, ..Self::default() }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Arc<Outbox>>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection of a user, unless the user has `most` already (0: no limit). Commits are noted from now on.
    pub fn register(
        self: &Arc<Self>,
        principal: &Principal,
        connection_id: ConnectionId,
        address: Address,
        soft_bytes: usize,
        most: usize,
    ) -> Option<Registration> {
        let user_id = &principal.user_id;
        let mut users = self.users();
        let outboxes = users.entry(user_id.clone()).or_default();
        if most > 0 && outboxes.len() >= most {
            return None;
        }
        let outbox = Arc::new(Outbox {
            connection_id,
            address,
            since: unix_now(),
            principal: Mutex::new(principal.clone()),
            feed: Arc::new(SharedFeed::new(soft_bytes)),
            orders: Mutex::default(),
        });
        outboxes.push(outbox.clone());
        Some(Registration { hub: self.clone(), user_id: user_id.clone(), outbox })
    }

    /// Hands each commit to the connections of its user.
    pub fn deliver(&self, notices: &[Notice]) {
        for notice in notices {
            #[cfg(feature = "sabotage")]
            self.deliver_to_others(notice);
            // A short lock a notice: registering connections get in between.
            let users = self.users();
            for outbox in users.get(&notice.user_id).into_iter().flatten() {
                #[cfg(feature = "sabotage")]
                let notice = &self.told(&users, outbox, notice);
                outbox.feed.notice(&notice.events, notice.stored_at);
            }
        }
    }

    /// Delivers until the broker closes or `stop` is cancelled.
    pub async fn listen(self: Arc<Self>, mut notices: mpsc::Receiver<Vec<Notice>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                batch = notices.recv() => match batch {
                    Some(batch) => {
                        #[cfg(feature = "sabotage")]
                        let _ = stop.run_until_cancelled(self.wait_for_the_slow()).await;
                        self.deliver(&batch);
                    }
                    None => return,
                }
            }
        }
    }

    /// True when the user has a connection.
    pub fn has(&self, user_id: &UserId) -> bool {
        self.users().contains_key(user_id)
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.users().values().map(Vec::len).sum()
    }

    /// What waits for the connections.
    pub fn queues(&self) -> Queues {
        let users = self.users();
        let outboxes: Vec<_> = users.values().flatten().cloned().collect();
        let mut queues = Queues { users: users.len(), connections: outboxes.len(), ..Queues::default() };
        // Looked at outside the lock: commits are handed on meanwhile.
        drop(users);
        for outbox in outboxes {
            let feed = outbox.feed();
            queues.bytes += feed.queued_bytes();
            queues.behind += usize::from(feed.is_behind());
        }
        queues
    }

    /// The connections that a question picks.
    pub fn connections_where(&self, mut picked: impl FnMut(&Outbox) -> bool) -> Vec<Arc<Outbox>> {
        self.users().values().flatten().filter(|outbox| picked(outbox)).cloned().collect()
    }

    /// Ends the connections whose principal a question picks; how many they are.
    pub fn end_where(
        &self,
        picked: impl Fn(&Principal) -> bool,
        code: ErrorCode,
        sentence: &'static str,
    ) -> usize {
        let outboxes = self.connections_where(|outbox| picked(&outbox.principal()));
        outboxes.iter().for_each(|outbox| outbox.order(Order::End(code, sentence)));
        outboxes.len()
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

impl Registration {
    /// What is broken on purpose.
    pub fn bugs(&self) -> &Bugs {
        &self.hub.bugs
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        #[cfg(feature = "sabotage")]
        self.leave();
        let mut users = self.hub.users();
        if self.hub.bugs.on(Bug::LateUnregister) {
            users.remove(&self.user_id);
        }
        if let Some(outboxes) = users.get_mut(&self.user_id) {
            outboxes.retain(|outbox| !Arc::ptr_eq(outbox, &self.outbox));
            if outboxes.is_empty() {
                users.remove(&self.user_id);
            }
        }
    }
}
