//! What signs and checks tokens: the server's own key, public keys from a file, and those that an issuer publishes.

use std::{
    path::{Path, PathBuf},
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
mod jwks;
mod key;
mod local;
mod object;
mod pem;
mod remote;

pub use key::{Algorithm, Key, KeyId};
pub use local::{KEY_FILE, PREVIOUS_KEY_FILE, Signer};

use cache::Cache;
use compact::Compact;
use remote::Remote;

/// Keys that a token which names none is tried against, at most.
const TRIES: usize = 8;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make the key {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "{path} is not a key of 64 hex digits; move it away to have a new one made (old tokens end then)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file of public keys cannot be used.
    #[error(
        "jwt.public_key_file: {path} cannot be used: {reason}. It takes public keys or certificates in PEM: RSA of \
         2048 bits or more, P-256, Ed25519"
    )]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The issuer's keys cannot be had.
    #[error("jwt.jwks_url: the keys of {url} cannot be had: {reason}")]
    Jwks {
        /// Where they should be.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An algorithm that there is not.
    #[error(
        "jwt.algorithms: {name:?} is none of HS256, EdDSA, ES256, RS256, or there is none at all; such as \
         jwt.algorithms = [\"HS256\"]"
    )]
    Algorithm {
        /// Its name.
        name: String,
    },
    /// A permission that there is not.
    #[error(
        "{key}: {name:?} is not a permission; there are chat, threads:read, threads:write, runs:cancel, admin:read, \
         admin:users, admin:server and admin:*"
    )]
    Permission {
        /// The setting.
        key: &'static str,
        /// The name.
        name: String,
    },
}

impl KeyError {
    /// True when a setting has to be changed, and not a file of the data directory.
    pub fn is_of_settings(&self) -> bool {
        match self {
            Self::Io { path, .. } => {
                let own = path.file_name().is_some_and(|name| name == KEY_FILE || name == PREVIOUS_KEY_FILE);
                !own
            }
            Self::Damaged { .. } => false,
            Self::PublicKey { .. } | Self::Jwks { .. } | Self::Algorithm { .. } | Self::Permission { .. } => {
                true
            }
        }
    }
}

/// Everything that settings decide about tokens; replaced as a whole by a reload.
struct Sources {
    signer: Signer,
    /// The local keys and those of the file.
    fixed: Vec<Arc<Key>>,
    remote: Option<Arc<Remote>>,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    longest_concern: f64,
    /// With the rules under which it was filled.
    cache: Cache,
    metrics: KeyMetrics,
}

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
            Err(Refused::KeyUnknown) if sources.remote.is_some() => None,
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

fn algorithms(jwt: &JwtConfig) -> Result<Vec<Algorithm>, KeyError> {
    let unknown = |name: &str| KeyError::Algorithm { name: name.to_owned() };
    if jwt.algorithms.is_empty() {
        return Err(unknown(""));
    }
    jwt.algorithms.iter().map(|name| Algorithm::named(name).ok_or_else(|| unknown(name))).collect()
}

impl Sources {
    fn open(jwt: &JwtConfig, data_dir: &Path, metrics: &KeyMetrics) -> Result<Self, KeyError> {
        let rules = Rules::from_config(jwt)?;
        let algorithms = algorithms(jwt)?;
        let remote = Remote::from_config(jwt, metrics)?.map(Arc::new);
        let file = match jwt.public_key_file.as_os_str().is_empty() {
            true => Vec::new(),
            false => pem::load(&jwt.public_key_file)?,
        };
        // Last, as it makes a key where there is none.
        let signer = Signer::open(jwt, data_dir)?;
        let previous = local::previous(jwt, data_dir)?;
        let local = std::iter::once(signer.verifier()).chain(previous);
        let fixed = local.chain(file).map(Arc::new).collect();
        let sources = Self {
            signer,
            fixed,
            remote,
            algorithms,
            rules,
            longest_concern: Rules::longest_concern(jwt),
            cache: Cache::default(),
            metrics: metrics.clone(),
        };
        sources.warn(jwt);
        Ok(sources)
    }

    fn warn(&self, jwt: &JwtConfig) {
        if !self.algorithms.contains(&Algorithm::Hs256) {
            tracing::warn!("jwt.algorithms lacks HS256: tokens that this server issues itself are refused");
        }
        if jwt.is_external() && jwt.audience.is_empty() {
            tracing::warn!(
                "jwt.audience is empty: tokens that the issuer made for other services are taken here too"
            );
        }
    }

    fn trusts(&self, id: KeyId) -> bool {
        let has = |keys: &[Arc<Key>]| {
            keys.iter().any(|key| key.id == id && self.algorithms.contains(&key.algorithm))
        };
        has(&self.fixed) || self.remote.as_ref().is_some_and(|remote| has(&remote.known().keys))
    }

    /// The principal of a token that is good now, by what is remembered or by its signature.
    fn check(&self, token: &str) -> Result<Principal, Refused> {
        if token.len() > compact::TOKEN_BYTES {
            return Err(AuthError::Invalid.into());
        }
        let hash = cache::hash(token);
        if let Some(known) = self.cache.get(&hash)
            && self.trusts(known.key)
        {
            self.metrics.cache_hits.inc();
            let principal = known.at(crate::clock::unix_now());
            if principal == Err(AuthError::Expired) {
                self.cache.forget(&hash);
            }
            return Ok(principal?);
        }
        self.metrics.cache_misses.inc();
        let compact = Compact::parse(token).ok_or(AuthError::Invalid)?;
        let key = self.key_of(&compact)?;
        let claims = compact.claims().ok_or(AuthError::Invalid)?;
        let own = key.local && key.kid == compact.kid;
        let verified = Arc::new(self.rules.read(&claims, &key, own)?);
        let principal = verified.at(crate::clock::unix_now())?;
        self.cache.put(hash, verified);
        Ok(principal)
    }

    /// The key whose signature the token has. Tried are the keys of its algorithm: the one that it names; else those
    /// that an issuer gave no name; all of them when it names none.
    fn key_of(&self, token: &Compact<'_>) -> Result<Arc<Key>, Refused> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(AuthError::Invalid.into());
        }
        let known = self.remote.as_ref().map(|remote| remote.known());
        let all = || self.fixed.iter().chain(known.iter().flat_map(|known| &known.keys));
        let is_named = token.kid.is_some() && all().any(|key| key.kid == token.kid);
        let fits = |key: &Key| match &token.kid {
            Some(_) if is_named => key.kid == token.kid,
            Some(_) => key.kid.is_none() || key.local,
            None => true,
        };
        let candidates = all().filter(|key| key.algorithm == token.algorithm && fits(key)).take(TRIES);
        let mut tried = 0;
        for key in candidates {
            tried += 1;
            if key.verifies(token.signed, &token.signature) {
                return Ok(key.clone());
            }
        }
        // An issuer publishes no secrets; and a key that is known is not made another by asking.
        let may_be_theirs =
            token.algorithm != Algorithm::Hs256 && !is_named && (token.kid.is_some() || tried == 0);
        Err(if may_be_theirs { Refused::KeyUnknown } else { AuthError::Invalid.into() })
    }
}

/// Why a token is refused by the keys at hand.
enum Refused {
    /// It is not good.
    For(AuthError),
    /// Its key is not known; an issuer may have it.
    KeyUnknown,
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self::For(error)
    }
}

impl From<Refused> for AuthError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::For(error) => error,
            Refused::KeyUnknown => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests;
