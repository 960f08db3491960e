//! The signing key: given by the settings, or made on first use in the data directory.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use wireproof_protocol::UserId;

use super::{AuthError, Claims, Principal};
use crate::config::JwtConfig;

/// The key's file in the data directory: 64 hex digits, mode 600.
pub const KEY_FILE: &str = "jwt.key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make the key {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "{path} is not a key of 64 hex digits; move it away to have a new one made (old tokens end then)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// What signs and checks tokens: HS256 and nothing else.
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Keys {
    /// The key of the settings, or that of the data directory.
    pub fn from_config(jwt: &JwtConfig, data_dir: &Path) -> Result<Self, KeyError> {
        let secret =
            if jwt.secret.is_empty() { load_or_create(data_dir)? } else { jwt.secret.clone().into_bytes() };
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Self::new(&secret, some(&jwt.issuer), some(&jwt.audience)))
    }

    /// The key of a data directory, made if there is none.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, KeyError> {
        Self::from_config(&JwtConfig::default(), data_dir)
    }

    fn new(secret: &[u8], issuer: Option<String>, audience: Option<String>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        // Times are ours to check, so that a test can say what time it is and floats are taken.
        validation.validate_exp = false;
        validation.required_spec_claims = ["exp", "sub"].map(str::to_owned).into();
        validation.validate_nbf = true;
        match &issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                validation.required_spec_claims.insert("iss".to_owned());
            }
            None => validation.iss = None,
        }
        match &audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        let (encoding, decoding) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self { encoding, decoding, validation, issuer, audience }
    }

    /// A token for a user that lives for `ttl` from now.
    pub fn sign(&self, user_id: &UserId, ttl: Duration) -> String {
        let now = crate::clock::unix_now().floor();
        let claims = Claims {
            sub: user_id.as_str().to_owned(),
            exp: now + ttl.as_secs_f64(),
            iat: Some(now),
            jti: Some(format!("{:032x}", rand::random::<u128>()).into()),
            iss: self.issuer.clone().map(Into::into),
            aud: self.audience.clone().map(Into::into),
            ..Claims::default()
        };
        self.sign_claims(&claims)
    }

    /// A token with just these claims, good or bad: for tools that make tokens.
    pub fn sign_claims(&self, claims: &Claims) -> String {
        // HMAC over our own JSON does not fail.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding).unwrap_or_default()
    }

    /// The principal of a token that is good now.
    pub fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).map_err(|e| {
            match e.kind() {
                ErrorKind::ExpiredSignature => AuthError::Expired,
                _ => AuthError::Invalid,
            }
        })?;
        data.claims.principal(crate::clock::unix_now())
    }
}

fn load_or_create(data_dir: &Path) -> Result<Vec<u8>, KeyError> {
    let path = data_dir.join(KEY_FILE);
    let io = |source| KeyError::Io { path: path.clone(), source };
    std::fs::create_dir_all(data_dir).map_err(io)?;
    match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => read_key(&mut file, &path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => create(data_dir, &path),
        Err(source) => Err(io(source)),
    }
}

/// Writes a new key beside its place and links it in, so that two processes agree on one and none reads a half.
fn create(data_dir: &Path, path: &Path) -> Result<Vec<u8>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let draft = data_dir.join(format!("{KEY_FILE}.{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(io)?;
    let key: [u8; 32] = rand::random();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = file.write_all(hex.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft).map_err(io)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(io(e)),
        _ => read_key(&mut OpenOptions::new().read(true).open(path).map_err(io)?, path),
    }
}

fn read_key(file: &mut std::fs::File, path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let text = text.trim();
    let damaged = || KeyError::Damaged { path: path.to_owned() };
    if text.len() != 64 || !text.is_ascii() {
        return Err(damaged());
    }
    (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| damaged())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&[7; 32], None, None)
    }

    fn user() -> UserId {
        UserId::new("ada").unwrap()
    }

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let keys = keys();
        let token = keys.sign(&user(), Duration::from_secs(60));
        assert_eq!(keys.verify(&token).unwrap().user_id, user());
        let expired = Claims { sub: "ada".into(), exp: crate::clock::unix_now() - 1.0, ..Claims::default() };
        assert_eq!(keys.verify(&keys.sign_claims(&expired)), Err(AuthError::Expired));
    }

    #[test]
    fn what_is_not_our_signature_is_refused() {
        let token = Keys::new(&[8; 32], None, None).sign(&user(), Duration::from_secs(60));
        assert_eq!(keys().verify(&token), Err(AuthError::Invalid));
        for bad in ["", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9."] {
            assert_eq!(keys().verify(bad), Err(AuthError::Invalid), "{bad}");
        }
    }

    #[test]
    fn issuer_and_audience_are_checked_when_set() {
        let strict = Keys::new(&[7; 32], Some("us".into()), Some("them".into()));
        let good = strict.sign(&user(), Duration::from_secs(60));
        assert!(strict.verify(&good).is_ok() && keys().verify(&good).is_ok());
        let now = crate::clock::unix_now();
        let some = |text: &str| Some(serde_json::Value::from(text));
        let mut claims = Claims {
            sub: "ada".into(),
            exp: now + 60.0,
            iat: None,
            jti: Some(7.into()),
            iss: some("us"),
            ..Claims::default()
        };
        // Bug: a list of audiences, as many issuers send it, was refused.
        claims.aud = Some(serde_json::json!(["others", "them"]));
        assert!(strict.verify(&strict.sign_claims(&claims)).is_ok());
        claims.aud = Some(serde_json::json!(["others"]));
        assert_eq!(strict.verify(&strict.sign_claims(&claims)), Err(AuthError::Invalid));
        assert_eq!(strict.verify(&keys().sign(&user(), Duration::from_secs(60))), Err(AuthError::Invalid));
    }

    #[test]
    fn iat_far_ahead_and_odd_subjects_are_refused() {
        let keys = keys();
        let claims = |sub: &str, ahead: f64| Claims {
            sub: sub.into(),
            exp: crate::clock::unix_now() + 600.0,
            iat: Some(crate::clock::unix_now() + ahead),
            ..Claims::default()
        };
        assert!(keys.verify(&keys.sign_claims(&claims("ada", 30.0))).is_ok());
        assert_eq!(keys.verify(&keys.sign_claims(&claims("ada", 90.0))), Err(AuthError::Invalid));
        assert_eq!(keys.verify(&keys.sign_claims(&claims("", 0.0))), Err(AuthError::Invalid));
        assert_eq!(keys.verify(&keys.sign_claims(&claims("a\nb", 0.0))), Err(AuthError::Invalid));
    }

    #[test]
    fn two_that_make_a_key_at_once_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_create(folder.path()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.path().join(KEY_FILE), "nonsense").unwrap();
        assert!(matches!(load_or_create(folder.path()), Err(KeyError::Damaged { .. })));
    }
}
