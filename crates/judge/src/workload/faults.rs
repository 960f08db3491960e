//! A proxy in front of each device, so that a connection's number is known, and its journal as ops of the history.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use wireproof_faultproxy::{FaultProxy, Toxic};

use crate::{
    record::{Action, HistoryRecorder, Op},
    target::Target,
};

/// Where a proxy can stand in front of a server: not under TLS, whose frames it does not see, and not where the server
/// may look at the name by which it is called.
pub(super) async fn upstream(target: &Target) -> Option<SocketAddr> {
    if target.is_encrypted() || target.profile().endpoint.transport != crate::profile::Transport::WebSocket {
        return None;
    }
    let addresses = tokio::net::lookup_host(target.host_and_port()).await.ok()?;
    addresses.into_iter().find(|address| address.ip().is_loopback())
}

/// The proxy of one device.
pub(super) struct Way {
    proxy: FaultProxy,
    told: u64,
}

impl Way {
    pub(super) async fn open(upstream: SocketAddr, seed: u64) -> Option<Self> {
        Some(Self { proxy: FaultProxy::start(upstream, seed).await.ok()?, told: 0 })
    }

    /// The address of the socket behind it.
    pub(super) fn url(&self, path: &str) -> String {
        self.proxy.url(path)
    }

    /// Makes a fault on the latest connection.
    pub(super) fn arm(&self, toxic: &Toxic) {
        let latest = self.proxy.connections().last().map_or(1, |connection| connection.number);
        self.proxy.add(toxic.clone().on(wireproof_faultproxy::Connections::Number(latest)));
    }

    /// No fault any more.
    pub(super) fn heal(&self) {
        self.proxy.clear();
    }

    /// Writes down what it did since this was last asked. `name` is the device's: its connections are numbered alike.
    pub(super) fn tell(&mut self, recorder: &HistoryRecorder, user: &str, name: &str) {
        let (now, unix) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        for entry in self.proxy.journal_since(self.told) {
            self.told = entry.number;
            let ago = Duration::try_from_secs_f64(unix.as_secs_f64() - entry.time).unwrap_or_default();
            let op = Op {
                conn: format!("{name}#{}", entry.connection),
                user: user.to_owned(),
                f: Action::Fault,
                altered: entry.altered,
                ev: Some(entry.what.clone()),
                text: serde_json::to_string(&entry).unwrap_or_default(),
                ..Op::default()
            };
            recorder.note_at(now.checked_sub(ago).unwrap_or(now), op);
        }
    }
}
