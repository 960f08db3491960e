//! One sample and more of everything that travels, with fixed ids and times.

mod client;
mod control;
mod events;

pub use client::requests;
pub use control::controls;
pub use events::{EVENT_LINES, events};

/// A time of 2026, in Unix seconds.
pub const NOW: f64 = 1_795_257_600.25;

/// A thread's name that tells its number at sight.
pub fn thread_id(number: u8) -> wireproof_protocol::ThreadId {
    wireproof_protocol::RunId::from_bytes(uuid(1, number)).to_string().parse().unwrap()
}

/// The bytes of a version 7 UUID that tells its kind and number at sight.
pub fn uuid(kind: u8, number: u8) -> [u8; 16] {
    [1, 0x9a, 0, 0, 0, 0, 0x70, kind, 0x80, 0, 0, 0, 0, 0, 0, number]
}
