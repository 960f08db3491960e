//! The server behind the proxy, as it is named on the command line.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};
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

    /// The same with the proxy's address in the place of the server's.
    pub(super) fn at(&self, proxy: SocketAddr) -> String {
        match self.has_scheme {
            true => format!("{}://{proxy}{}", self.address.scheme().name(), self.address.path()),
            false => proxy.to_string(),
        }
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
            assert_eq!(Upstream::parse(text).unwrap().at(proxy), shown);
        }
        assert_eq!(Upstream::parse("ws://a/x").unwrap().address.host_and_port(), "a:80");
        for wrong in
            ["", "localhost", ":80", "a:b", "ftp://a:1", "ws://", "a:70000", "a:0", "ws://a:+80/", "a:80/x"]
        {
            assert!(Upstream::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
