//! What a refresh token is: the name of its login, which stays, and a secret, which is new each time. 48 random bytes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const LOGIN_BYTES: usize = 16;
const BYTES: usize = LOGIN_BYTES + 32;

/// A refresh token. Whoever has one of a login can name the login, so that one used before is known for what it is,
/// however long ago that was.
pub struct RefreshToken([u8; BYTES]);

impl RefreshToken {
    /// The first of a new login.
    pub fn new() -> Self {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    /// The next of the same login.
    pub fn next(&self) -> Self {
        let mut bytes = self.0;
        rand::fill(&mut bytes[LOGIN_BYTES..]);
        Self(bytes)
    }

    /// Reads one as it was given to a client.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As clients get it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Its login's id, from which the token cannot be found.
    pub fn session_id(&self) -> String {
        let digest = Sha256::digest(&self.0[..LOGIN_BYTES]);
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What of it is stored.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_is_of_the_same_login_and_another_secret() {
        let first = RefreshToken::new();
        let (next, other) = (first.next(), RefreshToken::new());
        assert_eq!(first.session_id(), next.session_id());
        assert!(first.hash() != next.hash() && first.session_id() != other.session_id());
        let read = RefreshToken::parse(&next.text()).unwrap();
        assert_eq!((read.hash(), next.text().len()), (next.hash(), 64));
        for bad in ["", "x", &"x".repeat(63), &"x".repeat(65), &"!".repeat(64), &first.text()[..60]] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
