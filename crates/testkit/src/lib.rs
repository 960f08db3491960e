//! The real server inside a test: users with real tokens, clients on real sockets, and expectations that explain
//! themselves. Nothing is mocked and nothing sleeps; what does not happen within its deadline fails with what did.
//!
//! ```
//! use wireproof_testkit::{TestServer, event};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let server = TestServer::start().await;
//!     let (phone, laptop) = tokio::join!(server.user("ada").connect(), server.user("ada").connect());
//!     let eve = server.user("eve").connect().await;
//!     let run = phone.chat("What is 17*23?").await;
//!     laptop.expect(event("tool_completed").field("tool_name", "calculate")).await;
//!     let run = laptop.expect_run_completed(run.run_id).await;
//!     assert!(run.final_response().is_some_and(|text| text.contains("391")));
//!     eve.expect_none(event("agent_started")).await;
//! }
//! ```
#![forbid(unsafe_code)]

mod account;
mod arrival;
pub mod check;
mod client;
mod collector;
mod contract;
mod expect;
mod history;
mod issuer;
mod line;
mod matcher;
pub mod proxy;
pub mod profile;
pub mod record;
pub mod report;
mod rest;
mod run;
mod server;
mod table;
mod tokens;
mod user;
pub mod wire;

pub use account::TestAccount;
pub use arrival::Arrival;
pub use client::{Accepted, TestClient};
pub use expect::Unmet;
pub use issuer::{Issuer, JwksServer, pem, unsigned};
pub use matcher::{Matcher, answer_to, error, event, frame, matching};
pub use proxy::FaultProxy;
pub use rest::{Reply, Rest};
pub use run::Run;
pub use server::{Builder, TestServer};
pub use tokens::TokenKind;
pub use user::TestUser;

/// How long an expectation waits unless it is told otherwise.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
