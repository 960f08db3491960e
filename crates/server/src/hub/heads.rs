//! Comparing what was noted with the store, for notices that were lost and had nothing behind them to show it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;

use super::Hub;
use crate::{
    delivery::feed::PATIENCE,
    store::{Store, in_time},
};

/// Users whose heads are asked for at once.
const AT_ONCE: usize = 512;
/// How long the store may take for its answer.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// The heads of users, without those that cannot be read: they are asked for at the next heartbeat again.
async fn heads<'a>(store: &dyn Store, users: &'a [UserId]) -> Vec<(&'a UserId, u64)> {
    if let Ok(heads) = in_time(STORE_PATIENCE, store.heads(users)).await {
        return users.iter().zip(heads).collect();
    }
    let mut heads = Vec::new();
    for user_id in users {
        match in_time(STORE_PATIENCE, store.head(user_id)).await {
            Ok(head) => heads.push((user_id, head.seq)),
            Err(error) => tracing::warn!(%user_id, %error, "the head of a log could not be read"),
        }
    }
    heads
}

impl Hub {
    /// Compares the heads of all users here with what their connections noted, at each heartbeat until `stop`.
    pub async fn compare_heads(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        every: Duration,
        stop: CancellationToken,
    ) {
        let mut heartbeat = tokio::time::interval(every);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        heartbeat.tick().await;
        while stop.run_until_cancelled(heartbeat.tick()).await.is_some() {
            let here: Vec<UserId> = self.users().keys().cloned().collect();
            for users in here.chunks(AT_ONCE) {
                let Some(heads) = stop.run_until_cancelled(heads(&*store, users)).await else { return };
                // What was committed a moment ago may be on its way.
                tokio::time::sleep(PATIENCE).await;
                heads.iter().for_each(|(user_id, head)| self.reached(user_id, *head));
            }
        }
    }

    /// The user's log goes at least to a number.
    fn reached(&self, user_id: &UserId, head: u64) {
        for handle in self.users().get(user_id).into_iter().flat_map(|here| &here.outboxes) {
            if handle.feed().reached(head) {
                handle.waker().wake();
            }
        }
    }
}
