//! The judge of any server that a profile describes: [`check`] has the list of checks, [`proof`] judges what many users saw
//! under faults and [`workload`] makes them see it, [`record`] is the history that both write, [`report`] the one result model
//! and its forms.
#![forbid(unsafe_code)]

pub mod check;
mod context;
mod outcome;
pub mod profile;
pub mod proof;
mod received_frame;
pub mod record;
pub mod report;
pub mod rules;
pub mod session;
mod target;
pub mod workload;
