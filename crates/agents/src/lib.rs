//! Agents: the trait every agent meets, the context of a run, and the builtin rule-based agent.

#![forbid(unsafe_code)]

mod agent;
mod builtin;
mod context;
mod emissions;

pub use agent::*;
pub use builtin::Builtin;
pub use context::*;
pub use emissions::{EmissionReceiver, EmissionSender, emissions};
