//! A client for wireproof servers: connect, send, receive, reconnect, resume.
//! [`Client`] keeps itself connected and shows every event once, in order; [`Connection`] is one socket and no more.
#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
mod handshake;
mod link;
mod reconnect;
mod resume;
mod stream;
mod token;
#[cfg(feature = "tls")]
mod trust;
mod unanswered;
mod upgrade;
mod welcome;

pub use client::{Client, Update};
pub use connection::{Connection, Frame};
pub use error::{ClientError, Ended, OpenError, RecvError, SendError};
pub use handshake::{Connect, Credentials};
pub use reconnect::{Backoff, GiveUp, ReconnectStep};
pub use resume::{Break, Resume, Start};
pub use stream::Stream;
pub use token::token_fault;
#[cfg(feature = "tls")]
pub use trust::Trust;
pub use welcome::Welcome;
