//! The server behind the proxy, as it is named on the command line.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use http::Uri;
use tokio::{net::lookup_host, time::timeout};

use crate::exit::Stop;

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(10);

/// An address with what stands around it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// `ws://`, or nothing.
    scheme: String,
    /// Host and port.
    authority: String,
    /// From the slash on.
    path: String,
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return match text.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self { scheme: String::new(), authority: text.to_owned(), path: String::new() })
                }
                _ => Err("it looks like HOST:PORT or ws://HOST:PORT/PATH".to_owned()),
            };
        };
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let port = match scheme {
            "ws" | "http" => 80,
            "wss" | "https" => 443,
            _ => return Err("it begins with ws://, wss://, http:// or https://, or is HOST:PORT".to_owned()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(port));
        let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        Ok(Self { scheme: format!("{scheme}://"), authority, path })
    }
}

impl Upstream {
    /// Its address.
    pub(super) async fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let authority = &self.authority;
        let found = timeout(LOOKUP, lookup_host(authority)).await;
        let why = match found {
            Ok(Ok(mut addresses)) => match addresses.next() {
                Some(address) => return Ok(address),
                None => "the name has no address".to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the name was not looked up in time".to_owned(),
        };
        Err(Stop::Unreachable(format!("--upstream {authority}: {why}")).into())
    }

    /// The same with the proxy's address in the place of the server's.
    pub(super) fn at(&self, proxy: SocketAddr) -> String {
        format!("{}{proxy}{}", self.scheme, self.path)
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
            ("wss://a.example/socket?x=1", "wss://127.0.0.1:9/socket?x=1"),
            ("localhost:8787", "127.0.0.1:9"),
            ("[::1]:8787", "127.0.0.1:9"),
        ] {
            assert_eq!(Upstream::from_str(text).unwrap().at(proxy), shown);
        }
        assert_eq!(Upstream::from_str("ws://a/x").unwrap().authority, "a:80");
        for wrong in ["", "localhost", ":80", "a:b", "ftp://a:1", "ws://", "a:70000"] {
            assert!(Upstream::from_str(wrong).is_err(), "{wrong:?}");
        }
    }
}
