//! Host and port, as they stand in an address.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Longest name of a host, and longest part of one between two dots.
const NAME: (usize, usize) = (253, 63);

/// Host and port. The error is a sentence without the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Without brackets; an IPv6 address may have a zone after `%`.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Reads `HOST`, `HOST:PORT` or `[IPv6%ZONE]:PORT`, with a port from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("it holds credentials (before the @), which would be seen in logs".to_owned());
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or("the bracket [ is not closed")?;
                (ipv6(host)?, port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                if text.contains("::") || text.parse::<Ipv6Addr>().is_ok() {
                    return Err("an IPv6 address stands in brackets, as in [::1]:8787".to_owned());
                }
                (name(host)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if port.is_empty() => None,
            None => return Err("after the bracket ] comes nothing but :PORT".to_owned()),
        };
        Ok(Self { host, port })
    }

    /// The same with this port.
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The host without brackets; an IPv6 address may have a zone after `%`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// As it stands in a `Host` header.
    pub(super) fn without_zone(&self) -> String {
        let host = self.host.split('%').next().unwrap_or_default().to_owned();
        Self { host, port: self.port }.to_string()
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host.replacen('%', "%25", 1))?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A port from 1 to 65535 in digits alone.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| match text {
        "" => "after the last colon a port is missing".to_owned(),
        _ => format!("the port {text:?} is no number from 1 to 65535"),
    })
}

fn ipv6(text: &str) -> Result<String, String> {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    // An address in a URL writes the % of the zone as %25.
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    let address: Ipv6Addr =
        address.parse().map_err(|_| "between the brackets there is no IPv6 address".to_owned())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    // The zone says on which link an address lies that every link has; others are not looked up with one.
    let needs_zone = address.is_unicast_link_local() || address.segments()[0] == 0xff02;
    match (text.contains('%'), zone) {
        (false, _) => Ok(address.to_string()),
        (true, _) if !needs_zone => {
            Err(format!("{address} is not the address of one link (fe80::…), and so has no zone after %"))
        }
        (true, zone) if !zone.is_empty() && zone.bytes().all(plain) => Ok(format!("{address}%{zone}")),
        (true, _) => Err("the zone after % is no name of an interface".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it names no host".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let whole = text.strip_suffix('.').unwrap_or(text);
    let fits = |part: &str| (1..=NAME.1).contains(&part.len()) && part.bytes().all(plain);
    if whole.len() > NAME.0 || !whole.split('.').all(fits) {
        return Err(format!("{text:?} is no name of a host; other alphabets are written as xn--…"));
    }
    // A name whose last part is a number is an address, for everybody who looks names up.
    let last = whole.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && whole.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{text:?} is no IPv4 address, which has four numbers from 0 to 255"));
    }
    Ok(text.to_owned())
}
