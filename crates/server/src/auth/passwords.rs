//! Passwords: what they may be, and their argon2id hashes, made and checked by a few threads with a bounded queue.

use std::{fmt::Write, sync::Arc, time::Duration};

use argon2::{
    Argon2, Params, PasswordVerifier,
    password_hash::{PasswordHasher, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use wireproof_protocol::{ErrorBody, ErrorCode};

/// Shortest password in characters.
pub const SHORTEST: usize = 8;
/// Longest password in characters.
pub const LONGEST: usize = 1024;
/// Hashes that may wait for a thread; they hold a password each, and no memory for the hash yet.
const WAITING: usize = 64;
/// Longest wait for a thread.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to come again after a refusal.
pub const COME_AGAIN: Duration = Duration::from_secs(2);

/// Why a password was not hashed or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The hash cannot be made, or is none.
    #[error("a password could not be hashed")]
    Failed,
}

/// Refuses what is too short or too long for a password.
pub fn check(password: &str) -> Result<(), Box<ErrorBody>> {
    let sentence = match password.chars().count() {
        ..SHORTEST => format!("The password is too short: it needs at least {SHORTEST} characters."),
        SHORTEST..=LONGEST => return Ok(()),
        _ => format!("The password is too long: it may have at most {LONGEST} characters."),
    };
    Err(Box::new(ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", "password")))
}

/// A password that nobody chose: 144 random bits.
pub fn random() -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>())
}

/// Makes and checks hashes, so many at a time that half of the cores are left for others.
pub struct Passwords {
    /// For those that are hashed, and those that wait.
    places: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    /// A hash that no password has: checking against it takes as long as against any other.
    nobodys: Arc<str>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), WAITING)
    }
}

impl Passwords {
    fn new(threads: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(threads + waiting)),
            threads: Arc::new(Semaphore::new(threads)),
            nobodys: nobodys().into(),
        }
    }

    /// The hash of a password, in PHC form.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.compute(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|_| PasswordError::Failed)
        })
        .await?
    }

    /// True when the password has the hash. Without a hash false, after just as much work.
    pub async fn verify(&self, password: String, hash: Option<&str>) -> Result<bool, PasswordError> {
        let expected: Arc<str> = hash.map_or_else(|| self.nobodys.clone(), Arc::from);
        self.compute(move || {
            let Ok(expected) = PasswordHash::new(&expected) else { return Err(PasswordError::Failed) };
            Ok(Argon2::default().verify_password(password.as_bytes(), &expected).is_ok())
        })
        .await?
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permits = self.admit().await?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work, not by its caller, who may go away before it ends.
            let _permits = permits;
            work()
        });
        done.await.map_err(|_| PasswordError::Failed)
    }

    async fn admit(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), PasswordError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        match timeout(PATIENCE, self.threads.clone().acquire_owned()).await {
            Ok(Ok(thread)) => Ok((place, thread)),
            _ => Err(PasswordError::Busy),
        }
    }
}

/// A hash with the parameters of all others, made of random bytes alone.
fn nobodys() -> String {
    let (salt, output): ([u8; 16], [u8; 32]) = (rand::random(), rand::random());
    let (memory, passes, lanes) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
    let mut hash = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}");
    for part in [STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output)] {
        // Writing to a string does not fail.
        let _ = write!(hash, "${part}");
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_characters() {
        for (password, good) in [
            ("", false),
            ("1234567", false),
            ("12345678", true),
            ("éééé", false),
            (&"é".repeat(1024), true),
            (&"x".repeat(1024), true),
            (&"x".repeat(1025), false),
        ] {
            assert_eq!(check(password).is_ok(), good, "{} characters", password.chars().count());
        }
        let refused = check("secret").unwrap_err();
        assert!(!refused.message.contains("secret") && check(&random()).is_ok());
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_only_and_salted() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap());
        for (password, good) in [("correct horse", true), ("correct horsf", false), ("", false)] {
            assert_eq!(passwords.verify(password.into(), Some(&hash)).await, Ok(good), "{password}");
        }
        assert_eq!(
            passwords.verify("correct horse".into(), Some("nonsense")).await,
            Err(PasswordError::Failed)
        );
    }

    /// Were nobody's hash malformed, checking against it would fail at once and tell who has no account.
    #[tokio::test]
    async fn nobodys_hash_is_checked_like_any_other() {
        let passwords = Passwords::default();
        assert_eq!(passwords.verify("correct horse".into(), None).await, Ok(false));
        let (ours, real) = (nobodys(), passwords.hash("correct horse".into()).await.unwrap());
        let shape = |hash: &str| {
            let hash = PasswordHash::new(hash).unwrap();
            let (salt, output) = (hash.salt.unwrap().len(), hash.hash.unwrap().len());
            (hash.algorithm, hash.version, hash.params, salt, output)
        };
        assert_eq!(shape(&ours), shape(&real));
    }

    #[tokio::test]
    async fn past_its_queue_it_is_busy_at_once() {
        let passwords = Passwords::new(1, 2);
        let held = [passwords.admit().await.unwrap()];
        let waiting: Vec<_> = (0..2).map(|_| Box::pin(passwords.hash("password".into()))).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(passwords.hash("password".into()).await, Err(PasswordError::Busy));
        drop(held);
        assert!(waiting.await.iter().all(Result::is_ok));
        assert!(passwords.hash("password".into()).await.is_ok());
    }
}
