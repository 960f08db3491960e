//! The server's own key: given by the settings, or made on first use in the data directory; it signs what we issue.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read, Write},
    path::Path,
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use wireproof_protocol::UserId;

use super::{KeyError, key::Key};
use crate::{auth::Claims, config::JwtConfig, files};

/// The key's file in the data directory: 64 hex digits, mode 600.
pub const KEY_FILE: &str = "jwt.key";
/// The key before it, in the same form: it signs nothing more, and its tokens are good until it is taken away.
pub const PREVIOUS_KEY_FILE: &str = "jwt.key.previous";

/// What signs the tokens that this server issues.
pub struct Signer {
    secret: Vec<u8>,
    key: hmac::Key,
    head: String,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Signer {
    /// The secret of the settings, or that of the data directory, which is made if there is none.
    pub fn open(jwt: &JwtConfig, data_dir: &Path) -> Result<Self, KeyError> {
        let secret =
            if jwt.secret.is_empty() { load_or_create(data_dir)? } else { jwt.secret.clone().into_bytes() };
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Self::new(secret, some(&jwt.issuer), some(&jwt.audience)))
    }

    pub(super) fn new(secret: Vec<u8>, issuer: Option<String>, audience: Option<String>) -> Self {
        let kid = Key::local(&secret).kid;
        let head = json!({ "alg": "HS256", "typ": "JWT", "kid": kid }).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Self { secret, key, head: URL_SAFE_NO_PAD.encode(head), issuer, audience }
    }

    /// The key that checks what this one signs.
    pub fn verifier(&self) -> Key {
        Key::local(&self.secret)
    }

    /// What a token says for a user that lives for `ttl` from now.
    pub fn claims(&self, user_id: &UserId, ttl: Duration) -> Claims {
        // With fractions: a token that is made right after its user's others were revoked is a new one.
        let now = crate::clock::unix_now();
        Claims {
            sub: user_id.as_str().to_owned(),
            exp: now + ttl.as_secs_f64(),
            iat: Some(now),
            jti: Some(format!("{:032x}", rand::random::<u128>()).into()),
            iss: self.issuer.clone().map(Into::into),
            aud: self.audience.clone().map(Into::into),
            ..Claims::default()
        }
    }

    /// A token with just these claims, good or bad.
    pub fn sign(&self, claims: &Claims) -> String {
        // Serialising our own types does not fail.
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let signed = format!("{}.{}", self.head, URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The keys that came before: they check, and sign nothing.
pub fn previous(jwt: &JwtConfig, data_dir: &Path) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    if !jwt.previous_secret.is_empty() {
        keys.push(Key::local(jwt.previous_secret.as_bytes()));
    }
    let path = data_dir.join(PREVIOUS_KEY_FILE);
    match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => keys.push(Key::local(&read_key(&mut file, &path)?)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(KeyError::Io { path, source }),
    }
    Ok(keys)
}

/// What keeps the keys of the data directory from being used; one that is not there yet is made at the start.
pub(super) fn faults(jwt: &JwtConfig, data_dir: &Path) -> Vec<KeyError> {
    // What a start would not take is not read, and is told with the folder.
    if files::check_folder(data_dir).is_err_and(|e| files::is_refusal(&e)) {
        return Vec::new();
    }
    let path = data_dir.join(KEY_FILE);
    let own = match OpenOptions::new().read(true).open(&path) {
        _ if !jwt.secret.is_empty() => None,
        Ok(mut file) => read_key(&mut file, &path).err(),
        // A folder that is none is the store's to tell.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(source) => Some(KeyError::Io { path, source }),
    };
    let before = previous(jwt, data_dir).err().filter(
        |error| !matches!(error, KeyError::Io { source, .. } if source.kind() == ErrorKind::NotADirectory),
    );
    own.into_iter().chain(before).collect()
}

pub(super) fn load_or_create(data_dir: &Path) -> Result<Vec<u8>, KeyError> {
    let path = data_dir.join(KEY_FILE);
    let io = |source| KeyError::Io { path: path.clone(), source };
    files::private_folder(data_dir).map_err(io)?;
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
    let mut file = files::create_private(&draft).map_err(io)?;
    let key: [u8; 32] = rand::random();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = file.write_all(hex.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft).map_err(io)?;
    files::sync_folder(path).map_err(io)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(io(e)),
        _ => read_key(&mut OpenOptions::new().read(true).open(path).map_err(io)?, path),
    }
}

fn read_key(file: &mut std::fs::File, path: &Path) -> Result<Vec<u8>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).map_err(io)?;
    let text = text.trim();
    let damaged = || KeyError::Damaged { path: path.to_owned() };
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(damaged());
    }
    (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| damaged())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Bug: signs passed for digits in a key that somebody had typed.
        for bad in ["nonsense", &"+1".repeat(32), &"é".repeat(32)] {
            std::fs::write(folder.path().join(KEY_FILE), bad).unwrap();
            assert!(matches!(load_or_create(folder.path()), Err(KeyError::Damaged { .. })), "{bad}");
        }
    }
}
