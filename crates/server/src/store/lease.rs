//! Who may write of a run: the node that leases it, with the number that the lease got.

use wireproof_protocol::{RunId, Timestamp};

/// A node, made anew with each start of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u128);

impl NodeId {
    /// A node that is no other.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(rand::random())
    }
}

/// Which node leases runs, and until when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaseTerm {
    /// The node.
    pub node_id: NodeId,
    /// The end, in Unix seconds.
    pub until: Timestamp,
}

/// The right to write of a run. Whoever leases the run later gets a higher number, and from then on a write with a lower
/// one is refused with [`StoreError::LeaseLost`](super::StoreError::LeaseLost).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run_id: RunId,
    /// The fencing number: 1 for the node that started the run.
    pub number: u64,
}
