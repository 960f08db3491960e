//! A store around another: a layer is asked before and after each call, and may refuse it or lose its answer.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{ControlBody, Event, Message, Position, RunId, Thread, ThreadId, Timestamp, UserId};

use super::*;

/// What stands around a store. `call` is the name of the method of [`Store`] or [`AccountStore`].
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
}

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

/// A trait whose methods pass through the layer, but for those that are written out.
macro_rules! through {
    ($trait:ident { $($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* } $($rest:tt)*) => {
        #[async_trait]
        impl<L: Layer> $trait for Layered<L> {
            $(
                async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                    self.layer.before(stringify!($name)).await?;
                    let answer = self.store.$name($($arg),*).await?;
                    self.layer.after(stringify!($name)).await?;
                    Ok(answer)
                }
            )*
            $($rest)*
        }
    };
}

through! {
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
}

through! {
    Store {
        head(user_id: &UserId) -> Position;
        heads(users: &[UserId]) -> Vec<u64>;
        open(user_id: &UserId, position: Option<Position>, max_bytes: usize) -> OpenedLog;
        read(user_id: &UserId, after: u64, max_bytes: usize) -> Page;
        start_run(run: StartRun) -> Written<Answer<Started>>;
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
        take_over_runs(node_id: NodeId, now: Timestamp, until: Timestamp) -> Vec<(RunRecord, Lease)>;
        renew_leases(node_id: NodeId, until: Timestamp) -> ();
        records(user_id: &UserId, threads: u64, messages: u64, bytes: usize) -> UserRecords;
        retain(retention: Retention, now: Timestamp) -> u64;
        settle() -> ();
    }

    fn ended(&self) -> CancellationToken {
        self.layer.ended().unwrap_or_else(|| self.store.ended())
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
