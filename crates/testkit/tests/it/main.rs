//! The server through its front door: real sockets, real tokens, real agents, and nothing in between.
#![allow(clippy::unwrap_used)]

mod acting;
mod five_events;
mod front_door;
mod heartbeat;
mod http;
mod idempotency;
mod isolation;
mod kit;
mod malformed;
mod misbehaving;
mod positions;
mod resets;
mod resume;
mod rfc6455;
mod runs;
mod shutdown;
mod stalled;
mod tap;
mod threads;
mod tokens;
mod wire;
