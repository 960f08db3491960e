//! How nodes tell each other what was committed. A notice may be lost; the stored event may not.

use tokio::sync::mpsc;

use crate::store::Committed;

pub mod local;

/// What one commit made durable, told to every subscriber in the order of the commits.
pub type Notice = Committed;

/// Tells notices; keeps no history.
pub trait Broker: Send + Sync + 'static {
    /// Tells a commit to all subscribers. Waits, off the async threads, while a subscriber's queue is full.
    fn publish(&self, notices: Vec<Notice>);
    /// Hears every notice published from now on.
    fn subscribe(&self) -> mpsc::Receiver<Vec<Notice>>;
    /// Ends all subscriptions.
    fn close(&self);
}
