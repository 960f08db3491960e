//! Accounts, their logins, and what was revoked before its time: the records, and what must be atomic with them.

use std::fmt;

use async_trait::async_trait;
use wireproof_protocol::{Timestamp, UserId};

use super::{StoreError, Window};
use crate::permissions::Permissions;

/// A user who logs in with a password.
#[derive(Clone, PartialEq)]
pub struct Account {
    /// Its name, which is the user's id.
    pub user_id: UserId,
    /// The argon2 hash of its password, in PHC form.
    pub password_hash: String,
    /// What its tokens grant.
    pub permissions: Permissions,
    /// True when nobody can log in as it.
    pub disabled: bool,
    /// When it was made, in Unix seconds.
    pub created_at: Timestamp,
}

impl fmt::Debug for Account {
    /// Without the hash, which has no place in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id, permissions, disabled, created_at, .. } = self;
        write!(f, "Account {{ {user_id}, {:?}, disabled: {disabled}, {created_at} }}", permissions.names())
    }
}

/// What becomes different in an account; what is absent stays.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// The hash of a new password.
    pub password_hash: Option<String>,
    /// What its tokens grant from now on.
    pub permissions: Option<Permissions>,
    /// Whether nobody can log in as it.
    pub disabled: Option<bool>,
    /// What the account has to grant until now; else nothing is changed, and it is not found.
    pub expected: Option<Permissions>,
}

/// A login: all tokens that come from it by refreshing share its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// Its id, the `sid` of its access tokens.
    pub session_id: String,
    /// Who logged in.
    pub user_id: UserId,
    /// The SHA-256 of the one refresh token that is good.
    pub refresh: [u8; 32],
    /// When it was, in Unix seconds.
    pub created_at: Timestamp,
    /// When its refresh token expires, in Unix seconds.
    pub expires_at: Timestamp,
}

/// A refresh token that is to be replaced.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The login it belongs to.
    pub session_id: String,
    /// The SHA-256 of the token that was shown.
    pub shown: [u8; 32],
    /// The SHA-256 of the next one.
    pub next: [u8; 32],
    /// When the next one expires, in Unix seconds.
    pub expires_at: Timestamp,
    /// Now, in Unix seconds.
    pub now: Timestamp,
    /// How long access tokens of the login may still live, in Unix seconds: kept when the login has to end.
    pub until: Timestamp,
}

/// What became of a refresh.
#[derive(Debug, Clone, PartialEq)]
pub enum Refreshed {
    /// The next token is the good one.
    Done(Account),
    /// The token was not the login's latest: somebody else had it. The login has ended, and is revoked.
    Reused(UserId),
    /// There is no such login, or it is over.
    Unknown,
}

/// What no longer counts although it is not expired.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One token, by its `jti`.
    Token(String),
    /// All tokens of a login, by their `sid`.
    Session(String),
    /// All tokens of a user made up to the time of the revocation.
    User(UserId),
}

/// Something that was revoked.
#[derive(Debug, Clone, PartialEq)]
pub struct Revocation {
    /// What.
    pub what: Revoked,
    /// When, in Unix seconds.
    pub at: Timestamp,
    /// When all it concerns has expired anyway, in Unix seconds.
    pub until: Timestamp,
}

/// The part of a store that knows accounts. Methods that change something return after it is durable.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// Makes an account; false when there is one of this name. With `fresh` also when anything is kept of the user, such
    /// as a log or a revocation, so that nobody takes over a user whose tokens come from elsewhere.
    async fn create_account(&self, account: Account, fresh: bool) -> Result<bool, StoreError>;
    /// The account of a user.
    async fn account(&self, user_id: &UserId) -> Result<Option<Account>, StoreError>;
    /// The accounts by name, and how many there are.
    async fn accounts(&self, window: Window) -> Result<(Vec<Account>, u64), StoreError>;
    /// The users whose accounts are disabled.
    async fn disabled_users(&self) -> Result<Vec<UserId>, StoreError>;
    /// Changes an account, together with a revocation that the change asks for.
    async fn change_account(
        &self,
        user_id: &UserId,
        change: AccountChange,
        revocation: Option<Revocation>,
    ) -> Result<Account, StoreError>;
    /// Keeps a login, if the account still has the password that was checked, is not disabled, and was not revoked since
    /// the login was made; the account as it is by then. Past `most` logins of the user the oldest end.
    async fn open_login(
        &self,
        login: Login,
        password_hash: &str,
        most: u64,
    ) -> Result<Option<Account>, StoreError>;
    /// A login that is not over at `now`.
    async fn login(&self, session_id: &str, now: Timestamp) -> Result<Option<Login>, StoreError>;
    /// Replaces a refresh token by the next; of several at once with the same token one is done.
    async fn refresh_login(&self, refresh: Refresh) -> Result<Refreshed, StoreError>;
    /// Keeps a revocation, and ends the logins that it concerns.
    async fn revoke(&self, revocation: Revocation) -> Result<(), StoreError>;
    /// Lets no revocation be kept for longer than these seconds after its time.
    async fn bound_revocations(&self, longest: f64) -> Result<(), StoreError>;
    /// The revocations that are not past their `until` at `now`.
    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, StoreError>;
}
