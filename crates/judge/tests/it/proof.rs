//! The proof and its judge: an honest history has no violation, each way of spoiling one is named as what it is, and the
//! proof of a sound server, played for real, finds nothing.

mod file;
mod played;
mod spoiled;
