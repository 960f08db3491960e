//! One key that checks signatures. It is bound to one algorithm for good, so a token cannot choose how it is read.

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    hmac, rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    },
};
use serde::{Deserialize, Serialize};

/// How tokens may be signed; there is no other way, and no way to have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: who can check can sign.
    #[serde(rename = "HS256")]
    Hs256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA (PKCS #1 v1.5) with SHA-256 and 2048 to 8192 bits.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its name, as the head of a token carries it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of this very name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Names a key by what it is: the same key from another place, or after a reload, has the same name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// A key that checks; it says nothing of its material to anybody.
pub struct Key {
    /// What it is called in here.
    pub id: KeyId,
    /// The one algorithm that it is for.
    pub algorithm: Algorithm,
    /// What tokens call it, if it has a name.
    pub kid: Option<String>,
    /// True for a key of this server's own.
    pub local: bool,
    material: Material,
}

impl Key {
    /// A secret of this server, under the name that its own tokens use.
    pub fn local(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // Another message than any token, so that the name helps nobody who wants to sign.
        let name = hmac::sign(&key, b"wireproof key name");
        let kid: String = name.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self {
            id: KeyId(number(name.as_ref())),
            algorithm: Algorithm::Hs256,
            kid: Some(format!("local-{kid}")),
            local: true,
            material: Material::Secret(Box::new(key)),
        }
    }

    /// The key of a `SubjectPublicKeyInfo` in DER: an RSA key, one on P-256, or an Ed25519 key.
    pub fn of_public_key(der: &[u8]) -> Result<Self, &'static str> {
        if let Ok(key) = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der) {
            return Self::public(Algorithm::Es256, key);
        }
        if let Ok(key) = ParsedPublicKey::new(&ED25519, der) {
            return Self::public(Algorithm::EdDsa, key);
        }
        match ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der) {
            Ok(key) => Self::public(Algorithm::Rs256, key),
            Err(_) => Err("it is none of RSA, P-256 and Ed25519"),
        }
    }

    /// The key of a point on P-256, each coordinate in 32 bytes.
    pub fn of_p256(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        if x.len() != 32 || y.len() != 32 {
            return Err("a coordinate on P-256 has 32 bytes");
        }
        let point = [&[4], x, y].concat();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        Self::public(Algorithm::Es256, key.map_err(|_| "it is no point on P-256")?)
    }

    /// The Ed25519 key of 32 bytes.
    pub fn of_ed25519(x: &[u8]) -> Result<Self, &'static str> {
        if x.len() != 32 {
            return Err("an Ed25519 key has 32 bytes");
        }
        let key = ParsedPublicKey::new(&ED25519, x);
        Self::public(Algorithm::EdDsa, key.map_err(|_| "it is no Ed25519 key")?)
    }

    /// The RSA key of a modulus and an exponent, big end first.
    pub fn of_rsa(n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        Self::public(Algorithm::Rs256, key.map_err(|_| "it is no RSA key")?)
    }

    fn public(algorithm: Algorithm, key: ParsedPublicKey) -> Result<Self, &'static str> {
        let der = key.as_der().map_err(|_| "it cannot be read")?;
        if algorithm == Algorithm::Rs256 {
            let rsa = rsa::PublicKey::from_der(der.as_ref()).map_err(|_| "it is no RSA key")?;
            // The library would refuse every signature; here is where somebody reads why.
            if !(256..=1024).contains(&rsa.modulus_len()) {
                return Err("an RSA key must have 2048 to 8192 bits");
            }
        }
        let id = KeyId(number(digest::digest(&digest::SHA256, der.as_ref()).as_ref()));
        Ok(Self { id, algorithm, kid: None, local: false, material: Material::Public(key) })
    }

    /// The same key under the name that tokens use.
    pub fn called(mut self, kid: Option<String>) -> Self {
        self.kid = kid;
        self
    }

    /// True when the signature is this key's; a secret is compared in constant time.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Material::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

fn number(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
