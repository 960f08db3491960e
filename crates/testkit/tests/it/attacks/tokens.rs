//! Tokens that must not count: each is tried in the header, as a subprotocol, in the first frame, and over REST.

use serde_json::json;

use super::{
    row::{Row, token},
    site::{AUDIENCE, ISSUER, OTHER_SECRET, SECRET, Site, encode, hs256, part, unix_now},
};

const BAD: &str = "unauthenticated";
const OLD: &str = "token_expired";

/// A good token with its parts changed.
fn parts(site: &Site, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut parts: Vec<String> = site.good("victim").split('.').map(str::to_owned).collect();
    change(&mut parts);
    parts.join(".")
}

fn under(site: &Site, header: serde_json::Value) -> String {
    hs256(SECRET, &header, &site.claims(json!({})))
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        // What is not a token at all.
        token("no token but a word", BAD, |_| "nonsense".into()),
        token("three parts of nothing", BAD, |_| "a.b.c".into()),
        token("five parts, as an encrypted token has", BAD, |s| format!("{}.x.y", s.good("victim"))),
        token("junk behind the signature", BAD, |s| format!("{}AAAA", s.good("victim"))),
        token("padding behind the signature", BAD, |s| format!("{}=", s.good("victim"))),
        token("a token of 9 KiB", BAD, |s| s.signed(json!({ "filler": "x".repeat(9 << 10) }))),
        // The signature.
        token("no signature", BAD, |s| parts(s, |p| p[2].clear())),
        token("half a signature", BAD, |s| parts(s, |p| p[2].truncate(20))),
        token("a signature of zeros", BAD, |s| parts(s, |p| p[2] = encode(&[0; 32]))),
        token("another user under an old signature", BAD, |s| parts(s, |p| p[1] = part(&s.claims(json!({ "sub": "admin" }))))),
        token("signed with a guessed secret", BAD, |s| hs256("secret", &json!({ "alg": "HS256" }), &s.claims(json!({})))),
        token("signed with no secret", BAD, |s| hs256("", &json!({ "alg": "HS256" }), &s.claims(json!({})))),
        token("of another environment", BAD, |s| hs256(OTHER_SECRET, &json!({ "alg": "HS256" }), &s.claims(json!({})))),
        // The algorithm.
        token("alg none", BAD, |s| format!("{}.{}.", part(&json!({ "alg": "none" })), part(&s.claims(json!({}))))),
        token("alg None, spelt oddly", BAD, |s| format!("{}.{}.", part(&json!({ "alg": "nOnE" })), part(&s.claims(json!({}))))),
        token("alg none with a good signature", BAD, |s| under(s, json!({ "alg": "none" }))),
        token("no alg", BAD, |s| under(s, json!({ "typ": "JWT" }))),
        token("HS512 said, HS256 done", BAD, |s| under(s, json!({ "alg": "HS512" }))),
        token("RS256 said, HMAC with the secret done", BAD, |s| under(s, json!({ "alg": "RS256" }))),
        token("ES256 said, HMAC with the secret done", BAD, |s| under(s, json!({ "alg": "ES256" }))),
        token("HMAC with the issuer's public key", BAD, |s| hs256(s.es256.public_pem(), &json!({ "alg": "HS256" }), &s.claims(json!({})))),
        token("HMAC with the issuer's public key under its kid", BAD, |s| hs256(s.es256.public_pem(), &json!({ "alg": "HS256", "kid": "es-1" }), &s.claims(json!({})))),
        token("HMAC said, signed with the issuer's kind of key", BAD, |s| s.es256.sign(&json!({ "alg": "HS256" }), &s.claims(json!({})))),
        token("a key of the attacker's of the right kind", BAD, |s| s.rogue.sign(&json!({ "alg": "ES256" }), &s.claims(json!({})))),
        token("a key of the attacker's under the issuer's kid", BAD, |s| s.rogue.sign(&json!({ "alg": "ES256", "kid": "es-1" }), &s.claims(json!({})))),
        token("RS256 said, the issuer's P-256 key done", BAD, |s| s.es256.sign(&json!({ "alg": "RS256", "kid": "rs-1" }), &s.claims(json!({})))),
        token("a key that the token brings along", BAD, |s| s.rogue.sign(&json!({ "alg": "ES256", "jwk": s.rogue.jwk() }), &s.claims(json!({})))),
        token("a key that the token points to", BAD, |s| s.rogue.sign(&json!({ "alg": "ES256", "jku": "http://127.0.0.1:1/keys" }), &s.claims(json!({})))),
        token("a kid that walks the file system", BAD, |s| hs256("", &json!({ "alg": "HS256", "kid": "../../../../dev/null" }), &s.claims(json!({})))),
        token("a critical extension", BAD, |s| under(s, json!({ "alg": "HS256", "crit": ["exp"], "exp": 1 }))),
        token("an unencoded payload", BAD, |s| under(s, json!({ "alg": "HS256", "crit": ["b64"], "b64": false }))),
        // The times.
        token("expired an hour ago", OLD, |s| s.signed(json!({ "exp": unix_now() - 3600.0 }))),
        token("expired a second ago", OLD, |s| s.signed(json!({ "exp": unix_now() - 1.0 }))),
        token("made two minutes from now", BAD, |s| s.signed(json!({ "iat": unix_now() + 120.0 }))),
        token("not before a minute from now", BAD, |s| s.signed(json!({ "nbf": unix_now() + 60.0 }))),
        token("without an end", BAD, |s| s.signed(json!({ "exp": null }))),
        token("with a text as its end", BAD, |s| s.signed(json!({ "exp": "9999999999" }))),
        // Whose, from whom, for whom.
        token("of nobody", BAD, |s| s.signed(json!({ "sub": null }))),
        token("of an empty name", BAD, |s| s.signed(json!({ "sub": "" }))),
        token("of a name of two lines", BAD, |s| s.signed(json!({ "sub": "victim\nadmin" }))),
        token("of a number", BAD, |s| s.signed(json!({ "sub": 7 }))),
        token("of two users at once", BAD, |s| s.signed(json!({ "sub": ["attacker", "victim"] }))),
        token("of a name of 129 characters", BAD, |s| s.signed(json!({ "sub": "x".repeat(129) }))),
        token("of another issuer", BAD, |s| s.signed(json!({ "iss": "https://evil.example" }))),
        token("of no issuer", BAD, |s| s.signed(json!({ "iss": null }))),
        token("of an issuer of a longer name", BAD, |s| s.signed(json!({ "iss": format!("{ISSUER}.evil.example") }))),
        token("for another audience", BAD, |s| s.signed(json!({ "aud": "staging" }))),
        token("for a list of other audiences", BAD, |s| s.signed(json!({ "aud": ["a", "b"] }))),
        token("for no audience", BAD, |s| s.signed(json!({ "aud": null }))),
        token("for an audience of another case", BAD, |s| s.signed(json!({ "aud": AUDIENCE.to_uppercase() }))),
    ]
}
