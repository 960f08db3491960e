//! The WebSocket edge: the upgrade, one task a connection, and the writing that never holds anything else up.

pub mod connection;
mod counted;
pub mod dispatch;
pub mod opening;
pub mod socket;
mod tally;
pub mod upgrade;
