//! The keys that the settings name, and the check of a token by them. A reload replaces all at once.

use std::{path::Path, sync::Arc};

use super::{
    Algorithm, Key, KeyError, KeyId, Signer,
    cache::{self, Cache},
    compact::{self, Compact},
    local, pem,
    remote::Remote,
};
use crate::{
    auth::{AuthError, Principal, rules::Rules},
    config::JwtConfig,
    metrics::KeyMetrics,
};

/// Keys that a token which names none is tried against, at most.
pub const TRIES: usize = 8;

/// Everything that settings decide about tokens; replaced as a whole by a reload.
pub struct Sources {
    pub signer: Signer,
    /// The local keys and those of the file.
    pub fixed: Vec<Arc<Key>>,
    pub remote: Option<Arc<Remote>>,
    pub algorithms: Vec<Algorithm>,
    rules: Rules,
    pub longest_concern: f64,
    /// With the rules under which it was filled.
    pub cache: Cache,
    metrics: KeyMetrics,
}

/// The algorithms that the settings take.
pub fn algorithms(jwt: &JwtConfig) -> Result<Vec<Algorithm>, KeyError> {
    let unknown = |name: &str| KeyError::Algorithm { name: name.to_owned() };
    if jwt.algorithms.is_empty() {
        return Err(unknown(""));
    }
    jwt.algorithms.iter().map(|name| Algorithm::named(name).ok_or_else(|| unknown(name))).collect()
}

impl Sources {
    /// Reads the keys of the settings; the local one is made if there is none.
    pub fn open(jwt: &JwtConfig, data_dir: &Path, metrics: &KeyMetrics) -> Result<Self, KeyError> {
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

    /// True while tokens of this key are taken.
    pub fn trusts(&self, id: KeyId) -> bool {
        let has = |keys: &[Arc<Key>]| {
            keys.iter().any(|key| key.id == id && self.algorithms.contains(&key.algorithm))
        };
        has(&self.fixed) || self.remote.as_ref().is_some_and(|remote| has(&remote.known().keys))
    }

    /// The principal of a token that is good now, by what is remembered or by its signature.
    pub fn check(&self, token: &str) -> Result<Principal, TokenRefused> {
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
    fn key_of(&self, token: &Compact<'_>) -> Result<Arc<Key>, TokenRefused> {
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
        Err(if may_be_theirs { TokenRefused::KeyUnknown } else { AuthError::Invalid.into() })
    }
}

/// Why a token is refused by the keys at hand.
pub enum TokenRefused {
    /// It is not good.
    For(AuthError),
    /// Its key is not known; an issuer may have it.
    KeyUnknown,
}

impl From<AuthError> for TokenRefused {
    fn from(error: AuthError) -> Self {
        Self::For(error)
    }
}

impl From<TokenRefused> for AuthError {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::For(error) => error,
            TokenRefused::KeyUnknown => Self::Invalid,
        }
    }
}
