//! The parts of a running server, as both of its edges need them, and what takes several of these parts at once.

use std::{sync::Arc, time::Instant};

use tokio::sync::Semaphore;

use crate::{
    auth::{Auth, AuthError, Principal, logins::Logins},
    config::{hosts::Hosts, origins::Origins},
    delivery::LogReader,
    hub::Hub,
    limits::{Address, Limits, address::Proxies, admission::Admission, networks::Networks, rates::Rates},
    metrics::Metrics,
    runs::Runs,
    sabotage::Bugs,
    shutdown::Shutdown,
    store::Store,
    threads::Threads,
    tls::Tls,
};

mod request_key;
pub mod revoke;
mod store_health;
pub mod withdrawn_keys;

pub use request_key::request_key;
pub use store_health::StoreHealth;

/// The parts of a running server.
pub struct Context {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Whether it answers.
    pub store_health: StoreHealth,
    /// Reads the logs of users for their subscriptions.
    pub log: Arc<LogReader>,
    /// Who has which connections here.
    pub hub: Arc<Hub>,
    /// The runs.
    pub runs: Arc<Runs>,
    /// The threads.
    pub threads: Threads,
    /// Who is who.
    pub auth: Arc<Auth>,
    /// Who gets tokens for a password.
    pub logins: Logins,
    /// What users may do.
    pub limits: Limits,
    /// Under which names it answers.
    pub hosts: Hosts,
    /// Which web pages are let in.
    pub origins: Origins,
    /// Who may speak for others.
    pub proxies: Proxies,
    /// How fast users and addresses go.
    pub rates: Arc<Rates>,
    /// Who gets in when everybody comes at once.
    pub admission: Admission,
    /// The large bodies that may be read at once; the others wait in line.
    pub large_bodies: Arc<Semaphore>,
    /// TLS, if it is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Who may see the numbers.
    pub watchers: Networks,
    /// What `/ws/health` tells of the settings.
    pub told: serde_json::Value,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the server is going away.
    pub shutdown: Shutdown,
    /// What is broken on purpose.
    pub bugs: Bugs,
}

impl Context {
    /// The principal of a token that came from an address; after too many bad ones from there it is not looked at.
    pub async fn authenticate(&self, token: &str, address: Address) -> Result<Principal, AuthError> {
        match self.authenticate_now(token, address) {
            Some(result) => result,
            None => self.authenticate_asking(token, address).await,
        }
    }

    /// The same without waiting; nothing when the token's issuer has to be asked first.
    pub fn authenticate_now(&self, token: &str, address: Address) -> Option<Result<Principal, AuthError>> {
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

    /// The same once the issuer was asked, which takes at most 4.5 s; so many may wait for that at once.
    pub async fn authenticate_asking(&self, token: &str, address: Address) -> Result<Principal, AuthError> {
        let _place = self.rates.issuer_wait(address).map_err(AuthError::Waiting)?;
        let result = self.auth.authenticate_asking(token).await;
        if matches!(result, Err(AuthError::Invalid)) {
            // It counts; that the address has no more tries is for the next one to hear.
            let _ = self.rates.try_token(address, Instant::now());
        }
        result
    }
}
