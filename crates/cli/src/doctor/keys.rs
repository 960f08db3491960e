//! The keys of tokens: who can read them, how good they are, and whether an issuer answers.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use wireproof_server::Config;

use super::{Findings, open_to_others};

/// Parts of secrets that were copied from an example.
const EXAMPLES: [&str; 8] =
    ["changeme", "change-me", "change_me", "secret", "password", "example", "your-", "0123456789"];
/// Fewer different characters than this are no random secret.
const FEWEST_CHARACTERS: usize = 12;
/// Clocks that differ by more make tokens look expired, or not yet made.
const SKEW: Duration = Duration::from_secs(30);

pub(super) async fn examine(config: &Config, within: Duration, findings: &mut Findings) {
    for (key, secret) in
        [("jwt.secret", &config.jwt.secret), ("jwt.previous_secret", &config.jwt.previous_secret)]
    {
        if !secret.is_empty() && is_weak(secret) {
            findings.error(
                "keys.weak_secret",
                format!("{key} looks like an example or a word, not like a random key"),
                "who guesses it can make a token for any user",
                format!("set {key} to the output of: openssl rand -hex 32"),
            );
        }
    }
    if config.jwt.secret.is_empty() {
        own_key(&config.data_dir.join("jwt.key"), findings);
    }
    if !config.jwt.jwks_url.is_empty() && !findings.has("keys.jwks") {
        published(&config.jwt.jwks_url, within, findings).await;
    }
    if config.jwt.is_external() && config.jwt.audience.is_empty() {
        findings.warning(
            "keys.no_audience",
            "keys of others are trusted, and jwt.audience is not set",
            "a token that the issuer made for another service is taken here",
            "set jwt.audience, and jwt.issuer, to what the issuer writes into tokens for this server",
        );
    }
}

fn is_weak(secret: &str) -> bool {
    let lower = secret.to_lowercase();
    let different: BTreeSet<char> = secret.chars().collect();
    different.len() < FEWEST_CHARACTERS || EXAMPLES.iter().any(|part| lower.contains(part))
}

fn own_key(path: &Path, findings: &mut Findings) {
    if let Some(mode) = open_to_others(path) {
        findings.error(
            "keys.file_mode",
            format!("{} has mode {mode:03o}", path.display()),
            "who reads the key can make a token for any user",
            format!(
                "chmod 600 {}, and remove it if others may have read it: a new one is made",
                path.display()
            ),
        );
    }
}

async fn published(url: &str, within: Duration, findings: &mut Findings) {
    let why = "tokens of the issuer are refused until its keys were read once";
    let remedy =
        "open jwt.jwks_url from this machine with curl; correct it, the name service or the firewall";
    // The address may hold a secret: it is not shown.
    let refuse = |what: &str| (format!("jwt.jwks_url {what}"), why, remedy);
    let answered = async {
        let client = reqwest::Client::builder().timeout(within).build()?;
        client.get(url).send().await
    };
    let problem = match answered.await {
        Err(e) if e.is_timeout() => Some(refuse("does not answer in time")),
        Err(e) if e.is_connect() => Some(refuse("cannot be reached")),
        Err(_) => Some(refuse("cannot be asked")),
        Ok(answer) if !answer.status().is_success() => {
            Some(refuse(&format!("answers with status {}", answer.status().as_u16())))
        }
        Ok(answer) => {
            let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
            if let Some(date) = date.and_then(|date| httpdate(&date)) {
                skew(date, findings);
            }
            let keys = answer.bytes().await.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            let some = keys.is_some_and(|keys| keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
            (!some).then(|| refuse("does not hold a set of keys"))
        }
    };
    if let Some((what, why, remedy)) = problem {
        findings.error("keys.jwks", what, why, remedy);
    }
}

fn httpdate(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(SystemTime::from(date.timestamp()))
}

fn skew(theirs: SystemTime, findings: &mut Findings) {
    let ours = SystemTime::now();
    let skew = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
    if skew > SKEW {
        findings.error(
            "clock.skew",
            format!("the issuer's clock and this machine's differ by {} s", skew.as_secs()),
            "tokens look expired, or as if they were not made yet",
            "set the clock by NTP (timedatectl set-ntp true)",
        );
    }
}
