//! Tokens: bytes as a token, and any header and claims signed with the right key. What is accepted must keep every rule.

use std::{path::Path, sync::LazyLock, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;
use wireproof_server::{
    auth::{Keys, Principal},
    config::JwtConfig,
};

const SECRET: &str = "a secret of the fuzzers, 32 bytes and more";
const ISSUER: &str = "us";
const AUDIENCE: &str = "them";

/// Keys that check issuer and audience, and keys that do not.
static KEYS: LazyLock<[Keys; 2]> = LazyLock::new(|| {
    [(ISSUER, AUDIENCE), ("", "")].map(|(issuer, audience)| {
        let jwt = JwtConfig {
            secret: SECRET.to_owned(),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            leeway_seconds: LEEWAY,
            ..JwtConfig::default()
        };
        // With a secret given, the folder is not looked at.
        Keys::from_config(&jwt, Path::new("")).unwrap()
    })
});

/// Bytes with a line feed are a header and claims to be signed; others are a token that nobody signed.
pub fn token(bytes: &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => signed(&bytes[..end], &bytes[end + 1..]),
        None => {
            let text = String::from_utf8_lossy(bytes);
            for keys in &*KEYS {
                assert!(keys.check(&text).is_err(), "a token that nobody signed is accepted: {text:?}");
            }
        }
    }
}

fn signed(header: &[u8], claims: &[u8]) {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    let token = format!("{message}.{signature}");
    for (keys, strict) in KEYS.iter().zip([true, false]) {
        let before = now();
        let Ok(principal) = keys.check(&token) else { continue };
        if let Err(broken) = rules(header, claims, &principal, strict, before) {
            let shown = [header, claims].map(String::from_utf8_lossy);
            panic!("accepted although {broken}: {shown:?} as {principal:?}");
        }
    }
}

/// The rules of docs/protocol.md for a token with a good HS256 signature.
fn rules(
    header: &[u8],
    claims: &[u8],
    principal: &Principal,
    strict: bool,
    now: f64,
) -> Result<(), &'static str> {
    let holds = |good: bool, broken| if good { Ok(()) } else { Err(broken) };
    // Bytes that are no UTF-8 may stand in a claim that nobody reads.
    let json = |bytes: &[u8]| serde_json::from_str::<Value>(&String::from_utf8_lossy(bytes));
    let header = json(header).map_err(|_| "the header is no JSON")?;
    let claims = json(claims).map_err(|_| "the claims are no JSON")?;
    holds(header["alg"] == "HS256", "the algorithm is not the key's")?;
    let sub = claims["sub"].as_str().ok_or("sub is no text")?;
    holds((1..=128).contains(&sub.chars().count()), "sub has the wrong length")?;
    holds(!sub.chars().any(char::is_control), "sub has control characters")?;
    holds(principal.user_id.as_str() == sub, "the principal is not sub")?;
    let exp = claims["exp"].as_f64().ok_or("exp is no number")?;
    holds(exp.is_finite() && exp > now - LEEWAY, "exp is past")?;
    holds(principal.expires_at <= exp + LEEWAY, "the principal outlives exp")?;
    let time = |name: &str| claims.get(name).filter(|value| !value.is_null());
    if let Some(iat) = time("iat") {
        holds(iat.as_f64().is_some_and(|iat| iat <= now + 61.0), "iat is ahead")?;
    }
    if let Some(nbf) = time("nbf") {
        holds(nbf.as_f64().is_some_and(|nbf| nbf <= now + 1.0 + LEEWAY), "nbf is ahead")?;
    }
    if strict {
        holds(names(&claims["iss"], ISSUER), "iss is another")?;
        holds(names(&claims["aud"], AUDIENCE), "aud is another")?;
    }
    let admin = principal.permissions.names().iter().any(|name| name.starts_with("admin:"));
    holds(!admin || claims.to_string().contains("admin:"), "nobody granted admin")
}

/// How far times may be off, in seconds.
const LEEWAY: f64 = 0.0;

fn names(claim: &Value, name: &str) -> bool {
    claim == name || claim.as_array().is_some_and(|list| list.iter().any(|entry| entry == name))
}

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}
