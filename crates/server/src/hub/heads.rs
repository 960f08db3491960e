//! Comparing what was noted with the store, for notices that were lost and had nothing behind them to show it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;

use super::Hub;
use crate::{
    delivery::feed::PATIENCE,
    store::{Store, StoreError, in_time},
};

/// Users whose heads are asked for at once.
const AT_ONCE: usize = 512;
/// How long the store may take for its answer.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// The heads of users, without those that cannot be read: they are asked for at the next heartbeat again. True when the
/// store is away, or does not answer within `patience`: whoever else was asked for would wait as long.
async fn heads<'a>(
    store: &dyn Store,
    users: &'a [UserId],
    patience: Duration,
) -> (Vec<(&'a UserId, u64)>, bool) {
    if let Ok(heads) = in_time(patience, store.heads(users)).await {
        return (users.iter().zip(heads).collect(), false);
    }
    let mut heads = Vec::new();
    for user_id in users {
        match in_time(patience, store.head(user_id)).await {
            Ok(head) => heads.push((user_id, head.seq)),
            Err(error) => {
                tracing::warn!(%user_id, %error, "the head of a log could not be read");
                if matches!(error, StoreError::Unavailable(_)) {
                    return (heads, true);
                }
            }
        }
    }
    (heads, false)
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
                let read = heads(&*store, users, STORE_PATIENCE);
                let Some((heads, is_away)) = stop.run_until_cancelled(read).await else { return };
                // What was committed a moment ago may be on its way.
                tokio::time::sleep(PATIENCE).await;
                heads.iter().for_each(|(user_id, head)| self.reached(user_id, *head));
                if is_away {
                    break;
                }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use async_trait::async_trait;

    use super::*;
    use crate::store::{
        embedded::Embedded,
        layer::{Layer, Layered},
    };

    /// Answers nothing, and counts what it was asked.
    #[derive(Clone, Default)]
    struct NeverAnswers(Arc<AtomicUsize>);

    #[async_trait]
    impl Layer for NeverAnswers {
        async fn before(&self, _: &'static str) -> Result<(), StoreError> {
            self.0.fetch_add(1, SeqCst);
            std::future::pending().await
        }
    }

    /// Bug: a store that did not answer was waited for once for each user, 512 times one after the other.
    #[tokio::test]
    async fn a_store_that_does_not_answer_is_asked_for_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let layer = NeverAnswers::default();
        let store = Layered::new(Arc::new(Embedded::open(folder.path()).unwrap()), layer.clone());
        let users: Vec<_> = (0..50).map(|number| UserId::new(format!("user-{number}")).unwrap()).collect();
        let (heads, is_away) = heads(&store, &users, Duration::from_millis(20)).await;
        assert!(heads.is_empty() && is_away);
        assert_eq!(layer.0.load(SeqCst), 2, "once for all, and once for one");
    }
}
