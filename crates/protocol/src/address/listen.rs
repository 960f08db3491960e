//! Where a server listens, as people write it.

use std::net::{Ipv4Addr, SocketAddr};

use super::{AddressError, authority::parse_port, error::look_at_characters};

const EXAMPLE: &str =
    "127.0.0.1:8787 for this machine only, or 0.0.0.0:8787 or [::]:8787 for all of its addresses";

/// Reads where to listen: `IP:PORT`, `[IPv6]:PORT`; `localhost:PORT`, `:PORT` and `PORT` mean 127.0.0.1. Port 0 takes a
/// free one. All addresses of the machine are written out: `0.0.0.0:PORT` or `[::]:PORT`.
pub fn listen_address(text: &str) -> Result<SocketAddr, AddressError> {
    let refuse = |why: &str| AddressError::new(text, why, EXAMPLE);
    look_at_characters(text).map_err(|why| refuse(&why))?;
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.contains("://") {
        return Err(refuse("it has a scheme, and this takes host and port alone"));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if host.contains(':') && !host.starts_with('[') {
        return Err(refuse("an IPv6 address stands in brackets, with the port behind"));
    }
    let only_host = !text.contains(':') && !text.bytes().all(|byte| byte.is_ascii_digit());
    if only_host || text.ends_with(']') {
        return Err(refuse("it has no port"));
    }
    let is_here = host.is_empty() || host.eq_ignore_ascii_case("localhost");
    let port = match port {
        "0" => 0,
        port => parse_port(port).map_err(|why| refuse(&why))?,
    };
    match host {
        _ if is_here => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        "*" => Err(refuse("* is no address of this machine")),
        _ => {
            Err(refuse("a server listens on an address of this machine, and looks up no name but localhost"))
        }
    }
}
