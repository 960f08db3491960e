//! Under which names the server answers. A page of the internet can have its own name point to this machine (DNS
//! rebinding), and its browser then lets it read what comes from here as its own: a name that nobody gave us is refused.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, Uri, header};

/// The names that count besides loopback names and addresses.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    any: bool,
    named: Vec<String>,
}

/// What is wrong with the name to which a request is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misaddressed {
    /// There is none, more than one, or it is not a name.
    Malformed,
    /// It is none of ours.
    Foreign(String),
}

impl Hosts {
    /// Those of a list; `*` stands for any. Errs with the first entry that is not a name.
    pub fn new(list: &[String]) -> Result<Self, String> {
        let any = list.iter().any(|entry| entry == "*");
        let named = list.iter().filter(|entry| *entry != "*");
        let name = |entry: &String| match name_of(entry.as_bytes()) {
            Some(name) if !entry.contains([':', '[']) => Ok(name),
            _ => Err(entry.clone()),
        };
        Ok(Self { any, named: named.map(name).collect::<Result<_, _>>()? })
    }

    /// Judges a request by its target and its one `Host`, which HTTP/1.0 may leave out. Each name in it counts.
    pub fn judge(&self, target: &Uri, headers: &HeaderMap, needed: bool) -> Result<(), Misaddressed> {
        let mut hosts = headers.get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => self.is_ours(host.as_bytes())?,
            (None, _) if !needed => {}
            _ => return Err(Misaddressed::Malformed),
        }
        target.authority().map_or(Ok(()), |authority| self.is_ours(authority.as_str().as_bytes()))
    }

    /// True for a host that may be anybody's way to us: a loopback name, an address, or a name of the list.
    pub fn is_ours(&self, host: &[u8]) -> Result<(), Misaddressed> {
        let name = name_of(host).ok_or(Misaddressed::Malformed)?;
        let literal = name.parse::<IpAddr>().is_ok();
        let ours = self.any || literal || is_loopback_name(&name) || self.named.contains(&name);
        if ours { Ok(()) } else { Err(Misaddressed::Foreign(name)) }
    }
}

/// `localhost` and all below it, which stand for this machine everywhere (RFC 6761).
fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The name in `host[:port]`, in small letters, without brackets and without the dot of the root; nothing when it is
/// not one.
fn name_of(host: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(host).ok()?;
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().ok()?;
            (address, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    let good_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let name = name.strip_suffix('.').unwrap_or(name);
    let literal = host.starts_with('[');
    let label = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || literal && c == ':';
    let good = good_port && !name.is_empty() && name.len() <= 255 && name.chars().all(label);
    good.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hosts(list: &[&str]) -> Hosts {
        Hosts::new(&list.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn judge(hosts: &Hosts, target: &str, names: &[&str], needed: bool) -> Result<(), Misaddressed> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(header::HOST, HeaderValue::from_bytes(name.as_bytes()).unwrap());
        }
        hosts.judge(&target.parse().unwrap(), &headers, needed)
    }

    /// Bug: whatever name a request was addressed to, it was answered: a page whose own name was made to point here could
    /// read the answers (DNS rebinding).
    #[test]
    fn loopback_names_addresses_and_names_of_the_list_are_ours_and_no_other() {
        let ours = hosts(&["Chat.example.com"]);
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:1",
            "10.1.2.3",
            "192.0.2.7:80",
            "[::1]:8787",
            "[2001:db8::7]",
            "chat.example.com",
            "CHAT.EXAMPLE.COM.:443",
            "chat.example.com:",
        ] {
            assert_eq!(judge(&ours, "/ws", &[host], true), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8787",
            "127.0.0.1.evil.example",
            "evil.example:8787",
            "sub.chat.example.com",
            "chat.example.com.evil.example",
            "2130706433",
            "127.1",
            "0x7f.0.0.1",
            "notlocalhost",
        ] {
            let foreign = judge(&ours, "/ws", &[host], true);
            assert!(matches!(foreign, Err(Misaddressed::Foreign(_))), "{host}: {foreign:?}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@localhost",
            "[::1",
            "[::1]x",
            "::1",
            "localhost:99999",
            "localhost:80x",
            "é",
        ] {
            assert_eq!(judge(&ours, "/ws", &[host], true), Err(Misaddressed::Malformed), "{host}");
        }
        assert_eq!(judge(&hosts(&["*"]), "/ws", &["evil.example"], true), Ok(()));
    }

    #[test]
    fn one_host_is_needed_and_the_target_counts_too() {
        let ours = hosts(&[]);
        let malformed = Err(Misaddressed::Malformed);
        assert_eq!(judge(&ours, "/", &[], true), malformed);
        assert_eq!(judge(&ours, "/", &[], false), Ok(()));
        assert_eq!(judge(&ours, "/", &["localhost", "localhost"], false), malformed);
        assert_eq!(judge(&ours, "http://localhost/", &["localhost"], true), Ok(()));
        let foreign = Err(Misaddressed::Foreign("evil.example".into()));
        assert_eq!(judge(&ours, "http://evil.example/", &["localhost"], true), foreign);
        assert_eq!(judge(&ours, "/", &["evil.example"], false), foreign);
    }

    #[test]
    fn what_is_no_name_is_no_entry_of_the_list() {
        for entry in ["https://a.example", "a.example:80", "", "a.example/x", "[::1]", "*.example.com"] {
            assert_eq!(Hosts::new(&[entry.to_owned()]).unwrap_err(), entry);
        }
    }
}
