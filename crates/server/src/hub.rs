//! The connections of each user on this node, and the delivery of commits to them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::sync::OnceCell;
use wireproof_protocol::{CloseCode, ConnectionId, ErrorCode, UserId};

use crate::{
    auth::Principal,
    broker::Broker,
    clock::unix_now,
    delivery::{SharedFeed, feed::Feed},
    failpoints::{Failpoints, failpoint},
    limits::ClientAddress,
    store::Committed,
};

mod heads;

/// One connection, as the hub and its own task share it.
pub struct ConnectionHandle {
    /// The connection.
    pub connection_id: ConnectionId,
    /// The address of the client.
    pub address: ClientAddress,
    /// Since when it is open, in Unix seconds.
    pub since: f64,
    principal: Mutex<Principal>,
    feed: Arc<SharedFeed>,
    /// Commands that are not carried out yet, in order: a close must not replace the go_away before it.
    commands: Mutex<VecDeque<ConnectionCommand>>,
}

/// A command of the server to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionCommand {
    /// Send `go_away`, then go on until a close.
    GoAway {
        /// Milliseconds after which the client should come back.
        reconnect_after_ms: u64,
    },
    /// Send what is queued, then close.
    Close(CloseCode, &'static str),
    /// Send only this error, then close with 1008.
    End(ErrorCode, &'static str),
}

impl ConnectionHandle {
    /// The connection's feed. The lock is held for moments and never across an await.
    pub fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock()
    }

    /// The feed, for the subscription that empties it.
    pub fn shared_feed(&self) -> Arc<SharedFeed> {
        self.feed.clone()
    }

    /// The principal, by the latest credentials.
    pub fn principal(&self) -> MutexGuard<'_, Principal> {
        self.principal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection's task for its feed and its commands.
    pub fn waker(&self) -> &AtomicWaker {
        self.feed.waker()
    }

    /// Gives the connection a command.
    pub fn command(&self, command: ConnectionCommand) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.waker().wake();
    }

    /// Takes the next command.
    pub fn take_order(&self) -> Option<ConnectionCommand> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
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

/// The connections of one user on this node.
#[derive(Default)]
struct Here {
    outboxes: Vec<Arc<ConnectionHandle>>,
    /// Set once the broker hears of the user.
    joined: Arc<OnceCell<()>>,
}

type Users = HashMap<UserId, Here>;

/// The node's connections.
pub struct Hub {
    users: Mutex<Users>,
    broker: Arc<dyn Broker>,
    failpoints: Failpoints,
}

impl Hub {
    /// A node without connections, which joins its users at a broker.
    pub fn new(broker: Arc<dyn Broker>, failpoints: Failpoints) -> Self {
        Self { users: Mutex::default(), broker, failpoints }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection of a user, unless the user has `most` already (0: no limit). Commits are noted once it has
    /// [joined](ConnectionRegistration::join).
    pub fn register(
        self: &Arc<Self>,
        principal: &Principal,
        connection_id: ConnectionId,
        address: ClientAddress,
        soft_bytes: usize,
        most: usize,
    ) -> Option<ConnectionRegistration> {
        let user_id = &principal.user_id;
        let mut users = self.users();
        let Here { outboxes, joined } = users.entry(user_id.clone()).or_default();
        if most > 0 && outboxes.len() >= most {
            return None;
        }
        let handle = Arc::new(ConnectionHandle {
            connection_id,
            address,
            since: unix_now(),
            principal: Mutex::new(principal.clone()),
            feed: Arc::new(SharedFeed::new(soft_bytes)),
            commands: Mutex::default(),
        });
        if failpoint!(self.failpoints, RegistrationLost) {
            let lost = outboxes.extract_if(.., |other| handle.since - other.since <= 5e-3);
            lost.for_each(|lost| lost.feed().deaf.set());
        }
        outboxes.push(handle.clone());
        let joined = joined.clone();
        Some(ConnectionRegistration { hub: self.clone(), user_id: user_id.clone(), joined, handle })
    }

    /// Hands a commit to the connections of its user.
    pub fn deliver(&self, committed: &Committed) {
        let users = self.users();
        for handle in users.get(&committed.user_id).into_iter().flat_map(|here| &here.outboxes) {
            handle.feed.notice(committed);
        }
    }

    /// Has every connection read the log on: notices may have been lost.
    pub fn read_on(&self) {
        for handle in self.outboxes() {
            handle.feed().read_on();
            handle.waker().wake();
        }
    }

    /// The connections, to be looked at outside the lock: commits are handed on meanwhile.
    fn outboxes(&self) -> Vec<Arc<ConnectionHandle>> {
        self.users().values().flat_map(|here| &here.outboxes).cloned().collect()
    }

    /// True when the user has a connection.
    pub fn has(&self, user_id: &UserId) -> bool {
        self.users().contains_key(user_id)
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.users().values().map(|here| here.outboxes.len()).sum()
    }

    /// What waits for the connections.
    pub fn queues(&self) -> Queues {
        let users = self.users().len();
        let outboxes = self.outboxes();
        let mut queues = Queues { users, connections: outboxes.len(), ..Queues::default() };
        for handle in outboxes {
            let feed = handle.feed();
            queues.bytes += feed.queued_bytes();
            queues.behind += usize::from(feed.is_behind());
        }
        queues
    }

    /// The connections for which `picked` is true.
    pub fn connections_where(
        &self,
        mut picked: impl FnMut(&ConnectionHandle) -> bool,
    ) -> Vec<Arc<ConnectionHandle>> {
        let users = self.users();
        let outboxes = users.values().flat_map(|here| &here.outboxes);
        outboxes.filter(|handle| picked(handle)).cloned().collect()
    }

    /// Ends the connections whose principal is picked. Returns how many they are.
    pub fn end_where(
        &self,
        picked: impl Fn(&Principal) -> bool,
        code: ErrorCode,
        sentence: &'static str,
    ) -> usize {
        let outboxes = self.connections_where(|handle| picked(&handle.principal()));
        outboxes.iter().for_each(|handle| handle.command(ConnectionCommand::End(code, sentence)));
        outboxes.len()
    }

    /// Gives every connection a command; `command` is called for each.
    pub fn command_all(&self, mut command: impl FnMut() -> ConnectionCommand) {
        for handle in self.users().values().flat_map(|here| &here.outboxes) {
            handle.command(command());
        }
    }
}

/// A connection's place in the hub; left when dropped.
pub struct ConnectionRegistration {
    hub: Arc<Hub>,
    user_id: UserId,
    joined: Arc<OnceCell<()>>,
    /// The connection's outbox.
    pub handle: Arc<ConnectionHandle>,
}

impl ConnectionRegistration {
    /// Returns when notices of the user reach this node; to be awaited before the head of the log is read. False when the
    /// broker did not say so in time: then nothing may be read, and the client has to come back.
    pub async fn join(&self, within: Duration) -> bool {
        let joined = self.joined.get_or_init(|| self.hub.broker.join(&self.user_id));
        tokio::time::timeout(within, joined).await.is_ok()
    }
}

impl Drop for ConnectionRegistration {
    fn drop(&mut self) {
        let mut users = self.hub.users();
        if failpoint!(self.hub.failpoints, LateUnregister) {
            let lost = users.remove(&self.user_id);
            lost.iter().flat_map(|here| &here.outboxes).for_each(|handle| handle.feed().deaf.set());
        }
        if let Some(here) = users.get_mut(&self.user_id) {
            here.outboxes.retain(|handle| !Arc::ptr_eq(handle, &self.handle));
            if here.outboxes.is_empty() {
                users.remove(&self.user_id);
                // Under the lock: a connection that comes now joins after this.
                self.hub.broker.leave(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use async_trait::async_trait;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        auth::Permissions,
        broker::{Notice, Subscriber},
    };

    /// A broker that never says that it joined anybody.
    struct Silent;

    #[async_trait]
    impl Broker for Silent {
        fn try_publish(&self, _: Notice) {}
        async fn join(&self, _: &UserId) {
            std::future::pending().await
        }
        fn leave(&self, _: &UserId) {}
        fn subscribe(&self, _: Weak<dyn Subscriber>) {}
        fn ended(&self) -> CancellationToken {
            CancellationToken::new()
        }
        fn close(&self) {}
    }

    /// Bug: a connection waited for ever for a broker that did not answer.
    #[tokio::test]
    async fn a_broker_that_does_not_answer_is_not_waited_for_for_ever() {
        let hub = Arc::new(Hub::new(Arc::new(Silent), Failpoints::default()));
        let principal = Principal {
            user_id: UserId::new("ada").unwrap(),
            expires_at: 1e12,
            issued_at: None,
            token_id: None,
            session_id: None,
            permissions: Permissions::of_a_user(),
            key: None,
        };
        let address = ClientAddress::of([127, 0, 0, 1].into());
        let registration = hub.register(&principal, ConnectionId::new(), address, 1000, 0).unwrap();
        assert!(!registration.join(Duration::from_millis(50)).await);
    }
}
