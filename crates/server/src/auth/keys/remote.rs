//! An issuer's published keys: fetched, kept, looked at anew in time, and sooner when a token names an unknown one.
//!
//! One task fetches; tokens only ask it to, so there is never more than one request, however many ask at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, redirect::Policy};
use tokio::sync::{Notify, watch};
use wireproof_protocol::Address;

use super::{KeyError, jwks, key::Key};
use crate::{config::JwtConfig, metrics::KeyMetrics};

/// Largest document in bytes.
const DOCUMENT_BYTES: usize = 256 << 10;
/// How long a fetch may take.
const FETCH_TIME: Duration = Duration::from_secs(4);
/// How long a token waits for the keys.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Most redirects that are followed.
const REDIRECTS: usize = 3;

/// What is known of an issuer's keys.
#[derive(Default)]
pub struct Known {
    /// The keys that are good now.
    pub keys: Vec<Arc<Key>>,
    /// When they were fetched.
    pub fetched: Option<Instant>,
    /// Why the last fetch failed, if it did.
    pub error: Option<String>,
    /// When the last fetch ended.
    attempted: Option<Instant>,
    /// True while a fetch is under way.
    busy: bool,
    /// Fetches that have ended.
    rounds: u64,
}

/// An issuer that publishes its keys.
pub struct Remote {
    url: String,
    client: Client,
    refresh: Duration,
    minimum: Duration,
    keep: Duration,
    asked: Notify,
    known: watch::Sender<Arc<Known>>,
    metrics: KeyMetrics,
}

impl Remote {
    /// The issuer of the settings, if there is one; nothing is fetched yet.
    pub fn from_config(jwt: &JwtConfig, metrics: &KeyMetrics) -> Result<Option<Self>, KeyError> {
        if jwt.jwks_url.is_empty() {
            return Ok(None);
        }
        let refuse = |reason: String| KeyError::Jwks { url: shown(&jwt.jwks_url), reason };
        let address = Address::web(&jwt.jwks_url).map_err(|error| refuse(error.reason()))?;
        if !is_allowed(&jwt.jwks_url) {
            let rule = "it must be https://…, or http://… on this machine, without a user name";
            return Err(refuse(rule.to_owned()));
        }
        let local = !address.scheme().is_encrypted();
        let policy = Policy::custom(move |attempt| {
            let (from, to) = (attempt.previous().first().map(|url| url.scheme()), attempt.url());
            if attempt.previous().len() > REDIRECTS || from != Some(to.scheme()) || !is_allowed(to.as_str()) {
                return attempt.error("a redirect leads where keys are not taken from");
            }
            attempt.follow()
        });
        let client = Client::builder().timeout(FETCH_TIME).redirect(policy).https_only(!local);
        // What is on this machine is not asked for elsewhere.
        let client = if local { client.no_proxy() } else { client };
        Ok(Some(Self {
            url: jwt.jwks_url.clone(),
            client: client.build().map_err(|e| refuse(e.without_url().to_string()))?,
            refresh: Duration::from_secs_f64(jwt.jwks_refresh_seconds),
            minimum: Duration::from_secs_f64(jwt.jwks_min_seconds),
            keep: Duration::from_secs_f64(jwt.jwks_keep_seconds),
            asked: Notify::new(),
            known: watch::Sender::default(),
            metrics: metrics.clone(),
        }))
    }

    /// True when both ask the same place in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.url, self.refresh, self.minimum, self.keep)
            == (&other.url, other.refresh, other.minimum, other.keep)
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// Where the keys are, without what may be secret in an address.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Asks for a look at the keys as soon as there may be one.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Asks for a look and waits for its end. False when there was one a moment ago, or none comes in time.
    pub async fn looked(&self) -> bool {
        let mut rounds = self.known.subscribe();
        let known = self.known();
        if !known.busy {
            self.ask();
            if known.attempted.is_some_and(|at| at.elapsed() < self.minimum) {
                return false;
            }
        }
        let newer = rounds.wait_for(|now| now.rounds > known.rounds);
        matches!(tokio::time::timeout(PATIENCE, newer).await, Ok(Ok(_)))
    }

    /// The first look of an issuer that takes the place of another: an error when it has no keys to give.
    pub async fn first(&self) -> Result<(), KeyError> {
        match self.fetch().await {
            Ok(keys) => {
                self.end(Ok(keys));
                Ok(())
            }
            Err(reason) => {
                self.metrics.jwks_failed.inc();
                Err(KeyError::Jwks { url: self.shown(), reason })
            }
        }
    }

    /// Keeps the keys fresh for as long as it is polled; `changed` is called when others are good than before.
    pub async fn keep_fresh(&self, changed: impl Fn()) {
        let mut failures = 0;
        if self.known().attempted.is_some() {
            self.wait(failures).await;
        }
        loop {
            self.update(|known| known.busy = true);
            let fetched = self.fetch().await;
            failures = if fetched.is_ok() { 0 } else { failures + 1 };
            if self.end(fetched) {
                changed();
            }
            self.wait(failures).await;
        }
    }

    /// Waits until the next fetch is due, or is asked for and may be.
    async fn wait(&self, failures: u32) {
        tokio::time::sleep(self.minimum).await;
        // A failed fetch is tried again soon, and then less and less often.
        let due = match failures {
            0 => self.refresh,
            n => self.refresh.min(self.minimum.saturating_mul(1 << (n - 1).min(16))),
        };
        tokio::select! {
            () = tokio::time::sleep(due.saturating_sub(self.minimum)) => {}
            () = self.asked.notified() => {}
        }
    }

    /// Takes in what came of a fetch; true when other keys are good than before.
    fn end(&self, fetched: Result<Vec<Key>, String>) -> bool {
        let now = Instant::now();
        let before = self.known();
        let count = if fetched.is_ok() { &self.metrics.jwks_fetched } else { &self.metrics.jwks_failed };
        count.inc();
        self.update(|known| {
            known.busy = false;
            known.attempted = Some(now);
            known.rounds += 1;
            match fetched {
                Ok(keys) => {
                    known.keys = keys.into_iter().map(Arc::new).collect();
                    known.fetched = Some(now);
                    known.error = None;
                }
                Err(reason) => {
                    tracing::warn!(url = %self.shown(), %reason, "the issuer's keys could not be fetched");
                    if known.fetched.is_none_or(|fetched| now > fetched + self.keep) {
                        known.keys.clear();
                    }
                    known.error = Some(reason);
                }
            }
        });
        let names = |known: &Known| known.keys.iter().map(|key| key.id).collect::<Vec<_>>();
        let after = self.known();
        let changed = names(&before) != names(&after);
        if changed {
            tracing::info!(url = %self.shown(), keys = after.keys.len(), "the issuer's keys have changed");
        }
        changed
    }

    /// Only the task that fetches, or who made this and has not shared it yet, changes what is known.
    fn update(&self, change: impl FnOnce(&mut Known)) {
        let known = self.known();
        let mut next = Known {
            keys: known.keys.clone(),
            fetched: known.fetched,
            error: known.error.clone(),
            attempted: known.attempted,
            busy: known.busy,
            rounds: known.rounds,
        };
        change(&mut next);
        self.known.send_replace(Arc::new(next));
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let document = self.document().await?;
        let (keys, unusable) = jwks::parse(&document)?;
        if unusable > 0 {
            tracing::debug!(url = %self.shown(), unusable, "keys of kinds that are not taken were passed over");
        }
        Ok(keys)
    }

    async fn document(&self) -> Result<Vec<u8>, String> {
        let told = |e: reqwest::Error| causes(&e.without_url());
        let mut response = self.client.get(&self.url).send().await.map_err(told)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if document.len() + chunk.len() > DOCUMENT_BYTES {
                return Err("what it answers is larger than 256 KiB".to_owned());
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// An error with what caused it, as the library tells the reason only there.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// True for what keys may be taken from: over TLS, or from this very machine.
fn is_allowed(url: &str) -> bool {
    Address::web(url).is_ok_and(|address| address.scheme().is_encrypted() || address.is_loopback())
}

/// An address without what may be secret in it.
fn shown(url: &str) -> String {
    match Address::web(url) {
        Ok(address) => address.url().split('?').next().unwrap_or_default().to_owned(),
        Err(error) => error.shown().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in [
            "https://issuer.example/.well-known/jwks.json",
            "https://issuer.example:8443/keys?v=1",
            "http://127.0.0.1:9/keys",
            "http://127.1.2.3/keys",
            "http://localhost:9/keys",
            "http://[::1]:9/keys",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "http://issuer.example/keys",
            "http://10.0.0.1/keys",
            "http://localhost.example/keys",
            "http://127.0.0.1.example/keys",
            "file:///etc/keys",
            "ftp://issuer.example/keys",
            "https://user:password@issuer.example/keys",
            "http://issuer.example@127.0.0.1/keys",
            "/keys",
            "issuer.example",
            "https://",
        ] {
            assert!(!is_allowed(bad), "{bad}");
            let jwt = JwtConfig { jwks_url: bad.to_owned(), ..JwtConfig::default() };
            let error = Remote::from_config(&jwt, &KeyMetrics::default())
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("password"), "{bad}: {error}");
        }
        assert_eq!(shown("https://i.example/keys?secret=1"), "https://i.example/keys");
    }
}
