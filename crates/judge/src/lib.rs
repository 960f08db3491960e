//! The judge of any server that a profile describes: [`check`] has the list of checks, [`proof`] plays many users under
//! faults and judges what they saw, [`record`] is the history both write, [`report`] the one result model and its forms.
#![forbid(unsafe_code)]

pub mod check;
pub mod profile;
pub mod proof;
pub mod record;
pub mod report;
