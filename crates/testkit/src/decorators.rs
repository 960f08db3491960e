//! Agents and stores that misbehave in one way and pass everything else on to a good one: faults for the server to show.

mod agent;
mod store;

pub use agent::{AgentFault, FaultyAgent};
pub use store::{FaultyStore, StoreFault};
