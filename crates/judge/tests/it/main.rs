//! The judge before real servers: what it says of them, of histories, and of profiles.
#![allow(clippy::unwrap_used)]

mod judge;
mod mutations;
mod profiles;
mod proof;
