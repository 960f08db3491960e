//! The proof of isolation and delivery: many users at once, on purpose in each other's way, with strings that only they
//! can have said, over connections that are cut; then a judge that looks at all that came.
//!
//! `marker` makes and finds the strings, `plan` decides from a seed what everybody does (the room `workload` does it over real
//! sockets), and `judge` is a function of the history alone, so that it judges a file as well. What it gives is a
//! [`Judgement`]; `bound` says how much no violation is worth, and no more.

mod bound;
mod invariants;
pub mod judge;
pub mod marker;
pub mod plan;
pub mod synthetic;

pub use bound::Bound;
pub use invariants::{Invariant, Violation};
pub use judge::{Judgement, judge};
pub use marker::{MarkerKey, Scanner};
pub use plan::{Act, Mode, Plan, Prompt, Size};
