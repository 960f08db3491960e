//! What the fuzzers do with their bytes: each target feeds the real code and judges what comes of it by rules written
//! a second time. `fuzz/` runs them for long, `tests/short.rs` for seconds; a finding is a panic.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a target says that it found something by panicking")]

mod client_frame;
mod http_body;
mod resume_query;
mod rig;
mod token;
mod websocket_bytes;

pub use client_frame::client_frame;
pub use http_body::http_body;
pub use resume_query::resume_query;
pub use token::token;
pub use websocket_bytes::websocket_bytes;

/// Takes one input; panics when it finds something.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("client_frame", client_frame),
    ("token", token),
    ("resume_query", resume_query),
    ("http_body", http_body),
    ("websocket_bytes", websocket_bytes),
];
