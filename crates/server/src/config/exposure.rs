//! What a server without authentication must not do: let in who is not on this machine.

use super::{Config, origins};

/// A setting by which others than this machine would reach a server without authentication.
#[derive(Debug, thiserror::Error)]
#[error("--insecure-no-auth serves this machine only, and {key} = {value} {why}, or leave the flag out")]
pub struct Exposed {
    key: &'static str,
    value: String,
    /// Why it is more, and what to change.
    why: &'static str,
}

impl Config {
    /// The settings that let others in without authentication; none while tokens are asked for.
    pub(crate) fn exposed(&self) -> Vec<Exposed> {
        if !self.insecure_no_auth {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut add =
            |key, value: &dyn ToString, why| found.push(Exposed { key, value: value.to_string(), why });
        if !self.listen.ip().to_canonical().is_loopback() {
            add("listen", &self.listen, "is more than that. Listen on 127.0.0.1");
        }
        for origin in self.http.allowed_origins.iter().filter(|origin| !origins::is_of_loopback(origin)) {
            let why = "lets a page of others in, through a browser on it. Take the origin away";
            add("http.allowed_origins", origin, why);
        }
        for proxy in &self.http.trusted_proxies {
            add("http.trusted_proxies", proxy, "brings requests of others. Take the proxy away");
        }
        found
    }
}
