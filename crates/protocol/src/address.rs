//! Addresses as people write them: of a server ([`Address`]) and of a place to listen ([`listen_address`]).
//! It reads text and looks up no name.

mod authority;
mod error;
mod listen;

use std::{fmt, net::IpAddr};

pub use authority::Authority;
pub use error::AddressError;
pub use listen::listen_address;

/// The path of a server's socket, for addresses that name none.
pub const SOCKET_PATH: &str = "/ws";

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A WebSocket.
    Ws,
    /// A WebSocket over TLS.
    Wss,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Ws, Self::Wss, Self::Http, Self::Https];

    /// Its name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// True for those over TLS.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Wss | Self::Https)
    }

    fn default_port(self) -> u16 {
        if self.is_encrypted() { 443 } else { 80 }
    }
}

/// The address of a server. It holds no user name, no password and no fragment: those are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    authority: Authority,
    /// Path and query as they were given; empty, or begins with `/` or `?`.
    target: String,
}

impl Address {
    /// The address of a socket, exactly: `ws://` or `wss://`. For what people type, see [`Address::or_path`].
    pub fn socket(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, &[Scheme::Ws, Scheme::Wss], "ws://127.0.0.1:8787/ws")
    }

    /// The address of something that is asked over HTTP: `http://` or `https://`, with any path and query.
    pub fn web(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, &[Scheme::Http, Scheme::Https], "https://wireproof.example/path")
    }

    /// The address of a server's HTTP interface: `http://` or `https://` with host and port alone.
    pub fn base(text: &str) -> Result<Self, AddressError> {
        let example = "http://127.0.0.1:8787";
        let mut address = Self::parse(text, &[Scheme::Http, Scheme::Https], example)?;
        if !matches!(address.target.as_str(), "" | "/") {
            return Err(AddressError::new(
                text,
                "it has a path or a query, and this takes host and port alone",
                example,
            ));
        }
        address.target.clear();
        Ok(address)
    }

    /// An address with any of the four schemes.
    pub fn any(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, &Scheme::ALL, "ws://127.0.0.1:8787/ws")
    }

    /// `HOST:PORT` of a server that is spoken to in whatever way.
    pub fn host_with_port(text: &str) -> Result<Self, AddressError> {
        let refuse = |why: String| AddressError::new(text, why, "127.0.0.1:8787 or ws://127.0.0.1:8787/ws");
        error::look_at_characters(text).map_err(&refuse)?;
        let authority = Authority::parse(text).map_err(&refuse)?;
        match authority.port() {
            Some(_) => Ok(Self { scheme: Scheme::Http, authority, target: String::new() }),
            None => Err(refuse("it has no port, as in HOST:PORT".to_owned())),
        }
    }

    fn parse(text: &str, schemes: &[Scheme], example: &'static str) -> Result<Self, AddressError> {
        let refuse = |why: String| AddressError::new(text, why, example);
        error::look_at_characters(text).map_err(&refuse)?;
        let names = || schemes.iter().map(|scheme| scheme.name()).collect::<Vec<_>>().join(" or ");
        let Some((name, rest)) = text.split_once("://") else {
            let begin = names().replace(" or ", ":// or ");
            return Err(refuse(format!("it does not begin with {begin}://")));
        };
        let named = Scheme::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name));
        let scheme = named.filter(|scheme| schemes.contains(scheme));
        let scheme = scheme.ok_or_else(|| refuse(format!("its scheme must be {}", names())))?;
        if rest.contains('#') {
            return Err(refuse("it has a fragment (from the # on), which no server is sent".to_owned()));
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = Authority::parse(authority).map_err(refuse)?;
        Ok(Self { scheme, authority, target: target.to_owned() })
    }

    /// The same with this path where it has none; its query stays.
    pub fn or_path(mut self, path: &str) -> Self {
        let (given, query) = self.target.split_at(self.target.find('?').unwrap_or(self.target.len()));
        if matches!(given, "" | "/") {
            self.target = format!("{path}{query}");
        }
        self
    }

    /// The same with another scheme; a port that was not written is then that scheme's own.
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name, or an address without brackets, with its zone after `%`; for whoever connects.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port: the scheme's own when none is written.
    pub fn port(&self) -> u16 {
        self.authority.port().unwrap_or(self.scheme.default_port())
    }

    /// Host and port as they stand in a `Host` header: without a zone, which means something on this machine only, and
    /// without a port that was not written.
    pub fn authority(&self) -> String {
        self.authority.without_zone()
    }

    /// Host and port for people and for whoever connects: always with the port.
    pub fn host_and_port(&self) -> String {
        self.authority.clone().with_port(self.port()).to_string()
    }

    /// Path and query; `/` where there is no path.
    pub fn path(&self) -> String {
        if self.target.starts_with('/') { self.target.clone() } else { format!("/{}", self.target) }
    }

    /// The whole address as a server may see it: without a zone.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority(), self.target)
    }

    /// True when the host is a name or an address of this machine itself.
    pub fn is_loopback(&self) -> bool {
        let ip = self.host().parse::<IpAddr>();
        self.host().eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority, self.target)
    }
}
