use std::path::PathBuf;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{sources::TRIES, *};

/// A data folder that may hold other things than the server's.
fn private_folder() -> tempfile::TempDir {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().unwrap()
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// What signs in the place of an issuer.
struct Pair {
    algorithm: &'static str,
    der: Vec<u8>,
    sign: Sign,
}

impl Pair {
    fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let der = der.as_ref().to_vec();
        let sign =
            Box::new(move |text: &[u8]| pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec());
        Self { algorithm: "ES256", der, sign }
    }

    fn eddsa() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let der = der.as_ref().to_vec();
        Self { algorithm: "EdDSA", der, sign: Box::new(move |text| pair.sign(text).as_ref().to_vec()) }
    }

    fn rs256() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = Box::new(move |text: &[u8]| {
            let mut signature = vec![0; 256];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
            signature
        });
        Self { algorithm: "RS256", der, sign }
    }

    fn hs256(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let sign = Box::new(move |text: &[u8]| hmac::sign(&key, text).as_ref().to_vec());
        Self { algorithm: "HS256", der: Vec::new(), sign }
    }

    fn public() -> [Self; 3] {
        [Self::es256(), Self::eddsa(), Self::rs256()]
    }

    fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.der)
    }

    fn token(&self, head: Value) -> String {
        let claims = json!({ "sub": "ada", "exp": crate::clock::unix_now() + 60.0 });
        let text = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(head), text(claims));
        let signature = URL_SAFE_NO_PAD.encode((self.sign)(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn good(&self) -> String {
        self.token(json!({ "alg": self.algorithm }))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Keys of a folder of their own, with this text as the file of public keys.
fn keys_with(text: &str, change: impl FnOnce(&mut JwtConfig)) -> Result<Keys, KeyError> {
    let folder = private_folder();
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, text).unwrap();
    let mut jwt = JwtConfig { public_key_file: path, ..JwtConfig::default() };
    if text.is_empty() {
        jwt.public_key_file = PathBuf::new();
    }
    change(&mut jwt);
    Keys::from_config(&jwt, folder.path())
}

async fn user(keys: &Keys, token: &str) -> Result<String, AuthError> {
    keys.verify(token).await.map(|principal| principal.user_id.to_string())
}

const ADA: Result<&str, &AuthError> = Ok("ada");

#[tokio::test]
async fn each_algorithm_checks_its_own_signatures_and_no_others() {
    let pairs = Pair::public();
    let others = Pair::public();
    let text: String = pairs.iter().map(Pair::pem).collect();
    let keys = keys_with(&text, |_| {}).unwrap();
    assert_eq!(keys.report().file, 3);
    for (pair, other) in pairs.iter().zip(&others) {
        assert_eq!(user(&keys, &pair.good()).await.as_deref(), ADA, "{}", pair.algorithm);
        for named in ["none", "HS256", "EdDSA", "ES256", "RS256", "RS384", "PS256", "ES384"] {
            let result = user(&keys, &pair.token(json!({ "alg": named }))).await;
            assert_eq!(result.is_ok(), named == pair.algorithm, "{} called {named}", pair.algorithm);
        }
        let forged = [
            other.good(),
            // The public key used as a secret, in each form in which somebody might hold it.
            Pair::hs256(&pair.der).good(),
            Pair::hs256(pair.pem().as_bytes()).good(),
            Pair::hs256(pair.pem().trim().as_bytes()).good(),
            Pair::hs256(b"").good(),
        ];
        for token in forged {
            assert_eq!(user(&keys, &token).await, Err(AuthError::Invalid), "{} {token}", pair.algorithm);
        }
        let mut cut = pair.good();
        cut.truncate(cut.rfind('.').unwrap() + 1);
        assert_eq!(user(&keys, &cut).await, Err(AuthError::Invalid));
    }
}

#[tokio::test]
async fn the_list_of_algorithms_narrows() {
    let pairs = Pair::public();
    let text: String = pairs.iter().map(Pair::pem).collect();
    let keys = keys_with(&text, |jwt| jwt.algorithms = vec!["ES256".into()]).unwrap();
    assert!(user(&keys, &pairs[0].good()).await.is_ok());
    for token in
        [pairs[1].good(), pairs[2].good(), keys.sign(&UserId::new("ada").unwrap(), Duration::from_secs(9))]
    {
        assert_eq!(user(&keys, &token).await, Err(AuthError::Invalid));
    }
    for bad in [vec![], vec!["none".to_owned()], vec!["HS512".to_owned()], vec!["es256".to_owned()]] {
        assert!(matches!(keys_with("", |jwt| jwt.algorithms = bad), Err(KeyError::Algorithm { .. })));
    }
}

#[test]
fn a_file_holds_public_keys_of_good_size_and_kind_and_nothing_private() {
    let es256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = pem("PRIVATE KEY", es256.to_pkcs8v1().unwrap().as_ref());
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let p384: PublicKeyX509Der<'_> = p384.public_key().as_der().unwrap();
    let mut modulus = [0xff_u8; 128];
    modulus[..8].copy_from_slice(&[0xc1; 8]);
    let weak = RsaPublicKeyComponents { n: &modulus[..], e: &[1, 0, 1][..] }.as_der().unwrap();
    let good = Pair::es256().pem();
    for (text, why) in [
        (private.clone(), "private key"),
        (format!("{good}{private}"), "private key"),
        (format!("{good}{}", pem("ENCRYPTED PRIVATE KEY", b"x")), "private key"),
        (pem("PUBLIC KEY", p384.as_ref()), "none of RSA, P-256 and Ed25519"),
        (pem("PUBLIC KEY", weak.as_ref()), "2048"),
        (pem("PUBLIC KEY", b"nonsense"), "none of RSA"),
        (pem("CERTIFICATE", b"nonsense"), "certificate cannot be read"),
        ("nonsense".to_owned(), "no public key"),
        ("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n".to_owned(), "not PEM"),
        (good.repeat(17), "more than 16"),
        (" ".repeat(70_000), "64 KiB"),
    ] {
        let error = keys_with(&text, |_| {}).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(why) && error.contains("keys.pem"), "{why}: {error}");
    }
    let missing = keys_with(&good, |jwt| jwt.public_key_file.push("missing"));
    assert!(matches!(missing, Err(KeyError::Io { .. })));
}

#[tokio::test]
async fn a_certificate_stands_for_its_key() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["us".to_owned()]).unwrap().self_signed(&key).unwrap();
    let keys = keys_with(&certificate.pem(), |_| {}).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
    let sign = Box::new(move |text: &[u8]| pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec());
    let pair = Pair { algorithm: "ES256", der: Vec::new(), sign };
    assert_eq!(user(&keys, &pair.good()).await.as_deref(), ADA);
}

/// A shared secret and a key from a file have no name of the issuer's: a token may call them what it likes. The
/// server's own tokens carry the name of its key.
#[tokio::test]
async fn a_name_chooses_where_there_are_names() {
    let (pair, secret) = (Pair::es256(), "0123456789abcdef0123456789abcdef");
    let keys = keys_with(&pair.pem(), |jwt| jwt.secret = secret.into()).unwrap();
    assert!(user(&keys, &pair.token(json!({ "alg": "ES256", "kid": "theirs" }))).await.is_ok());
    let shared = Pair::hs256(secret.as_bytes());
    let own = keys.report().local.unwrap();
    assert!(own.starts_with("local-") && own.len() == 18, "{own}");
    for kid in ["theirs", &own] {
        assert!(user(&keys, &shared.token(json!({ "alg": "HS256", "kid": kid }))).await.is_ok(), "{kid}");
    }
    // The name is that of a key of another algorithm.
    let crossed = pair.token(json!({ "alg": "ES256", "kid": own }));
    assert_eq!(user(&keys, &crossed).await, Err(AuthError::Invalid));
    let token = keys.sign(&UserId::new("ada").unwrap(), Duration::from_secs(60));
    let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    assert_eq!(head, json!({ "alg": "HS256", "typ": "JWT", "kid": own }));
}

/// Tokens are what the standard says, by the word of another implementation.
#[tokio::test]
async fn another_implementation_reads_and_writes_the_same_tokens() {
    use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
    let secret = b"0123456789abcdef0123456789abcdef";
    let keys = keys_with("", |jwt| jwt.secret = String::from_utf8(secret.to_vec()).unwrap()).unwrap();
    let ours = keys.sign(&UserId::new("ada").unwrap(), Duration::from_secs(60));
    let read = decode::<Value>(&ours, &DecodingKey::from_secret(secret), &Validation::default()).unwrap();
    assert_eq!(read.claims["sub"], "ada");
    let claims = json!({ "sub": "ada", "exp": crate::clock::unix_now() + 60.0 });
    let theirs = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).unwrap();
    assert_eq!(user(&keys, &theirs).await.as_deref(), ADA);
}

#[tokio::test]
async fn a_token_without_a_name_is_tried_against_a_few_keys_only() {
    let pairs: Vec<Pair> = (0..TRIES + 1).map(|_| Pair::es256()).collect();
    let text: String = pairs.iter().map(Pair::pem).collect();
    let keys = keys_with(&text, |_| {}).unwrap();
    assert!(user(&keys, &pairs[TRIES - 1].good()).await.is_ok());
    assert_eq!(user(&keys, &pairs[TRIES].good()).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn a_reload_takes_the_new_keys_and_forgets_what_the_old_ones_vouched_for() {
    let folder = private_folder();
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let mut jwt = JwtConfig { secret: old.into(), ..JwtConfig::default() };
    let keys = Keys::from_config(&jwt, folder.path()).unwrap();
    let ada = UserId::new("ada").unwrap();
    let token = keys.sign(&ada, Duration::from_secs(60));
    let key = keys.verify(&token).await.unwrap().key.unwrap();
    assert!(keys.verify(&token).await.is_ok() && keys.trusts(key));
    let mut changes = keys.changes();

    (jwt.secret, jwt.previous_secret) = (new.into(), old.into());
    keys.reload(&jwt, folder.path()).await.unwrap();
    assert!(changes.has_changed().unwrap() && keys.trusts(key), "the key before it is good for a while");
    changes.mark_unchanged();
    assert!(keys.verify(&token).await.is_ok());
    let newer = keys.sign(&ada, Duration::from_secs(60));
    assert_ne!(newer.split('.').next(), token.split('.').next());
    assert!(keys.verify(&newer).await.is_ok());

    jwt.algorithms = vec!["nonsense".into()];
    assert!(keys.reload(&jwt, folder.path()).await.is_err());
    assert!(keys.verify(&token).await.is_ok(), "a reload that fails changes nothing");

    jwt.algorithms = JwtConfig::default().algorithms;
    jwt.previous_secret.clear();
    keys.reload(&jwt, folder.path()).await.unwrap();
    assert!(changes.has_changed().unwrap() && !keys.trusts(key));
    assert_eq!(keys.verify(&token).await, Err(AuthError::Invalid));
    assert!(keys.verify(&newer).await.is_ok());
}

#[tokio::test]
async fn the_key_file_is_rotated_by_moving_it_away() {
    let folder = private_folder();
    let (jwt, ada) = (JwtConfig::default(), UserId::new("ada").unwrap());
    let keys = Keys::from_config(&jwt, folder.path()).unwrap();
    let token = keys.sign(&ada, Duration::from_secs(60));
    let (current, previous) = (folder.path().join(KEY_FILE), folder.path().join(PREVIOUS_KEY_FILE));
    std::fs::rename(&current, &previous).unwrap();
    keys.reload(&jwt, folder.path()).await.unwrap();
    assert!(current.exists() && keys.verify(&token).await.is_ok());
    assert_eq!(keys.report().previous, 1);
    std::fs::remove_file(previous).unwrap();
    keys.reload(&jwt, folder.path()).await.unwrap();
    assert_eq!(keys.verify(&token).await, Err(AuthError::Invalid));
}

#[test]
fn of_a_key_set_only_public_keys_for_checking_are_taken() {
    let ec = json!({ "kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" });
    let with = |changes: Value| {
        let mut key = ec.clone();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let taken = |keys: Vec<Value>| {
        jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
            .map(|(keys, unusable)| (keys.len(), unusable))
    };
    let good = [
        json!({}),
        json!({ "kid": "a", "use": "sig", "alg": "ES256", "key_ops": ["verify"] }),
        json!({ "x5c": ["what else may be there"], "unknown": 7 }),
    ];
    assert_eq!(taken(good.into_iter().map(with).collect()), Ok((3, 0)));
    for bad in [
        json!({ "use": "enc" }),
        json!({ "alg": "ES384" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "none" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE" }),
        json!({ "kty": "oct", "k": "AAAA" }),
        json!({ "kty": "OKP", "crv": "X25519" }),
        json!({ "crv": "P-384" }),
        json!({ "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyN" }),
        json!({ "x": "AAAA" }),
        json!({ "kid": 7 }),
    ] {
        assert_eq!(taken(vec![with(bad.clone()), ec.clone()]), Ok((1, 1)), "{bad}");
    }
    let useless = vec![json!(7), json!([]), json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" })];
    assert_eq!(taken([useless.clone(), vec![ec.clone()]].concat()), Ok((1, 3)));
    // A set without any key is a mistake of somebody's, and takes nothing away.
    assert!(taken(useless).is_err() && taken(Vec::new()).is_err());
    assert_eq!(taken(vec![ec.clone(); 100]), Ok((100, 0)));
    assert!(taken(vec![ec.clone(); 101]).is_err());
    for document in ["", "[]", "{}", r#"{"keys":7}"#, "<html>"] {
        assert!(jwks::parse(document.as_bytes()).is_err(), "{document}");
    }
}
