//! The real server inside a test. What follows is the README: its examples are tests.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

/// The examples of the page on agents are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/agents.md")]
mod agents_page {}

mod account;
mod client;
mod deadline;
pub mod decorators;
mod diff;
mod event_report;
mod expect;
mod history;
mod issuer;
mod matcher;
mod received;
pub mod recording;
mod rest;
mod run;
mod scripted_agent;
mod seams;
mod server;
mod server_info;
mod server_thread;
mod table;
mod tokens;
pub mod unreliable;
mod user;

pub use account::TestAccount;
pub use client::{Accepted, TestClient};
pub use deadline::DEADLINE;
pub use event_report::{ClientReport, EventReport, ReportStep, RunReport, Since};
pub use expect::Unmet;
pub use history::Entry;
pub use issuer::{Issuer, JwksServer, pem, unsigned};
pub use matcher::{Matcher, answer_to, error, event, frame, matching};
pub use received::ReceivedFrame;
pub use rest::{NoReply, Reply, Rest};
pub use run::Run;
pub use scripted_agent::ScriptedAgent;
pub use seams::{AgentLayer, BrokerMaker};
pub use server::{Builder, LaunchError, TestServer};
pub use tokens::TokenKind;
pub use user::{ConnectError, TestUser};
