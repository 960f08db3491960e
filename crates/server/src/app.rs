//! The parts of a running server, as both of its edges need them, and the work that needs several of these parts.

use std::{sync::Arc, time::Instant};

use tokio::sync::{Notify, Semaphore};

use crate::{
    auth::{Auth, AuthError, Principal, logins::Logins},
    config::{hosts::Hosts, origins::Origins},
    delivery::{LogReader, Publisher},
    failpoints::Failpoints,
    hub::Hub,
    limits::{
        ClientAddress, Limits, address::Proxies, admission::Admission, networks::Networks, rates::Rates,
    },
    metrics::Metrics,
    runs::Runs,
    shutdown::Shutdown,
    store::Store,
    threads::Threads,
    tls::Tls,
};

mod request_key;
mod revocations;
pub mod revoke;
mod store_health;
pub mod withdrawn_keys;

pub use request_key::request_key;
pub use revocations::follow as follow_revocations;
pub use store_health::StoreHealth;

/// The parts of a running server.
pub struct Context {
    /// Logs, threads, messages, runs and accounts.
    pub store: Arc<dyn Store>,
    /// Whether the store answers.
    pub store_health: StoreHealth,
    /// Has the revocations read from the store before the next heartbeat.
    pub revocations_due: Notify,
    /// Tells the nodes of a user what was committed.
    pub publisher: Arc<Publisher>,
    /// Reads the logs of users for their subscriptions.
    pub log: Arc<LogReader>,
    /// The connections of this node.
    pub hub: Arc<Hub>,
    /// The runs.
    pub runs: Arc<Runs>,
    /// The threads.
    pub threads: Threads,
    /// Checks credentials.
    pub auth: Arc<Auth>,
    /// Gives tokens for passwords.
    pub logins: Logins,
    /// The limits of the settings.
    pub limits: Limits,
    /// The host names of the server.
    pub hosts: Hosts,
    /// The allowed origins of web pages.
    pub origins: Origins,
    /// The trusted proxies.
    pub proxies: Proxies,
    /// The rates of users and addresses.
    pub rates: Arc<Rates>,
    /// Decides whether a new handshake may start.
    pub admission: Admission,
    /// Permits for large bodies that may be read at once; others wait.
    pub large_bodies: Arc<Semaphore>,
    /// TLS, if it is on.
    pub tls: Option<Arc<Tls>>,
    /// The networks that may read the metrics.
    pub watchers: Networks,
    /// The part of the settings that `/ws/health` shows.
    pub public_config: serde_json::Value,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the server drains or stops.
    pub shutdown: Shutdown,
    /// The fault that a test switched on.
    pub failpoints: Failpoints,
}

impl Context {
    /// The principal of a token from an address; after too many bad ones from there it is refused unchecked.
    pub async fn authenticate(&self, token: &str, address: ClientAddress) -> Result<Principal, AuthError> {
        match self.authenticate_now(token, address) {
            Some(result) => result,
            None => self.authenticate_asking(token, address).await,
        }
    }

    /// The same without waiting; `None` when the token's issuer has to be asked first.
    pub fn authenticate_now(
        &self,
        token: &str,
        address: ClientAddress,
    ) -> Option<Result<Principal, AuthError>> {
        if let Err(exceeded) = self.rates.try_token(address, Instant::now()) {
            return Some(Err(AuthError::TooMany(exceeded)));
        }
        let result = self.auth.authenticate_now(token);
        // While the issuer is asked no try is held: the good tokens of many would use the address up.
        if !matches!(result, Some(Err(AuthError::Invalid))) {
            self.rates.forgive_token(address);
        }
        result
    }

    /// The same after asking the issuer, which takes at most 4.5 s; the number of tokens that wait for it is bounded.
    pub async fn authenticate_asking(
        &self,
        token: &str,
        address: ClientAddress,
    ) -> Result<Principal, AuthError> {
        let _place = self.rates.issuer_wait(address).map_err(AuthError::Waiting)?;
        let result = self.auth.authenticate_asking(token).await;
        if matches!(result, Err(AuthError::Invalid)) {
            // It counts; if the address has no more tries, the next token is refused.
            let _ = self.rates.try_token(address, Instant::now());
        }
        result
    }
}
