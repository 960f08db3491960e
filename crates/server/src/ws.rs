//! The WebSocket edge: the upgrade, one task a connection, and the writing that never holds anything else up.

use std::{sync::Arc, time::Instant};

use crate::{
    auth::{Auth, AuthError, Principal, logins::Logins},
    config::{hosts::Hosts, origins::Origins},
    http::StoreHealth,
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

pub mod connection;
mod counted;
pub mod dispatch;
#[cfg(feature = "sabotage")]
mod faulty;
pub mod keys;
pub mod opening;
pub mod resume;
pub mod revoke;
pub mod socket;
mod tally;
pub mod upgrade;

/// What a connection needs of the server.
pub struct Context {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// Whether it answers.
    pub store_health: StoreHealth,
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
        self.rates.try_token(address, Instant::now()).map_err(AuthError::TooMany)?;
        if let Some(result) = self.auth.authenticate_now(token) {
            if !matches!(result, Err(AuthError::Invalid)) {
                self.rates.forgive_token(address);
            }
            return result;
        }
        // While the issuer is asked nothing is held: the good tokens of many would use the address up.
        self.rates.forgive_token(address);
        let result = self.auth.authenticate_asking(token).await;
        if matches!(result, Err(AuthError::Invalid)) {
            // It counts; that the address has no more tries is for the next one to hear.
            let _ = self.rates.try_token(address, Instant::now());
        }
        result
    }
}
