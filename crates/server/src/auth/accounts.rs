//! The accounts, as their administrator sees them: making, changing and listing. Also on the command line.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::{
    Permission, Permissions,
    passwords::{self, COME_AGAIN, PasswordError, Passwords},
    reserved::{RESERVED, is_reserved},
    rules::Rules,
};
use crate::{
    clock::unix_now,
    config::JwtConfig,
    error::Refusal,
    limits::rates::RateExceeded,
    store::{Account, AccountChange, Revocation, Revoked, Store, StoreError, Window},
};

/// How often a change is tried anew that met another change of the same account.
const TRIES: usize = 16;

/// Why something with an account was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody may register by himself.
    #[error("registration is closed")]
    Closed,
    /// A name or password that cannot be one.
    #[error("{}", .0.message)]
    Unusable(Box<ErrorBody>),
    /// The name has an account, or is a user's already.
    #[error("the name is taken")]
    Taken,
    /// Too many accounts were registered from the address.
    #[error("too many registrations")]
    TooMany(RateExceeded),
    /// There is no such account.
    #[error("there is no such account")]
    Unknown,
    /// The account may do more than who wants to change it.
    #[error("the account has a permission that its changer lacks")]
    Beyond,
    /// Name and password do not belong together, or the account is disabled.
    #[error("the name or the password is wrong")]
    Wrong,
    /// There is no such login, or it is over.
    #[error("the refresh token is not valid")]
    NoLogin,
    /// The refresh token was used before: its login has ended, and what came from it must end too.
    #[error("the refresh token was used before")]
    Reused(Revocation),
    /// It was tried too often; seconds until the next try.
    #[error("too many attempts")]
    Wait(f64),
    /// Too many passwords wait to be checked, or cannot be.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        use ErrorCode::{Forbidden, Internal, NameTaken, NotFound, RateLimited, Unauthenticated};
        match error {
            AccountError::Closed => {
                let sentence = "Registration is closed on this server: its operator makes the accounts.";
                Self::new(Forbidden, sentence)
            }
            AccountError::Unusable(body) => (*body).into(),
            AccountError::TooMany(exceeded) => exceeded.into(),
            AccountError::Taken => Self::new(NameTaken, "This name is taken."),
            AccountError::Unknown => Self::new(NotFound, "There is no such account."),
            AccountError::Beyond => {
                Self::new(Forbidden, "This account has or gets a permission that you do not have.")
            }
            AccountError::Wrong => Self::new(Unauthenticated, "The name or the password is wrong."),
            AccountError::NoLogin | AccountError::Reused(_) => {
                Self::new(Unauthenticated, "The refresh token is not valid: log in again.")
            }
            AccountError::Wait(seconds) => {
                Self::new(RateLimited, "Too many attempts; wait before the next one.").after(seconds)
            }
            AccountError::Password(PasswordError::Busy) => {
                Self::new(RateLimited, "Too many logins at once; try again.").after(COME_AGAIN.as_secs_f64())
            }
            AccountError::Password(PasswordError::Failed) => {
                tracing::error!("a password could not be hashed or checked");
                Self::new(Internal, "Something went wrong inside; try again.")
            }
            AccountError::Store(error) => error.into(),
        }
    }
}

/// What of an account is for others than the store.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Account")]
pub struct AccountView {
    /// Its name.
    pub user_id: UserId,
    /// What its tokens grant.
    #[schemars(with = "Vec<Permission>")]
    pub permissions: Vec<&'static str>,
    /// True when nobody can log in as it.
    pub disabled: bool,
    /// When it was made, in Unix seconds.
    pub created_at: f64,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let Account { user_id, permissions, disabled, created_at, .. } = account;
        Self { user_id, permissions: permissions.names(), disabled, created_at }
    }
}

/// A change of an account; what is absent stays.
#[derive(Clone, Default)]
pub struct Alteration {
    /// A new password.
    pub password: Option<String>,
    /// What its tokens grant from now on.
    pub permissions: Option<Permissions>,
    /// Whether nobody can log in as it.
    pub disabled: Option<bool>,
}

/// The accounts of a store.
pub struct Accounts {
    store: Arc<dyn Store>,
    passwords: Passwords,
    /// The seconds after which a revocation concerns no token any more that was good when it was made.
    longest_concern: f64,
}

impl Accounts {
    /// Those of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let longest_concern = Rules::longest_concern(&JwtConfig::default());
        Self { store, passwords: Passwords::default(), longest_concern }
    }

    /// The same where tokens may live so long that a revocation concerns them for these seconds.
    pub fn with_longest_concern(self, longest_concern: f64) -> Self {
        Self { longest_concern, ..self }
    }

    /// Where they are kept.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Makes an account. With `fresh` only for a user of whom nothing is kept yet.
    pub async fn create(
        &self,
        user_id: UserId,
        password: String,
        permissions: Permissions,
        fresh: bool,
    ) -> Result<Account, AccountError> {
        let account = self.account(user_id, password, permissions).await?;
        self.add(account, fresh).await
    }

    /// Makes an account for a user of whom nothing is kept yet, and who is nobody's name by now.
    pub(super) async fn create_fresh(
        &self,
        user_id: UserId,
        password: String,
        permissions: Permissions,
        is_in_use: impl Fn(&UserId) -> bool,
    ) -> Result<Account, AccountError> {
        let account = self.account(user_id, password, permissions).await?;
        // Asked last: a hash may wait for seconds.
        if is_in_use(&account.user_id) { Err(AccountError::Taken) } else { self.add(account, true).await }
    }

    async fn account(
        &self,
        user_id: UserId,
        password: String,
        permissions: Permissions,
    ) -> Result<Account, AccountError> {
        if is_reserved(user_id.as_str()) {
            let sentence = format!("Names that begin with \"{RESERVED}\" are the server's own.");
            let body = ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", "user_id");
            return Err(AccountError::Unusable(Box::new(body)));
        }
        passwords::check(&password).map_err(AccountError::Unusable)?;
        let password_hash = self.passwords.hash(password).await?;
        Ok(Account { user_id, password_hash, permissions, disabled: false, created_at: unix_now() })
    }

    async fn add(&self, account: Account, fresh: bool) -> Result<Account, AccountError> {
        let added = self.store.create_account(account.clone(), fresh).await?;
        if added { Ok(account) } else { Err(AccountError::Taken) }
    }

    /// The account of this name, if the password is its own; also when it is disabled. Takes as long for a name without
    /// an account.
    pub(super) async fn with_password(
        &self,
        name: &str,
        password: String,
    ) -> Result<Option<Account>, AccountError> {
        let account = match UserId::new(name) {
            Ok(user_id) if !is_reserved(name) => self.store.account(&user_id).await?,
            _ => None,
        };
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        let good = self.passwords.verify(password, hash).await?;
        Ok(account.filter(|_| good))
    }

    /// Changes an account that may do no more than `own`, for who may do that. Who gets a new password, loses a permission
    /// or is disabled has no good token left: the revocation is stored with the change, and returned for those that are
    /// open.
    pub async fn alter(
        &self,
        user_id: &UserId,
        alteration: Alteration,
        own: Permissions,
    ) -> Result<(AccountView, Option<Revocation>), AccountError> {
        let Alteration { password, permissions, disabled } = alteration;
        self.within(user_id, own).await?;
        let password_hash = match password {
            None => None,
            Some(password) => {
                passwords::check(&password).map_err(AccountError::Unusable)?;
                Some(self.passwords.hash(password).await?)
            }
        };
        for _ in 0..TRIES {
            // Once more: a hash may wait for seconds, and the account may have become more meanwhile.
            let before = self.within(user_id, own).await?.permissions;
            let loses = permissions.is_some_and(|after| !after.cover(before));
            let now = unix_now();
            let revocation =
                (loses || password_hash.is_some() || disabled == Some(true)).then(|| Revocation {
                    what: Revoked::User(user_id.clone()),
                    at: now,
                    until: now + self.longest_concern,
                });
            let password_hash = password_hash.clone();
            let change = AccountChange { password_hash, permissions, disabled, expected: Some(before) };
            match self.store.change_account(user_id, change, revocation.clone()).await {
                Ok(account) => {
                    tracing::info!(user = %user_id, "an account was changed");
                    return Ok((account.into(), revocation));
                }
                // Somebody else changed what it grants in between: what it loses is to be looked at anew.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PasswordError::Busy.into())
    }

    /// The account, if it may do no more than this.
    async fn within(&self, user_id: &UserId, own: Permissions) -> Result<Account, AccountError> {
        let account = self.store.account(user_id).await?.ok_or(AccountError::Unknown)?;
        if own.cover(account.permissions) { Ok(account) } else { Err(AccountError::Beyond) }
    }

    /// One account.
    pub async fn get(&self, user_id: &UserId) -> Result<AccountView, AccountError> {
        self.store.account(user_id).await?.map(AccountView::from).ok_or(AccountError::Unknown)
    }

    /// The accounts by name, and how many there are.
    pub async fn list(&self, window: Window) -> Result<(Vec<AccountView>, u64), AccountError> {
        let (accounts, total) = self.store.accounts(window).await?;
        Ok((accounts.into_iter().map(AccountView::from).collect(), total))
    }
}
