//! A store around another: a layer is asked before and after each call, and may refuse it or lose its answer; or it carries
//! a call out in its own way.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{ControlBody, Event, Message, Position, RunId, Thread, ThreadId, Timestamp, UserId};

use super::*;

/// A store with a layer around it.
pub struct Layered<L> {
    store: Arc<dyn Store>,
    layer: L,
}

impl<L: Layer> Layered<L> {
    /// Puts a layer around a store.
    pub fn new(store: Arc<dyn Store>, layer: L) -> Self {
        Self { store, layer }
    }
}

/// The methods of the two traits of a store, as those of a layer and as those of a store with a layer around it.
macro_rules! layered {
    (
        AccountStore { $($account:ident($($a:ident: $account_type:ty),*) -> $account_answer:ty;)* }
        Store { $($name:ident($($b:ident: $type:ty),*) -> $answer:ty;)* }
    ) => {
        /// What stands around a store. `call` is the name of a method of [`Store`] or [`AccountStore`]; a layer that has that
        /// method itself is asked in the place of the store, and not before and after.
        #[async_trait]
        pub trait Layer: Send + Sync + 'static {
            /// An error here is the answer, and the store has not been asked.
            async fn before(&self, _call: &'static str) -> Result<(), StoreError> {
                Ok(())
            }
            /// The store has done what it was asked; an error here takes the place of its answer.
            async fn after(&self, _call: &'static str) -> Result<(), StoreError> {
                Ok(())
            }
            /// What is cancelled when the store can write no more, in the place of the store's own.
            fn ended(&self) -> Option<CancellationToken> {
                None
            }
            $(
                #[doc = concat!("[`AccountStore::", stringify!($account), "`] of `store`.")]
                async fn $account(&self, store: &Arc<dyn Store>, $($a: $account_type),*) -> Result<$account_answer, StoreError> {
                    self.before(stringify!($account)).await?;
                    let answer = store.$account($($a),*).await?;
                    self.after(stringify!($account)).await?;
                    Ok(answer)
                }
            )*
            $(
                #[doc = concat!("[`Store::", stringify!($name), "`] of `store`.")]
                async fn $name(&self, store: &Arc<dyn Store>, $($b: $type),*) -> Result<$answer, StoreError> {
                    self.before(stringify!($name)).await?;
                    let answer = store.$name($($b),*).await?;
                    self.after(stringify!($name)).await?;
                    Ok(answer)
                }
            )*
        }

        #[async_trait]
        impl<L: Layer> AccountStore for Layered<L> {
            $(
                async fn $account(&self, $($a: $account_type),*) -> Result<$account_answer, StoreError> {
                    self.layer.$account(&self.store, $($a),*).await
                }
            )*
        }

        #[async_trait]
        impl<L: Layer> Store for Layered<L> {
            $(
                async fn $name(&self, $($b: $type),*) -> Result<$answer, StoreError> {
                    self.layer.$name(&self.store, $($b),*).await
                }
            )*

            fn ended(&self) -> CancellationToken {
                self.layer.ended().unwrap_or_else(|| self.store.ended())
            }

            async fn close(&self) {
                self.store.close().await;
            }
        }
    };
}

layered! {
    AccountStore {
        create_account(account: Account, fresh: bool) -> bool;
        account(user_id: &UserId) -> Option<Account>;
        accounts(window: Window) -> (Vec<Account>, u64);
        disabled_users() -> Vec<UserId>;
        change_account(user_id: &UserId, change: AccountChange, revocation: Option<Revocation>) -> Account;
        open_login(login: Login, password_hash: &str, most: u64) -> Option<Account>;
        login(session_id: &str, now: Timestamp) -> Option<Login>;
        refresh_login(refresh: Refresh) -> Refreshed;
        revoke(revocation: Revocation) -> ();
        bound_revocations(longest: f64) -> ();
        revocations(now: Timestamp) -> Vec<Revocation>;
    }
    Store {
        head(user_id: &UserId) -> Position;
        heads(users: &[UserId]) -> Vec<u64>;
        open(user_id: &UserId, position: Option<Position>, max_bytes: usize) -> OpenedLog;
        read(user_id: &UserId, after: u64, max_bytes: usize) -> Page;
        start_run(run: Arc<StartRun>, term: LeaseTerm) -> Written<Answer<Started>>;
        append_events(user_id: &UserId, lease: Option<Lease>, events: Arc<Vec<Event>>) -> Written<u64>;
        finish_run(finish: Arc<FinishRun>) -> Written<u64>;
        change_thread(
            user_id: &UserId, request: Option<RequestKey>, change: ThreadChange, now: Timestamp
        ) -> Written<Answer<Thread>>;
        answered(user_id: &UserId, request: &RequestKey) -> Option<ControlBody>;
        remember(user_id: &UserId, request: RequestKey, answer: ControlBody, now: Timestamp) -> ();
        quotas(user_id: &UserId) -> Vec<QuotaUse>;
        threads(user_id: &UserId, window: Window) -> (Vec<Thread>, u64);
        thread(user_id: &UserId, thread_id: &ThreadId) -> Thread;
        messages(
            user_id: &UserId, thread_id: &ThreadId, limit: u64, offset: Option<u64>
        ) -> (Vec<Message>, u64, u64);
        search(user_id: &UserId, text: &str, limit: usize) -> Vec<FoundMessage>;
        run(user_id: &UserId, run_id: RunId) -> RunRecord;
        active_runs(user_id: Option<&UserId>) -> Vec<RunRecord>;
        take_over_runs(
            term: LeaseTerm, driven: &[RunId], now: Timestamp, most: usize
        ) -> Vec<(RunRecord, Lease)>;
        renew_leases(term: LeaseTerm, runs: &[RunId]) -> ();
        records(user_id: &UserId, threads: u64, messages: u64, bytes: usize) -> UserRecords;
        retain(retention: Retention, now: Timestamp) -> u64;
        settle() -> ();
    }
}
