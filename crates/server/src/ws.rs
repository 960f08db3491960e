//! The WebSocket edge: the upgrade, one task a connection, and the writing that never holds anything else up.

pub mod connection;
mod counting_stream;
pub mod dispatch;
mod frame_metrics;
pub mod handshake;
pub mod socket;
pub mod upgrade;
