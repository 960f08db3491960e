//! Somebody else who issues tokens: key pairs of each algorithm, made on the spot, and tokens with any head and any
//! claims. [`JwksServer`] publishes the keys over HTTP.

use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

mod jwks_server;

pub use jwks_server::JwksServer;

/// A key pair, or a secret, under a name; it signs whatever it is given.
pub struct Issuer {
    kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

/// Making a key fails only where the machine has no randomness left.
fn made<T, E: std::fmt::Debug>(key: Result<T, E>) -> T {
    key.unwrap_or_else(|e| panic!("a key pair cannot be made: {e:?}"))
}

impl Issuer {
    fn new(kid: &str, pair: Pair) -> Self {
        Self { kid: Some(kid.to_owned()), pair }
    }

    /// A new key on P-256.
    pub fn es256(kid: &str) -> Self {
        Self::new(kid, Pair::P256(made(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING))))
    }

    /// A new RSA key of 2048 bits; it takes a moment.
    pub fn rs256(kid: &str) -> Self {
        Self::new(kid, Pair::Rsa(Box::new(made(RsaKeyPair::generate(KeySize::Rsa2048)))))
    }

    /// A new Ed25519 key.
    pub fn eddsa(kid: &str) -> Self {
        Self::new(kid, Pair::Ed25519(made(Ed25519KeyPair::generate())))
    }

    /// Who has this secret, or takes something else for one.
    pub fn hs256(kid: &str, secret: impl Into<Vec<u8>>) -> Self {
        Self::new(kid, Pair::Secret(secret.into()))
    }

    /// The same key without a name.
    pub fn nameless(mut self) -> Self {
        self.kid = None;
        self
    }

    /// Somebody else under the same name: another key of the same kind. An RSA key takes a moment.
    pub fn rival(&self) -> Self {
        let kid = self.kid.as_deref().unwrap_or_default();
        let rival = match &self.pair {
            Pair::Rsa(_) => Self::rs256(kid),
            Pair::P256(_) => Self::es256(kid),
            Pair::Ed25519(_) => Self::eddsa(kid),
            Pair::Secret(secret) => Self::hs256(kid, secret.iter().map(|byte| !byte).collect::<Vec<_>>()),
        };
        if self.kid.is_none() { rival.nameless() } else { rival }
    }

    /// False for a secret, which must stay one.
    pub fn has_public_key(&self) -> bool {
        !matches!(self.pair, Pair::Secret(_))
    }

    /// Its algorithm, as the head of a token names it.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Secret(_) => "HS256",
        }
    }

    /// The head that its tokens have.
    pub fn header(&self) -> Value {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        header
    }

    /// Claims that say who it is, from now for an hour, and nothing else; to be changed at will.
    pub fn claims(user: &str) -> Value {
        let now = unix_now();
        json!({ "sub": user, "iat": now, "exp": now + 3600 })
    }

    /// A good token for a user, for an hour.
    pub fn token(&self, user: &str) -> String {
        self.sign_claims(&Self::claims(user))
    }

    /// A good token for a user that lives so long from now.
    pub fn token_for(&self, user: &str, ttl: Duration) -> String {
        let mut claims = Self::claims(user);
        claims["exp"] = json!(unix_now() as f64 + ttl.as_secs_f64());
        self.sign_claims(&claims)
    }

    /// A token with these claims and the head that its tokens have.
    pub fn sign_claims(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    /// A token with any head and any claims, truly signed.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token of texts that need not be JSON, truly signed.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, signed: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Secret(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed).as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(signed).as_ref().to_vec(),
            Pair::P256(pair) => made(pair.sign(&SystemRandom::new(), signed)).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                made(pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature));
                signature
            }
        }
    }

    /// Its public key, a `SubjectPublicKeyInfo` in DER. Panics for a secret, which has none.
    pub fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'static> = match &self.pair {
            Pair::Rsa(pair) => made(pair.public_key().as_der()),
            Pair::P256(pair) => made(pair.public_key().as_der()),
            Pair::Ed25519(pair) => made(pair.public_key().as_der()),
            Pair::Secret(_) => panic!("a secret has no public key"),
        };
        der.as_ref().to_vec()
    }

    /// Its public key in PEM. Panics for a secret.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der())
    }

    /// Its private key in PEM: for a place where it must not be. Panics for a secret.
    pub fn private_pem(&self) -> String {
        let der = match &self.pair {
            Pair::Rsa(pair) => made(pair.as_der()).as_ref().to_vec(),
            Pair::P256(pair) => made(pair.to_pkcs8v1()).as_ref().to_vec(),
            Pair::Ed25519(pair) => made(pair.to_pkcs8v1()).as_ref().to_vec(),
            Pair::Secret(_) => panic!("a secret has no PEM"),
        };
        pem("PRIVATE KEY", &der)
    }

    /// Its public key as it is published; for a secret, as a fool would publish it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": text(&parts.n), "e": text(&parts.e) })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
            Pair::Secret(secret) => json!({ "kty": "oct", "k": text(secret) }),
        };
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A key set of this key alone.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }
}

/// A token that nobody signed, with this head, claims and text in the place of the signature.
pub fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", text(header), text(claims))
}

/// Bytes in PEM under a label.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::new();
    for start in (0..text.len()).step_by(64) {
        lines.push_str(&text[start..text.len().min(start + 64)]);
        lines.push('\n');
    }
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// Now, in whole Unix seconds.
pub(crate) fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
