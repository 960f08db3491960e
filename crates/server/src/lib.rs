//! The wireproof server as a library: it delivers every event of a user, in order, once, to exactly that user.
//!
//! Floors, each importing only from those below: `server`; `http`, `ws`; `app`; `session`, `hub`; `threads`, `runs`,
//! `delivery`; `auth`, `store`, `broker`; `clock`, `config`, `error`, `failpoints`, `files`, `limits`, `metrics`, `permissions`,
//! `shutdown`, `tls`, `traces`. No two rooms import each other.

mod app;
pub mod auth;
pub mod broker;
mod clock;
pub mod config;
pub mod delivery;
pub mod error;
pub mod failpoints;
pub mod files;
mod http;
pub mod hub;
pub mod limits;
pub mod metrics;
mod permissions;
pub mod runs;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod store;
pub mod threads;
pub mod tls;
pub mod traces;
pub mod ws;

pub use config::{Config, ConfigError, Overrides};
pub use http::{asyncapi_document, openapi_document};
pub use server::{ReloadError, Server, StartError};
