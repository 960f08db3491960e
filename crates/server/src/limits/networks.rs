//! A list of addresses and networks, such as those that may read the metrics.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ClientAddress;

/// Addresses and networks. An IPv6 network counts with 64 bits at most, as [`ClientAddress`] does.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Addresses and networks such as `10.0.0.7` and `fd00::/8`; the error is the entry that is neither.
    pub fn new(entries: &[String]) -> Result<Self, String> {
        let network = |entry: &String| {
            let alone = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse().or_else(|_| alone()).map_err(|_| entry.clone())
        };
        entries.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// True when the address is in one of them.
    pub fn hold(&self, address: ClientAddress) -> bool {
        let ip = address.ip();
        self.0.iter().any(|network| {
            network.contains(&ip)
                || ClientAddress::of(network.network()) == address && network.prefix_len() > 64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(entries: &[&str], ip: &str) -> bool {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Networks::new(&entries).unwrap().hold(ClientAddress::of(ip.parse().unwrap()))
    }

    #[test]
    fn addresses_are_in_their_networks_and_in_no_other() {
        for (entry, inside, outside) in [
            ("127.0.0.0/8", "127.0.0.1", "128.0.0.1"),
            ("::1", "::1", "2001:db8::1"),
            ("10.0.0.0/8", "::ffff:10.2.3.4", "11.0.0.1"),
            ("fc00::/7", "fd12::1", "fe80::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ] {
            assert!(holds(&[entry], inside) && !holds(&[entry], outside), "{entry}");
        }
        assert!(!holds(&[], "127.0.0.1"));
        assert_eq!(Networks::new(&["all".to_owned()]).unwrap_err(), "all");
    }
}
