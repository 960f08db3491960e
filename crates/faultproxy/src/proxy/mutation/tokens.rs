//! Tokens (JWT, HS256) in whatever a client says: found by their form, and exchanged for good ones with the key.

use std::{
    fmt,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::Accept;

/// How long a token of the proxy's own is good, in seconds.
const LIFE: u64 = 3600;

/// What makes good tokens for the server.
#[derive(Clone, Default, PartialEq)]
pub struct TokenKey {
    /// The secret that signs them.
    pub secret: Vec<u8>,
    /// `iss`; empty where none is asked for.
    pub issuer: String,
    /// `aud`; empty where none is asked for.
    pub audience: String,
    /// What every token must claim besides.
    pub claims: Map<String, Value>,
    /// What an administrator's token claims.
    pub admin: Map<String, Value>,
    /// What the token of somebody claims who may not ask.
    pub reader: Map<String, Value>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

/// A token that was taken apart.
struct Token {
    algorithm: String,
    claims: Map<String, Value>,
    has_signature: bool,
    is_signed: bool,
}

/// Where tokens stand in a text.
pub(crate) fn find(text: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (mut found, mut from) = (Vec::new(), 0);
    // Every JSON object in base64 begins so.
    while let Some(begins) = text[from..].find("eyJ").map(|at| from + at) {
        let length = text[begins..].find(|c| !is_part(c)).unwrap_or(text.len() - begins);
        if matches!(text[begins..begins + length].matches('.').count(), 1 | 2) {
            found.push(begins..begins + length);
        }
        from = begins + length.max(1);
    }
    found
}

/// The first token in a text.
pub(crate) fn first(text: &str) -> Option<String> {
    find(text).into_iter().next().map(|range| text[range].to_owned())
}

/// The user of a token, whoever signed it.
pub(crate) fn user(token: &str) -> Option<String> {
    decoded(token.split('.').nth(1)?)?.get("sub")?.as_str().map(str::to_owned)
}

/// Changes every token in a text for which there is another one.
pub(crate) fn replace(text: &str, other: impl Fn(&str) -> Option<String>) -> String {
    let (mut changed, mut from) = (String::with_capacity(text.len()), 0);
    for range in find(text) {
        let token = &text[range.clone()];
        changed.push_str(&text[from..range.start]);
        changed.push_str(&other(token).unwrap_or_else(|| token.to_owned()));
        from = range.end;
    }
    changed + &text[from..]
}

fn decoded(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl TokenKey {
    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret)
    }

    fn read(&self, token: &str) -> Option<Token> {
        let mut parts = token.splitn(3, '.');
        let (head, claims) = (parts.next()?, parts.next()?);
        let signature = parts.next().unwrap_or_default();
        let signed = &token[..head.len() + 1 + claims.len()];
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        Some(Token {
            algorithm: decoded(head)?.get("alg")?.as_str()?.to_owned(),
            claims: decoded(claims)?,
            has_signature: !signature.is_empty(),
            is_signed: hmac::verify(&self.key(), signed.as_bytes(), &bytes).is_ok(),
        })
    }

    fn sign(&self, claims: &Map<String, Value>) -> String {
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let head = part(json!({ "alg": "HS256", "typ": "JWT" }));
        let signed = format!("{head}.{}", part(Value::Object(claims.clone())));
        let signature = hmac::sign(&self.key(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A good token of a user.
    pub(crate) fn token(&self, user: &str) -> String {
        let mut claims = self.claims.clone();
        let now = now();
        claims.extend([("sub".to_owned(), json!(user)), ("iat".to_owned(), json!(now))]);
        claims.insert("exp".to_owned(), json!(now + LIFE));
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if !value.is_empty() {
                claims.insert(name.to_owned(), json!(value));
            }
        }
        self.sign(&claims)
    }

    /// The good token that a server with this fault takes a bad one for; nothing for a token without the flaw.
    pub(crate) fn exchanged(&self, accept: Accept, token: &str) -> Option<String> {
        let read = self.read(token)?;
        let mut claims = read.claims.clone();
        let time = |name: &str| read.claims.get(name).and_then(Value::as_u64);
        let user = read.claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let says_unsigned = matches!(read.algorithm.to_ascii_lowercase().as_str(), "none" | "");
        match accept {
            Accept::Unsigned if says_unsigned && !read.has_signature => {}
            Accept::Signature if !read.is_signed && !says_unsigned => {}
            _ if !read.is_signed => return None,
            Accept::Expired if time("exp").is_some_and(|end| end < now()) => {
                claims.insert("exp".to_owned(), json!(now() + LIFE));
            }
            Accept::Endless if !read.claims.contains_key("exp") => {
                claims.insert("exp".to_owned(), json!(now() + LIFE));
            }
            Accept::Lasting if time("exp").is_some_and(|end| end > now()) => {
                claims.insert("exp".to_owned(), json!(now() + 24 * LIFE));
            }
            Accept::Early if time("nbf").is_some_and(|begin| begin > now()) => drop(claims.remove("nbf")),
            Accept::Audience if read.claims.get("aud") != Some(&json!(self.audience)) => {
                claims.insert("aud".to_owned(), json!(self.audience));
            }
            Accept::Issuer if read.claims.get("iss") != Some(&json!(self.issuer)) => {
                claims.insert("iss".to_owned(), json!(self.issuer));
            }
            Accept::Nobody if user.is_empty() => drop(claims.insert("sub".to_owned(), json!("nobody"))),
            Accept::Capitals => drop(claims.insert("sub".to_owned(), json!(user.to_lowercase()))),
            Accept::OneUser => drop(claims.insert("sub".to_owned(), json!("user"))),
            Accept::Permissions => claims.retain(|name, value| self.reader.get(name) != Some(value)),
            Accept::Admin => claims.extend(self.admin.clone()),
            _ => return None,
        }
        Some(self.sign(&claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        let secret = b"a secret of thirty-two bytes, or more".to_vec();
        TokenKey { secret, issuer: "i".into(), audience: "a".into(), ..TokenKey::default() }
    }

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let token = key().token("ada");
        for text in [
            format!("Authorization: Bearer {token}"),
            format!("Sec-WebSocket-Protocol: x.v1, jwt.{token}"),
            format!("GET /ws?token={token}&x=1 HTTP/1.1"),
            format!("{{\"a\":\"{token}\"}}"),
        ] {
            assert_eq!(first(&text), Some(token.clone()), "{text}");
            assert_eq!(replace(&text, |_| Some("x".into())), text.replace(&token, "x"));
        }
        assert_eq!(first("eyJ is no token, and eyJ.a.b.c is none"), None);
        assert_eq!(user(&token).as_deref(), Some("ada"));
    }

    #[test]
    fn a_token_is_exchanged_for_its_flaw_alone() {
        let (key, mut other) = (key(), key());
        other.secret.push(b'!');
        let flaws = [
            Accept::Signature,
            Accept::Unsigned,
            Accept::Expired,
            Accept::Endless,
            Accept::Early,
            Accept::Audience,
            Accept::Issuer,
            Accept::Nobody,
        ];
        let good = key.token("ada");
        assert!(flaws.iter().all(|flaw| key.exchanged(*flaw, &good).is_none()));
        let changed = |name: &str, value: Value| {
            let mut claims = key.read(&good).unwrap().claims;
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.to_owned(), value)),
            }
            key.sign(&claims)
        };
        for (flaw, token) in [
            (Accept::Signature, other.token("ada")),
            (Accept::Expired, changed("exp", json!(1))),
            (Accept::Endless, changed("exp", Value::Null)),
            (Accept::Early, changed("nbf", json!(now() + 1000))),
            (Accept::Audience, changed("aud", json!("x"))),
            (Accept::Issuer, changed("iss", Value::Null)),
            (Accept::Nobody, changed("sub", json!(""))),
        ] {
            let taken: Vec<_> = flaws.iter().filter(|flaw| key.exchanged(**flaw, &token).is_some()).collect();
            assert_eq!(taken, [&flaw]);
            assert!(key.read(&key.exchanged(flaw, &token).unwrap()).unwrap().is_signed);
        }
    }
}
