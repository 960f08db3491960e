//! The sections of the settings, with their defaults.

use serde::{Deserialize, Serialize};
use wireproof_protocol::Address;

use super::{ConfigError, hosts::Hosts, origins::Origins};
use crate::limits::{
    address::{Proxies, ProxyHeader},
    networks::Networks,
};

/// Which credentials count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether a token in the address of a WebSocket (`?token=`) counts; addresses end up in the logs of others.
    pub query_token: bool,
}

/// How tickets for browsers are sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketsConfig {
    /// How long a ticket is good.
    pub seconds: f64,
}

impl Default for TicketsConfig {
    fn default() -> Self {
        Self { seconds: 30.0 }
    }
}

/// How much of the logs is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Events and request ids older than this may go; above 0.
    pub hours: f64,
    /// What a user's log may take.
    pub bytes_per_user: u64,
    /// How often the logs are looked through; above 0.
    pub every_seconds: f64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { hours: 24.0, bytes_per_user: 64 << 20, every_seconds: 60.0 }
    }
}

/// How the server goes away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// How long runs may go on; 0 or more.
    pub seconds: f64,
    /// Over which time the connections are closed, and come back; less for few, who take 5 ms each; 0
    /// or more.
    pub spread_seconds: f64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { seconds: 10.0, spread_seconds: 10.0 }
    }
}

/// Who may see the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Addresses and networks that may read `/metrics`, and the numbers in `/ws/health`.
    pub allow: Vec<String>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        let networks = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
        Self { allow: networks.map(str::to_owned).to_vec() }
    }
}

impl MetricsConfig {
    /// The addresses that may see them.
    pub fn watchers(&self) -> Result<Networks, ConfigError> {
        Networks::new(&self.allow).map_err(|value| ConfigError::Value {
            key: "metrics.allow",
            value,
            reason: "it must be an address, or a network such as 10.0.0.0/8",
        })
    }
}

/// Where traces go; only in a build with the feature `otel`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtelConfig {
    /// The address of an OTLP receiver over HTTP, such as `http://127.0.0.1:4318`; none when empty.
    pub endpoint: String,
}

impl OtelConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.endpoint.is_empty() {
            return Ok(());
        }
        Address::web(&self.endpoint).map(drop).map_err(|error| ConfigError::Value {
            key: "otel.endpoint",
            value: format!("{:?}", error.shown()),
            reason: "it must be the address of an OTLP receiver over HTTP",
        })
    }
}

/// What stands before the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Proxies that may say whose request they bring: addresses and networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// The header in which they say it: `x-forwarded-for` or `forwarded`. The other one is not believed, for a proxy passes
    /// it on as the client wrote it.
    pub proxy_header: ProxyHeader,
    /// Names under which the server answers, such as `chat.example.com`, besides `localhost` and addresses; `*`: any.
    pub hosts: Vec<String>,
    /// Web pages besides the server's own that may speak to it: origins such as `https://app.example.com`, or `*`.
    pub allowed_origins: Vec<String>,
}

impl HttpConfig {
    /// The web pages to let in.
    pub fn origins(&self) -> Result<Origins, ConfigError> {
        Origins::new(&self.allowed_origins).map_err(|value| ConfigError::Value {
            key: "http.allowed_origins",
            value,
            reason: "it must be an origin such as https://app.example.com, without a path, or *",
        })
    }

    /// The names to answer to.
    pub fn hosts(&self) -> Result<Hosts, ConfigError> {
        Hosts::new(&self.hosts).map_err(|value| ConfigError::Value {
            key: "http.hosts",
            value,
            reason: "it must be a name such as chat.example.com, without scheme, port or path, or *",
        })
    }

    /// The proxies to trust.
    pub fn proxies(&self) -> Result<Proxies, ConfigError> {
        Proxies::new(&self.trusted_proxies, self.proxy_header).map_err(|value| ConfigError::Value {
            key: "http.trusted_proxies",
            value,
            reason: "it must be an address, or a network such as 10.0.0.0/8",
        })
    }
}
