//! What signs and checks tokens: the server's own key, public keys from a file, and those that an issuer publishes.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;

use super::{AuthError, Claims, Principal, rules::Rules};
use crate::{config::JwtConfig, metrics::KeyMetrics};

mod cache;
pub mod compact;
mod error;
mod jwks;
mod key;
mod local;
mod object;
mod pem;
mod remote;
mod sources;

pub use error::KeyError;
pub use key::{Algorithm, Key, KeyId};
pub use local::{KEY_FILE, PREVIOUS_KEY_FILE, Signer};

use remote::Remote;
use sources::{Sources, TokenRefused, algorithms};

/// What signs and checks tokens. Nothing in here can be printed.
pub struct Keys {
    sources: RwLock<Arc<Sources>>,
    changes: watch::Sender<u64>,
    metrics: KeyMetrics,
}

/// Where the keys come from and how they are, for people: nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyReport {
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// The name of the local key.
    pub local: Option<String>,
    /// Keys before it that still check.
    pub previous: usize,
    /// Keys of the file.
    pub file: usize,
    /// Tokens that are remembered with what they say, so that they need no check of their signature.
    pub remembered: usize,
    /// The issuer's keys, if one is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwksReport>,
}

/// How an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JwksReport {
    /// Where they are, without query.
    pub url: String,
    /// `ready`, `stale` (the last fetch failed, the keys before it are used) or `missing`.
    pub state: &'static str,
    /// Keys that are good now.
    pub keys: usize,
    /// How old they are, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<f64>,
    /// Why the last fetch failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Keys {
    /// The keys of the settings; the local one is made if there is none. An issuer's keys come with [`Keys::keep`].
    pub fn from_config(jwt: &JwtConfig, data_dir: &Path) -> Result<Self, KeyError> {
        Self::counted(jwt, data_dir, KeyMetrics::default())
    }

    /// The same, with what is counted of the checks and fetches.
    pub fn counted(jwt: &JwtConfig, data_dir: &Path, metrics: KeyMetrics) -> Result<Self, KeyError> {
        let sources = RwLock::new(Arc::new(Sources::open(jwt, data_dir, &metrics)?));
        Ok(Self { sources, changes: watch::Sender::default(), metrics })
    }

    /// The key of a data directory, made if there is none.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, KeyError> {
        Self::from_config(&JwtConfig::default(), data_dir)
    }

    /// What keeps these settings, or the keys that they name, from being used. It makes no key and asks no issuer.
    pub fn faults(jwt: &JwtConfig, data_dir: &Path) -> Vec<KeyError> {
        let mut faults = Rules::faults(jwt);
        faults.extend(algorithms(jwt).err());
        faults.extend(Remote::from_config(jwt, &KeyMetrics::default()).err());
        if !jwt.public_key_file.as_os_str().is_empty() {
            faults.extend(pem::load(&jwt.public_key_file).err());
        }
        faults.extend(local::faults(jwt, data_dir));
        faults
    }

    fn sources(&self) -> Arc<Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token for a user that lives for `ttl` from now.
    pub fn sign(&self, user_id: &UserId, ttl: Duration) -> String {
        let sources = self.sources();
        sources.signer.sign(&sources.signer.claims(user_id, ttl))
    }

    /// What such a token says, with an id of its own: to be changed and signed.
    pub fn claims(&self, user_id: &UserId, ttl: Duration) -> Claims {
        self.sources().signer.claims(user_id, ttl)
    }

    /// A token with just these claims, good or bad: for tools that make tokens.
    pub fn sign_claims(&self, claims: &Claims) -> String {
        self.sources().signer.sign(claims)
    }

    /// The principal of a token that is good now. Waits for an issuer's keys when the token names one that is not
    /// known, at most 4.5 s.
    pub async fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        match self.verify_now(token) {
            Some(verified) => verified,
            None => self.verify_asking(token).await,
        }
    }

    /// The same for a token of which [`Keys::verify_now`] said nothing: it asks the issuer first.
    pub async fn verify_asking(&self, token: &str) -> Result<Principal, AuthError> {
        let sources = self.sources();
        match &sources.remote {
            Some(remote) if remote.looked().await => sources.check(token).map_err(AuthError::from),
            _ => Err(AuthError::Invalid),
        }
    }

    /// The same without waiting; nothing when an issuer has to be asked first.
    pub fn verify_now(&self, token: &str) -> Option<Result<Principal, AuthError>> {
        let sources = self.sources();
        match sources.check(token) {
            Err(TokenRefused::KeyUnknown) if sources.remote.is_some() => None,
            checked => Some(checked.map_err(AuthError::from)),
        }
    }

    /// The same by the keys that are known now; it never waits.
    pub fn check(&self, token: &str) -> Result<Principal, AuthError> {
        self.sources().check(token).map_err(AuthError::from)
    }

    /// The seconds after which a revocation concerns no token any more that was good when it was made.
    pub fn longest_concern(&self) -> f64 {
        self.sources().longest_concern
    }

    /// True when a good token of the user was shown that has not expired, so far as is remembered.
    pub fn remembers(&self, user_id: &UserId) -> bool {
        let now = crate::clock::unix_now();
        self.sources().cache.any(|verified| verified.is_of(user_id, now))
    }

    /// True while tokens of this key are taken.
    pub fn trusts(&self, key: KeyId) -> bool {
        self.sources().trusts(key)
    }

    /// Tells when other keys are trusted than before: by a reload, or by what an issuer publishes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Keeps an issuer's keys fresh until `stop` is cancelled, whichever issuer the settings name by then.
    pub async fn keep(&self, stop: CancellationToken) {
        let mut changes = self.changes.subscribe();
        loop {
            let remote = self.sources().remote.clone();
            let keeping = async {
                match &remote {
                    Some(remote) => remote.keep_fresh(|| self.tell()).await,
                    None => std::future::pending().await,
                }
            };
            let replaced = async {
                while same(&self.sources().remote, &remote) {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = keeping => {}
                () = replaced => {}
            }
        }
    }

    /// Reads the keys anew, by these settings, and takes them in the place of the old ones; after an error the old ones
    /// stay. An issuer that was not asked before must answer.
    pub async fn reload(&self, jwt: &JwtConfig, data_dir: &Path) -> Result<(), KeyError> {
        let mut sources = Sources::open(jwt, data_dir, &self.metrics)?;
        match (&self.sources().remote, &sources.remote) {
            (Some(old), Some(new)) if old.is_like(new) => {
                old.ask();
                sources.remote = Some(old.clone());
            }
            (_, Some(new)) => new.first().await?,
            (_, None) => {}
        }
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sources);
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Where the keys come from and how they are now.
    pub fn report(&self) -> KeyReport {
        let sources = self.sources();
        let local = sources.fixed.iter().filter(|key| key.local).count();
        let jwks = sources.remote.as_ref().map(|remote| {
            let known = remote.known();
            let state = match (known.keys.is_empty(), known.error.is_some()) {
                (true, _) => "missing",
                (false, true) => "stale",
                (false, false) => "ready",
            };
            JwksReport {
                url: remote.shown(),
                state,
                keys: known.keys.len(),
                age_seconds: known.fetched.map(|at| at.elapsed().as_secs_f64()),
                error: known.error.clone(),
            }
        });
        KeyReport {
            algorithms: sources.algorithms.clone(),
            local: sources.signer.verifier().kid,
            previous: local - 1,
            file: sources.fixed.len() - local,
            remembered: sources.cache.len(),
            jwks,
        }
    }
}

fn same(one: &Option<Arc<Remote>>, other: &Option<Arc<Remote>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
