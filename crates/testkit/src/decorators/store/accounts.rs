//! The accounts of a faulty store: all of them are passed on.

use async_trait::async_trait;
use wireproof_protocol::{Timestamp, UserId};
use wireproof_server::store::{
    Account, AccountChange, AccountStore, Login, Refresh, Refreshed, Revocation, StoreError, Window,
};

use super::FaultyStore;

#[async_trait]
impl AccountStore for FaultyStore {
    async fn create_account(&self, account: Account, fresh: bool) -> Result<bool, StoreError> {
        self.inner.create_account(account, fresh).await
    }

    async fn account(&self, user_id: &UserId) -> Result<Option<Account>, StoreError> {
        self.inner.account(user_id).await
    }

    async fn accounts(&self, window: Window) -> Result<(Vec<Account>, u64), StoreError> {
        self.inner.accounts(window).await
    }

    async fn disabled_users(&self) -> Result<Vec<UserId>, StoreError> {
        self.inner.disabled_users().await
    }

    async fn change_account(
        &self,
        user_id: &UserId,
        change: AccountChange,
        revocation: Option<Revocation>,
    ) -> Result<Account, StoreError> {
        self.inner.change_account(user_id, change, revocation).await
    }

    async fn open_login(
        &self,
        login: Login,
        password_hash: &str,
        most: u64,
    ) -> Result<Option<Account>, StoreError> {
        self.inner.open_login(login, password_hash, most).await
    }

    async fn login(&self, session_id: &str, now: Timestamp) -> Result<Option<Login>, StoreError> {
        self.inner.login(session_id, now).await
    }

    async fn refresh_login(&self, refresh: Refresh) -> Result<Refreshed, StoreError> {
        self.inner.refresh_login(refresh).await
    }

    async fn revoke(&self, revocation: Revocation) -> Result<(), StoreError> {
        self.inner.revoke(revocation).await
    }

    async fn bound_revocations(&self, longest: f64) -> Result<(), StoreError> {
        self.inner.bound_revocations(longest).await
    }

    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        self.inner.revocations(now).await
    }
}
