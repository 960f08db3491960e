//! Settings that work, and that one may not want.

use std::path::Path;

use wireproof_server::{Config, config::unknown_variables};

use super::{Findings, open_to_others};

/// A network with fewer fixed bits than this is no list of proxies.
const FEWEST_BITS: (u8, u8) = (8, 16);

pub(super) fn examine(config: &Config, file: Option<&Path>, findings: &mut Findings) {
    variables(findings);
    let public = !config.listen.ip().to_canonical().is_loopback();
    if config.auth.query_token {
        findings.warning(
            "auth.query_token",
            "auth.query_token is on",
            "tokens in addresses end up in the logs of proxies and in browsers' histories",
            "switch it off; browsers can use a ticket (POST /ws/ticket) or the subprotocol",
        );
    }
    if config.accounts.registration {
        findings.warning(
            "accounts.registration",
            "accounts.registration is on",
            "anybody who reaches the server can make an account and use its agents",
            "set accounts.registration = false and add people with `wireproof user add`",
        );
    }
    if config.http.allowed_origins.iter().any(|origin| origin.trim() == "*") {
        findings.warning(
            "http.any_origin",
            "http.allowed_origins holds *",
            "every web page that a user opens may speak to the server in the user's browser",
            "name the origins of your own pages in http.allowed_origins",
        );
    }
    proxies(config, findings);
    if public && !config.tls.is_set() && config.http.trusted_proxies.is_empty() {
        findings.warning(
            "tls.absent",
            format!("listen = {} without TLS, and no proxy before it", config.listen),
            "tokens and messages can be read on their way",
            "set tls.cert_file and tls.key_file, or put a proxy before it and name it in http.trusted_proxies",
        );
    }
    if public && config.http.hosts.is_empty() {
        findings.warning(
            "http.no_hosts",
            format!("listen = {}, and http.hosts names no host", config.listen),
            "the server answers to its addresses and to localhost alone: who asks for it by a name gets 421",
            "name the server in http.hosts, such as [\"chat.example.com\"]",
        );
    }
    if let Some((file, mode)) = file.and_then(|file| open_to_others(file).map(|mode| (file, mode)))
        && !config.jwt.secret.is_empty()
        && mode & 0o044 != 0
        && std::fs::read_to_string(file).is_ok_and(|text| text.contains(&config.jwt.secret))
    {
        findings.error(
            "settings.secret_readable",
            format!("{} holds jwt.secret and has mode {mode:03o}", file.display()),
            "who reads the secret can make a token for any user",
            format!("chmod 600 {}", file.display()),
        );
    }
}

/// A misspelt variable has no effect.
fn variables(findings: &mut Findings) {
    for unknown in unknown_variables() {
        findings.warning(
            "settings.unknown_variable",
            unknown.to_string(),
            "the server runs without it",
            format!("correct or unset {}; wireproof.example.toml has all settings", unknown.name),
        );
    }
}

fn proxies(config: &Config, findings: &mut Findings) {
    for network in &config.http.trusted_proxies {
        let Some((address, bits)) = network.split_once('/') else { continue };
        let fewest = if address.contains(':') { FEWEST_BITS.1 } else { FEWEST_BITS.0 };
        if bits.trim().parse::<u8>().is_ok_and(|bits| bits < fewest) {
            findings.error(
                "http.proxies_too_wide",
                format!("http.trusted_proxies holds {network}"),
                "anybody in it can claim any address, and so pass by every limit per address",
                "name the addresses of your proxies alone",
            );
        }
    }
}
