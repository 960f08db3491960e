//! The server behind the proxy, as it is named on the command line.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use tokio::{net::lookup_host, time::timeout};
use wireproof_client::Trust;
use wireproof_faultproxy::mutation::Tls;
use wireproof_protocol::{Address, AddressError, SOCKET_PATH, Scheme};

use crate::exit::Stop;

/// An address, or host and port alone.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    address: Address,
    has_scheme: bool,
}

impl Upstream {
    /// Reads `ws://HOST:PORT/PATH` or its like, or `HOST:PORT`.
    pub(super) fn parse(text: &str) -> Result<Self, AddressError> {
        let has_scheme = text.contains("://");
        let address = if has_scheme { Address::any(text)? } else { Address::host_with_port(text)? };
        let is_socket = matches!(address.scheme(), Scheme::Ws | Scheme::Wss);
        let address = if is_socket { address.or_path(SOCKET_PATH) } else { address };
        Ok(Self { address, has_scheme })
    }

    /// Its address, if its name is looked up in time.
    pub(super) async fn resolve(&self, within: Duration) -> anyhow::Result<SocketAddr> {
        let found = timeout(within, lookup_host((self.address.host(), self.address.port()))).await;
        let why = match found {
            Ok(Ok(mut addresses)) => match addresses.next() {
                Some(address) => return Ok(address),
                None => "the name has no address".to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the name was not looked up in time".to_owned(),
        };
        Err(Stop::Unreachable(format!("--upstream {}: {why}", self.address.host_and_port())).into())
    }

    /// The same with the proxy's address in the place of the server's; without TLS where the proxy speaks it itself.
    pub(super) fn at(&self, proxy: SocketAddr, passes_tls: bool) -> String {
        let scheme = match self.address.scheme() {
            Scheme::Wss if !passes_tls => Scheme::Ws,
            Scheme::Https if !passes_tls => Scheme::Http,
            scheme => scheme,
        };
        match self.has_scheme {
            true => format!("{}://{proxy}{}", scheme.name(), self.address.path()),
            false => proxy.to_string(),
        }
    }

    /// How TLS is spoken to it; nothing where it takes none.
    pub(super) fn tls(&self, ca: Option<&Path>) -> anyhow::Result<Option<Tls>> {
        if !self.address.scheme().is_encrypted() {
            return Ok(None);
        }
        let trust = match ca {
            Some(path) => {
                Trust::with_pem_file(path).with_context(|| format!("reading {}", path.display()))?
            }
            None => Trust::default(),
        };
        let name = self.address.host().trim_matches(['[', ']']).to_owned();
        Ok(Some(Tls {
            config: trust.config().context("reading the system's certificates")?,
            name: name
                .try_into()
                .map_err(|_| Stop::Usage("--upstream: no certificate bears this name".into()))?,
            authority: self.address.host_and_port(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_stands_in_the_place_of_the_server() {
        let proxy = SocketAddr::from(([127, 0, 0, 1], 9));
        for (text, shown) in [
            ("ws://127.0.0.1:8787/ws", "ws://127.0.0.1:9/ws"),
            ("WSS://a.example/socket?x=1", "wss://127.0.0.1:9/socket?x=1"),
            ("ws://localhost:8787", "ws://127.0.0.1:9/ws"),
            ("localhost:8787", "127.0.0.1:9"),
            ("[::1]:8787", "127.0.0.1:9"),
        ] {
            assert_eq!(Upstream::parse(text).unwrap().at(proxy, true), shown);
        }
        let encrypted = Upstream::parse("wss://a.example/socket").unwrap();
        assert_eq!(encrypted.at(proxy, false), "ws://127.0.0.1:9/socket");
        assert_eq!(Upstream::parse("ws://a/x").unwrap().address.host_and_port(), "a:80");
        for wrong in
            ["", "localhost", ":80", "a:b", "ftp://a:1", "ws://", "a:70000", "a:0", "ws://a:+80/", "a:80/x"]
        {
            assert!(Upstream::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
