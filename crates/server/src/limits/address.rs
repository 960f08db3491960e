//! The address that a client counts under: its own, also behind proxies that are trusted, and never one it made up.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Bits of an IPv6 address that name a network: a client can take any address within it.
const NETWORK_BITS: u32 = 64;

/// Where a client comes from: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address that the limits count a peer under.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let network = u128::from(ip) >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS);
                Self(Ipv6Addr::from(network).into())
            }
            ip => Self(ip),
        }
    }
}

impl ClientAddress {
    /// The address, or the first one of the network.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The trusted proxies, and the one header in which they name the client.
#[derive(Debug, Clone)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: HeaderName,
}

impl Proxies {
    /// Addresses and networks such as `10.0.0.7` and `fd00::/8`; the error is the entry that is neither.
    pub fn new(trusted: &[String], header: ProxyHeader) -> Result<Self, String> {
        let network = |entry: &String| {
            let alone = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse().or_else(|_| alone()).map_err(|_| entry.clone())
        };
        let header = match header {
            ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ProxyHeader::Forwarded => http::header::FORWARDED,
        };
        Ok(Self { trusted: trusted.iter().map(network).collect::<Result<_, _>>()?, header })
    }

    /// The client of a request: the peer, or, when that is a trusted proxy, the last hop before the trusted ones.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if self.trusted.is_empty() || !self.trusts(client) {
            return ClientAddress::of(client);
        }
        let lines = headers.get_all(&self.header).iter().rev();
        // Split as bytes: what a client wrote before the proxy's own entry need not be text.
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            // A hop without a name counts as the proxy that heard it.
            let Some(ip) = std::str::from_utf8(hop).ok().and_then(hop_address) else { break };
            client = ip;
            if !self.trusts(client) {
                break;
            }
        }
        ClientAddress::of(client)
    }

    /// The scheme of a request: the connection's own, or the one that a trusted proxy says its client used. A WebSocket's
    /// `ws` and `wss` are `http` and `https`; of a list the first counts, which is the client's.
    pub fn scheme(&self, peer: IpAddr, headers: &HeaderMap, own: &'static str) -> &'static str {
        if !self.trusts(peer.to_canonical()) {
            return own;
        }
        let standard = (self.header == http::header::FORWARDED).then(|| self.forwarded(headers, "proto"));
        let first = standard.and_then(|said| said.into_iter().next()).or_else(|| {
            let said = headers.get("x-forwarded-proto")?.to_str().ok()?;
            Some(said.split(',').next()?.trim().to_owned())
        });
        match first.unwrap_or_default().to_ascii_lowercase().as_str() {
            "https" | "wss" => "https",
            "http" | "ws" => "http",
            _ => own,
        }
    }

    /// The hosts that a trusted proxy says its client asked for, besides `Host`; other peers are not believed.
    pub fn hosts(&self, peer: IpAddr, headers: &HeaderMap) -> Vec<String> {
        if !self.trusts(peer.to_canonical()) {
            return Vec::new();
        }
        if self.header == http::header::FORWARDED {
            return self.forwarded(headers, "host");
        }
        let lines = headers.get_all("x-forwarded-host").iter();
        let text = |line: &http::HeaderValue| String::from_utf8_lossy(line.as_bytes()).into_owned();
        lines
            .flat_map(|line| text(line).split(',').map(|host| host.trim().to_owned()).collect::<Vec<_>>())
            .collect()
    }

    /// The values of one parameter in all elements of `Forwarded`, the client's side first.
    fn forwarded(&self, headers: &HeaderMap, name: &str) -> Vec<String> {
        let lines = headers.get_all(http::header::FORWARDED).iter();
        let lines: Vec<String> =
            lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect();
        let elements = lines.iter().flat_map(|line| line.split(','));
        elements.filter_map(|element| parameter(element, name)).collect()
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&ip))
    }
}

/// Which header a trusted proxy sets. Only one is believed: a proxy passes the other on as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client` (RFC 7239).
    Forwarded,
}

/// The value of `name=value` among the parameters of an element of `Forwarded`, without quotes.
fn parameter(element: &str, name: &str) -> Option<String> {
    element.split(';').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The address in an entry of either header: bare, quoted, in brackets, with or without a port.
fn hop_address(entry: &str) -> Option<IpAddr> {
    let node = parameter(entry, "for").unwrap_or_else(|| entry.trim().trim_matches('"').to_owned());
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(ip, _)| ip);
    let ip = match bracketed {
        Some(ip) => ip.parse().ok(),
        None => node.parse().ok().or_else(|| node.rsplit_once(':')?.0.parse().ok()),
    };
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], header: ProxyHeader, peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|entry| (*entry).to_owned()).collect();
        let proxies = Proxies::new(&trusted, header).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&proxies.header, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_speaks_for_itself() {
        let forwarded = ["1.2.3.4"];
        assert_eq!(client(&[], ProxyHeader::XForwardedFor, "9.9.9.9", &forwarded), "9.9.9.9");
        assert_eq!(client(&["10.0.0.0/8"], ProxyHeader::XForwardedFor, "9.9.9.9", &forwarded), "9.9.9.9");
        assert_eq!(client(&[], ProxyHeader::XForwardedFor, "::ffff:9.9.9.9", &[]), "9.9.9.9");
        assert_eq!(client(&[], ProxyHeader::XForwardedFor, "2001:db8:1:2:3::4", &[]), "2001:db8:1:2::");
    }

    #[test]
    fn the_last_hop_before_the_trusted_ones_is_the_client() {
        let x = ProxyHeader::XForwardedFor;
        let trusted = ["10.0.0.0/8", "::1"];
        for (lines, expected) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            // Everything left of the first address that is not ours was written by the client.
            (&["6.6.6.6, 1.2.3.4, 10.0.0.9"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4", "10.0.0.9"], "1.2.3.4"),
            (&["10.0.0.5, 10.0.0.9"], "10.0.0.5"),
            (&["1.2.3.4, nonsense"], "10.0.0.1"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:443"], "2001:db8::"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(&trusted, x, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    /// Bug: one byte that is no ASCII made the whole line unreadable, so a client counted as the proxy that brought it,
    /// and was shown the metrics as one.
    #[test]
    fn what_a_client_wrote_before_the_proxy_hides_nobody() {
        for line in ["\u{fc}, 1.2.3.4", "for=\u{fc}, for=1.2.3.4", ", 1.2.3.4"] {
            let header =
                if line.contains("for=") { ProxyHeader::Forwarded } else { ProxyHeader::XForwardedFor };
            assert_eq!(client(&["10.0.0.0/8"], header, "10.0.0.1", &[line]), "1.2.3.4", "{line}");
        }
    }

    #[test]
    fn the_standard_header_is_read_when_it_is_chosen() {
        let lines = ["for=6.6.6.6", "proto=https;For=\"[2001:db8:1:2::7]:99\";by=10.0.0.1, for=10.0.0.2"];
        assert_eq!(client(&["10.0.0.0/8"], ProxyHeader::Forwarded, "10.0.0.1", &lines), "2001:db8:1:2::");
        assert_eq!(client(&["10.0.0.1"], ProxyHeader::Forwarded, "10.0.0.1", &["for=unknown"]), "10.0.0.1");
        assert_eq!(Proxies::new(&["10.0.0.0/99".into()], ProxyHeader::Forwarded).unwrap_err(), "10.0.0.0/99");
    }

    /// Bug: `X-Forwarded-Proto: wss`, as proxies say it of a WebSocket, was passed over, and the server's own page was
    /// refused as a foreign one.
    #[test]
    fn the_scheme_is_the_clients_as_a_trusted_proxy_says_it() {
        let scheme = |header, peer: &str, lines: &[(&'static str, &str)]| {
            let proxies = Proxies::new(&["10.0.0.0/8".to_owned()], header).unwrap();
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            proxies.scheme(peer.parse().unwrap(), &headers, "http")
        };
        let (x, standard) = (ProxyHeader::XForwardedFor, ProxyHeader::Forwarded);
        for said in ["https", "wss", "WSS", " Https ", "wss, ws", "https,http"] {
            assert_eq!(scheme(x, "10.0.0.1", &[("x-forwarded-proto", said)]), "https", "{said}");
            assert_eq!(scheme(standard, "10.0.0.1", &[("x-forwarded-proto", said)]), "https", "{said}");
            assert_eq!(scheme(x, "9.9.9.9", &[("x-forwarded-proto", said)]), "http", "{said}");
        }
        for said in ["ws", "http", "WS, wss", "", "gopher"] {
            assert_eq!(scheme(x, "10.0.0.1", &[("x-forwarded-proto", said)]), "http", "{said}");
        }
        for said in ["for=1.2.3.4;proto=wss", "for=1.2.3.4;Proto=\"HTTPS\", for=10.0.0.2;proto=http"] {
            assert_eq!(scheme(standard, "10.0.0.1", &[("forwarded", said)]), "https", "{said}");
            // The header that was not chosen may be the client's own.
            assert_eq!(scheme(x, "10.0.0.1", &[("forwarded", said)]), "http", "{said}");
        }
    }

    #[test]
    fn the_hosts_that_a_trusted_proxy_passes_on_are_known() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-host", "a.example, b.example:443".parse().unwrap());
        headers.append("forwarded", "for=1.2.3.4;host=\"c.example:1\"".parse().unwrap());
        let of = |header, peer: &str| {
            let proxies = Proxies::new(&["10.0.0.0/8".to_owned()], header).unwrap();
            proxies.hosts(peer.parse().unwrap(), &headers)
        };
        assert_eq!(of(ProxyHeader::XForwardedFor, "10.0.0.1"), ["a.example", "b.example:443"]);
        assert_eq!(of(ProxyHeader::Forwarded, "10.0.0.1"), ["c.example:1"]);
        assert!(of(ProxyHeader::Forwarded, "9.9.9.9").is_empty());
    }
}
