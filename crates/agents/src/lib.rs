//! Agents: the trait every agent meets, the context of a run, and the builtin rule-based agent.

#![forbid(unsafe_code)]

mod agent;
mod builtin;

pub use agent::*;
pub use builtin::Builtin;
