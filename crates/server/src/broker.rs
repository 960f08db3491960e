//! How nodes tell each other what happened. A notice may be lost, doubled, late or out of order; what is stored is not.
//!
//! Each node joins the users who have a connection on it, before it reads the heads of their logs. Whoever committed
//! publishes afterwards, so order holds for each user by `seq` alone. What a lost notice told of is found by a gap, by a
//! control frame that waits for it, and by comparing heads at each heartbeat.

use std::sync::Weak;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{RunId, Timestamp, UserId};

use crate::store::{Committed, Revocation};

pub mod local;

/// Bytes of events that a notice carries at most over a network; of more it tells the numbers alone.
pub const NOTICE_BYTES: usize = 64 << 10;

/// Something that other nodes have to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// Events were committed.
    Committed(Committed),
    /// A run of a user shall end.
    Cancel(UserId, RunId),
    /// A token, a login or a user was revoked.
    Revoked(Revocation),
    /// An account was disabled or enabled: the store knows which.
    Disabled(UserId),
    /// The connections of a user shall end that were open at a time, in Unix seconds.
    Kick(UserId, Timestamp),
}

impl Notice {
    /// The user whose nodes hear it; none when every node does.
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::Committed(committed) => Some(&committed.user_id),
            Self::Cancel(user_id, _) | Self::Kick(user_id, _) => Some(user_id),
            Self::Revoked(_) | Self::Disabled(_) => None,
        }
    }
}

/// Takes notices to the nodes that they concern; keeps no history.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Tells a notice, to this node too. Never waits; drops the notice when its queue is full.
    fn try_publish(&self, notice: Notice);
    /// Hears of a user from the time this returns until [`leave`](Self::leave). A broker that is cut off returns all the
    /// same, and says [`missed`](Subscriber::missed) once it hears again. After 10 s the connection that asked for it is
    /// turned away.
    async fn join(&self, user_id: &UserId);
    /// Hears no more of a user. Does not wait.
    fn leave(&self, user_id: &UserId);
    /// From now on this node hears what is told.
    fn subscribe(&self, node: Weak<dyn Subscriber>);
    /// Cancelled once nothing can be heard any more: the broker was closed, or what listens has died.
    fn ended(&self) -> CancellationToken;
    /// Ends the subscription of this node.
    fn close(&self);
}

/// What hears notices: a node.
pub trait Subscriber: Send + Sync + 'static {
    /// Takes a notice. Called on any thread; does not wait.
    fn hear(&self, notice: &Notice);
    /// Notices may have been lost: all that is live reads on, and what was revoked is read again.
    fn missed(&self);
}
