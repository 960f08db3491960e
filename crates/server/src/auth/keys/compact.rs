//! A token taken apart, before anything of it is believed: `head.claims.signature` of RFC 7515.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{key::Algorithm, object};

/// Largest token in bytes; a larger one is refused unread.
pub const TOKEN_BYTES: usize = 8 << 10;
/// Longest name of a key in bytes.
const KID_BYTES: usize = 256;
/// What a head must not hold: keys that a token brings along itself, and what would have it read in another way.
const REFUSED: [&str; 9] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"];
/// What a token may say that it is; others are signed by the same issuers, and are no key to anything here.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token as it says of itself.
pub struct Compact<'a> {
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// Which key it names.
    pub kid: Option<String>,
    /// What is signed: the first two parts as they came.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    claims: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; nothing when it is none, or asks for what is never done.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let head = object::parse(&URL_SAFE_NO_PAD.decode(head).ok()?)?;
        let algorithm = Algorithm::named(head.get("alg")?.as_str()?)?;
        if REFUSED.iter().any(|name| head.contains_key(*name)) {
            return None;
        }
        let known = |name: &Value| {
            name.as_str().is_some_and(|name| TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)))
        };
        if !head.get("typ").is_none_or(known) {
            return None;
        }
        let kid = match head.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES => Some(kid.clone()),
            Some(_) => return None,
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { algorithm, kid, signed: signed.as_bytes(), signature, claims })
    }

    /// What it claims; to be read when the signature is known to be good.
    pub fn claims(&self) -> Option<serde_json::Map<String, Value>> {
        object::parse(&URL_SAFE_NO_PAD.decode(self.claims).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(token: &str) -> Option<Compact<'_>> {
        Compact::parse(token)
    }

    fn token(head: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(head))
    }

    #[test]
    fn a_head_says_how_and_by_whom_and_nothing_else() {
        let good = token(r#"{"alg":"ES256","typ":"at+JWT","kid":"k","x5t":"ignored"}"#);
        let compact = parse(&good).unwrap();
        assert_eq!((compact.algorithm, compact.kid.as_deref()), (Algorithm::Es256, Some("k")));
        assert!(compact.claims().unwrap().is_empty());
        for head in [
            r#"{}"#,
            r#"[]"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"PS256"}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"none","alg":"HS256"}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","kid":null}"#,
            r#"{"alg":"HS256","typ":"logout+jwt"}"#,
            r#"{"alg":"HS256","typ":7}"#,
            r#"{"alg":"HS256","crit":["exp"]}"#,
            r#"{"alg":"HS256","b64":false}"#,
            r#"{"alg":"HS256","b64":true}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#,
            r#"{"alg":"HS256","jku":"https://example.com/keys"}"#,
            r#"{"alg":"HS256","x5u":"https://example.com/cert"}"#,
            r#"{"alg":"HS256","x5c":[]}"#,
            r#"{"alg":"HS256"} x"#,
            "\u{feff}{\"alg\":\"HS256\"}",
        ] {
            assert!(parse(&token(head)).is_none(), "{head}");
        }
        let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
        assert!(parse(&token(&long)).is_none());
    }

    #[test]
    fn what_is_not_three_parts_of_base64url_is_no_token() {
        let good = token(r#"{"alg":"HS256"}"#);
        assert!(parse(&good).is_some());
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            format!("{good}.x"),
            format!("{good}="),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace("AAAA", "AA+/"),
            // The same bytes in other letters: a token has one form only.
            good.replace("AAAA", "AAB"),
        ] {
            assert!(parse(&bad).is_none(), "{bad:?}");
        }
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let with_claims = |bytes: usize| format!("{head}.{}.AAAA", "A".repeat(bytes));
        let room = TOKEN_BYTES - with_claims(0).len();
        assert!(parse(&with_claims(room)).is_some());
        assert!(parse(&with_claims(room + 1)).is_none());
    }
}
