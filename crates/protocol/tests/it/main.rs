//! The wire, the rules of a run and the fold, each tested by calling it.
#![allow(clippy::unwrap_used)]

mod addresses;
mod docs;
mod fold;
mod frames;
mod ids;
mod legal_runs;
mod malformed;
mod merge;
mod rules;
mod rules_restated;
mod samples;
mod schema;
mod schema_check;
mod user_logs;
mod violations;
mod wire;
