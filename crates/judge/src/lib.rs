//! The judge of any server that a profile describes: [`check`] has the list of checks, [`proof`] judges what many users saw
//! under faults and [`play`] makes them see it, [`record`] is the history that both write, [`report`] the one result model
//! and its forms.
#![forbid(unsafe_code)]

pub mod check;
mod outcome;
pub mod play;
pub mod profile;
pub mod proof;
pub mod record;
pub mod report;
pub mod rules;
mod seen;
pub mod session;
mod target;
mod trial;
