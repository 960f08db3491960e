//! Which web pages may speak to the server: its own, and those that the settings list. Who sends no `Origin` is no
//! page of a browser, and passes.

use http::{HeaderMap, HeaderValue, header};

/// The origins that are allowed.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    any: bool,
    listed: Vec<String>,
}

/// Whose page a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// No page's: it names no origin.
    Nowhere,
    /// The server's own.
    Own,
    /// One that the settings list; this is its origin, for the answer.
    Listed(HeaderValue),
    /// One that nobody allowed.
    Foreign,
}

impl Origins {
    /// Those of a list; `*` stands for any. Errs with the first entry that is no origin.
    pub fn new(list: &[String]) -> Result<Self, String> {
        let any = list.iter().any(|entry| entry == "*");
        let listed = list.iter().filter(|entry| *entry != "*");
        let listed =
            listed.map(|entry| normal(entry).ok_or_else(|| entry.clone())).collect::<Result<_, _>>()?;
        Ok(Self { any, listed })
    }

    /// Judges the headers of a request that came over `scheme`.
    pub fn judge(&self, headers: &HeaderMap, scheme: &str) -> From {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        let Some(value) = origin else { return From::Nowhere };
        let origin = value.to_str().ok().filter(|_| more.is_none()).and_then(normal);
        let Some(origin) = origin else { return From::Foreign };
        if own(headers, scheme).is_some_and(|own| own == origin) {
            return From::Own;
        }
        if self.any || self.listed.contains(&origin) { From::Listed(value.clone()) } else { From::Foreign }
    }
}

/// The server's own origin, as the request addressed it.
fn own(headers: &HeaderMap, scheme: &str) -> Option<String> {
    normal(&format!("{scheme}://{}", host(headers)?))
}

/// The one `Host` of a request.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next()?, hosts.next());
    host.to_str().ok().filter(|_| more.is_none())
}

/// True when the request was addressed to this machine by one of its own names: a page of the internet can have its
/// own name point here, and would pass for our own.
pub fn is_addressed_to_loopback(headers: &HeaderMap) -> bool {
    host(headers).is_some_and(names_loopback)
}

/// True for an origin whose pages are this machine's own.
pub fn is_of_loopback(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, host)| names_loopback(host))
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `scheme://host[:port]` in small letters and without the scheme's own port; nothing when it is no origin.
fn normal(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(word) {
        return None;
    }
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port.parse::<u16>().ok()?)),
        _ => (rest, None),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(named),
    };
    let (scheme, name) = (scheme.to_ascii_lowercase(), name.to_ascii_lowercase());
    let shown = match (scheme.as_str(), port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    good.then(|| format!("{scheme}://{name}{shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut headers, (name, value): (_, HeaderValue)| {
                headers.append(name, value);
                headers
            },
        )
    }

    fn judge(list: &[&str], host: &str, origin: &str) -> From {
        let list: Vec<_> = list.iter().map(|entry| (*entry).to_owned()).collect();
        let headers = headers(&[(header::HOST, host), (header::ORIGIN, origin)]);
        Origins::new(&list).unwrap().judge(&headers, "http")
    }

    #[test]
    fn own_and_listed_pages_pass_and_no_other() {
        for (host, origin) in [
            ("a.example", "http://a.example"),
            ("a.example:80", "http://A.example"),
            ("[::1]:8787", "http://[::1]:8787"),
        ] {
            assert_eq!(judge(&[], host, origin), From::Own, "{host} {origin}");
        }
        for origin in [
            "null",
            "",
            "http://b.example",
            "https://a.example",
            "http://a.example:81",
            "http://a.example.evil.example",
            "http://evil.example/a.example",
            "http://a.example/",
            "http://a.example@evil.example",
            "http://a.example http://a.example",
            "http://a.example:80:80",
            "http://a.example:",
            "a.example",
            "http://",
        ] {
            assert_eq!(judge(&["https://b.example"], "a.example", origin), From::Foreign, "{origin}");
        }
        let listed = judge(&["https://b.example:443", "http://c.example"], "a.example", "https://B.example");
        assert_eq!(listed, From::Listed("https://B.example".parse().unwrap()));
        assert_eq!(judge(&["*"], "a.example", "null"), From::Foreign);
        assert!(matches!(judge(&["*"], "a.example", "http://any.example"), From::Listed(_)));
        assert_eq!(Origins::new(&["b.example".to_owned()]).unwrap_err(), "b.example");
    }

    #[test]
    fn several_origins_or_hosts_are_nobodys() {
        let origin = (header::ORIGIN, "http://a.example");
        let host = (header::HOST, "a.example");
        let origins = Origins::default();
        let judge = |pairs: &[(header::HeaderName, &str)]| origins.judge(&headers(pairs), "http");
        assert_eq!(judge(&[host.clone(), origin.clone()]), From::Own);
        assert_eq!(judge(&[host.clone(), origin.clone(), origin.clone()]), From::Foreign);
        assert_eq!(judge(&[host.clone(), host.clone(), origin.clone()]), From::Foreign);
        assert_eq!(judge(&[origin]), From::Foreign);
        assert_eq!(judge(&[host]), From::Nowhere);
    }

    #[test]
    fn a_name_of_this_machine_is_known() {
        let to = |host: &str| is_addressed_to_loopback(&headers(&[(header::HOST, host)]));
        for host in ["localhost", "LOCALHOST:8787", "127.0.0.1:1", "[::1]:8787", "[::1]", "127.8.8.8"] {
            assert!(to(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8787", "10.0.0.1", "127.0.0.1.evil.example", ""]
        {
            assert!(!to(host), "{host}");
        }
        assert!(is_of_loopback("http://localhost:3000") && is_of_loopback("https://[::1]"));
        for origin in ["*", "https://app.example", "http://127.0.0.1.evil.example", "localhost"] {
            assert!(!is_of_loopback(origin), "{origin}");
        }
    }
}
