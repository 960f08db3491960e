//! The keys that an issuer publishes: a JSON Web Key Set of RFC 7517, of which only what we can use is taken.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::key::{Algorithm, Key};

/// Most keys that a set may have.
pub const MOST_KEYS: usize = 100;

/// A key as it is published. The parts of a private or a symmetric key are known so that they can be refused.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<Value>,
    k: Option<Value>,
}

/// The keys of a document and how many of it are of no use here; an error when it is no key set.
pub fn parse(document: &[u8]) -> Result<(Vec<Key>, usize), &'static str> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(document).map_err(|_| "what it answers is no key set")?;
    if set.keys.len() > MOST_KEYS {
        return Err("it has more than 100 keys");
    }
    let published = set.keys.len();
    let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
    if keys.is_empty() {
        // Nobody publishes that he has no keys; a proxy or a half-done change does.
        return Err("it has no key that is of use here");
    }
    let unusable = published - keys.len();
    Ok((keys, unusable))
}

/// The key, if it is a public one for checking, of a kind that we know.
fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let checks = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !checks || jwk.d.is_some() || jwk.k.is_some() {
        return None;
    }
    let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?.trim_end_matches('=')).ok();
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC", Some("P-256")) => Key::of_p256(&bytes(&jwk.x)?, &bytes(&jwk.y)?),
        ("OKP", Some("Ed25519")) => Key::of_ed25519(&bytes(&jwk.x)?),
        // Some publish the modulus with the zero in front that ASN.1 has.
        ("RSA", None) => Key::of_rsa(stripped(&bytes(&jwk.n)?), stripped(&bytes(&jwk.e)?)),
        _ => return None,
    };
    let key = key.ok()?;
    // A key that is for another algorithm of its family is not for ours.
    let meant = jwk.alg.as_deref().is_none_or(|alg| {
        Algorithm::named(alg) == Some(key.algorithm)
            || (alg == "Ed25519" && key.algorithm == Algorithm::EdDsa)
    });
    meant.then(|| key.called(jwk.kid))
}

fn stripped(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
