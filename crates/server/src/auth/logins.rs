//! The rules of logins: who gets tokens for a password, how they are renewed, and what ends them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;
use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::{
    ANONYMOUS, Auth, Permission, Permissions, Principal,
    accounts::{AccountError, Accounts},
    attempts::{Attempt, Attempts},
    passwords,
    refresh_token::RefreshToken,
};
use crate::{
    clock::unix_now,
    config::AccountsConfig,
    limits::ClientAddress,
    store::{Account, Login, Refresh, Refreshed, Revocation, Revoked, Store},
};

/// Logins that a user may have at once; one more ends the oldest.
const MOST_LOGINS: u64 = 100;
/// Seconds that a token may be taken for past its end: the most that `jwt.leeway_seconds` can be.
const LONGEST_LEEWAY: f64 = 300.0;
/// What names may be made of that people take by themselves, beside small letters and digits: no two look the same.
const NAME_SIGNS: &str = "._-@+";

/// What a login gives: a short-lived token for everything, and one to get the next pair with.
#[derive(Serialize, JsonSchema)]
pub struct Tokens {
    user_id: UserId,
    access_token: String,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
    /// Seconds that the access token is good.
    expires_in: f64,
    /// Good once, for the next pair.
    refresh_token: String,
    /// Seconds that the refresh token is good.
    refresh_expires_in: f64,
    #[schemars(with = "Vec<Permission>")]
    permissions: Vec<&'static str>,
}

/// Gives tokens for passwords.
pub struct Logins {
    /// The accounts behind them.
    pub accounts: Accounts,
    auth: Arc<Auth>,
    settings: AccountsConfig,
    attempts: Mutex<Attempts>,
}

impl Logins {
    /// For the accounts of a store, with tokens that `auth` signs.
    pub fn new(store: Arc<dyn Store>, auth: Arc<Auth>, settings: AccountsConfig) -> Self {
        let accounts = Accounts::new(store).with_longest_concern(auth.keys.longest_concern());
        Self { accounts, auth, settings, attempts: Mutex::default() }
    }

    /// Refuses who registers where that is closed.
    pub fn may_register(&self) -> Result<(), AccountError> {
        if self.settings.registration { Ok(()) } else { Err(AccountError::Closed) }
    }

    /// Makes an account for who asks, and logs in. A name is taken that has an account, under which anything is kept, or
    /// of which `is_in_use` says so. Each name that was tried in vain counts as a failure of its address.
    pub async fn register(
        &self,
        name: &str,
        password: String,
        from: ClientAddress,
        is_in_use: impl Fn(&UserId) -> bool,
    ) -> Result<Tokens, AccountError> {
        self.may_register()?;
        let user_id = own_name(name)?;
        passwords::check(&password).map_err(AccountError::Unusable)?;
        let attempt = self.admit(None, from)?;
        let is_in_use = |user_id: &UserId| user_id.as_str() == ANONYMOUS || is_in_use(user_id);
        match self.accounts.create_fresh(user_id, password, Permissions::of_a_user(), is_in_use).await {
            Ok(account) => {
                self.attempts().withdrawn(attempt);
                tracing::info!(user = %account.user_id, "an account was registered");
                self.open(account).await
            }
            Err(error) => Err(self.judge(attempt, error)),
        }
    }

    /// Logs in. The answer is the same for a name without an account, a wrong password and a disabled account.
    pub async fn login(
        &self,
        name: &str,
        password: String,
        from: ClientAddress,
    ) -> Result<Tokens, AccountError> {
        let attempt = self.admit(Some(name), from)?;
        let opened = match self.accounts.with_password(name, password).await {
            Ok(Some(account)) => self.open(account).await,
            Ok(None) => Err(AccountError::Wrong),
            Err(error) => Err(error),
        };
        match opened {
            Ok(tokens) => {
                self.attempts().succeeded(attempt, unix_now());
                Ok(tokens)
            }
            Err(error) => Err(self.judge(attempt, error)),
        }
    }

    /// The next pair of tokens for a refresh token, which is used up. One that was used up before ends the login.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, AccountError> {
        let shown = RefreshToken::parse(token).ok_or(AccountError::NoLogin)?;
        let (next, now) = (shown.next(), unix_now());
        let (session_id, until) = (shown.session_id(), self.until(now));
        // A token that anybody can make up costs a look, and no turn of the one who writes.
        if self.accounts.store().login(&session_id, now).await?.is_none() {
            return Err(AccountError::NoLogin);
        }
        let refresh = Refresh {
            session_id: session_id.clone(),
            shown: shown.hash(),
            next: next.hash(),
            expires_at: now + self.settings.refresh_seconds,
            now,
            until,
        };
        match self.accounts.store().refresh_login(refresh).await? {
            Refreshed::Done(account) => Ok(self.tokens(&account, &next, now)),
            Refreshed::Unknown => Err(AccountError::NoLogin),
            Refreshed::Reused(user) => {
                tracing::warn!(%user, session = %session_id, "a refresh token was used twice; its login has ended");
                Err(AccountError::Reused(Revocation { what: Revoked::Session(session_id), at: now, until }))
            }
        }
    }

    /// What to revoke, and until when, to end the login of a refresh token; nothing when there is none.
    pub async fn ended_by_refresh_token(&self, token: &str) -> Result<Option<(Revoked, f64)>, AccountError> {
        let Some(token) = RefreshToken::parse(token) else { return Ok(None) };
        let now = unix_now();
        let login = self.accounts.store().login(&token.session_id(), now).await?;
        Ok(login.map(|login| (Revoked::Session(login.session_id), self.until(now))))
    }

    /// What to revoke, and until when, to log a principal out: its login, or its token when it comes from elsewhere.
    pub fn ended_by(&self, principal: Principal) -> Option<(Revoked, f64)> {
        let until = principal.expires_at.max(self.until(unix_now()));
        let session = principal.session_id.map(Revoked::Session);
        session.or(principal.token_id.map(Revoked::Token)).map(|what| (what, until))
    }

    /// When the last access token that was made up to `now` is good no more.
    fn until(&self, now: f64) -> f64 {
        now + self.settings.access_seconds + LONGEST_LEEWAY
    }

    async fn open(&self, account: Account) -> Result<Tokens, AccountError> {
        let (token, now) = (RefreshToken::new(), unix_now());
        let login = Login {
            session_id: token.session_id(),
            user_id: account.user_id.clone(),
            refresh: token.hash(),
            created_at: now,
            expires_at: now + self.settings.refresh_seconds,
        };
        // The password was checked against what the account was a moment ago: the store looks again, also at what it
        // grants.
        match self.accounts.store().open_login(login, &account.password_hash, MOST_LOGINS).await? {
            Some(account) => Ok(self.tokens(&account, &token, now)),
            None => Err(AccountError::Wrong),
        }
    }

    /// `now` is from before the store was asked: what was revoked meanwhile is newer than these tokens.
    fn tokens(&self, account: &Account, refresh: &RefreshToken, now: f64) -> Tokens {
        let Account { user_id, permissions, .. } = account;
        let permissions = permissions.names();
        let life = self.settings.access_seconds;
        let mut claims = self.auth.keys.claims(user_id, Duration::from_secs_f64(life));
        // To the fraction: a token counts that was made after a revocation within the same second.
        (claims.iat, claims.exp) = (Some(now), now + life);
        claims.sid = Some(refresh.session_id());
        claims.permissions = Some(permissions.iter().map(|name| (*name).to_owned()).collect());
        Tokens {
            user_id: user_id.clone(),
            access_token: self.auth.keys.sign_claims(&claims),
            token_type: "Bearer",
            expires_in: life,
            refresh_token: refresh.text(),
            refresh_expires_in: self.settings.refresh_seconds,
            permissions,
        }
    }

    fn admit(&self, name: Option<&str>, from: ClientAddress) -> Result<Attempt, AccountError> {
        self.attempts().admit(name, from, unix_now()).map_err(AccountError::Wait)
    }

    /// Only what tells something about a password or a name counts as a failure.
    fn judge(&self, attempt: Attempt, error: AccountError) -> AccountError {
        if !matches!(error, AccountError::Wrong | AccountError::Taken) {
            self.attempts().withdrawn(attempt);
        }
        error
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that somebody takes by himself: nobody else's in other letters.
fn own_name(name: &str) -> Result<UserId, AccountError> {
    let plain = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || NAME_SIGNS.contains(sign);
    let user_id = UserId::new(name).ok().filter(|_| name.chars().all(plain));
    user_id.ok_or_else(|| {
        let sentence = format!(
            "A name has 1 to 128 characters: small letters a to z, digits, and {}.",
            NAME_SIGNS.chars().map(String::from).collect::<Vec<_>>().join(" ")
        );
        let body = ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", "user_id");
        AccountError::Unusable(Box::new(body))
    })
}
