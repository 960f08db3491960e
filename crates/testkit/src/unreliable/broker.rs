//! A broker that loses, doubles, delays and reorders notices, and takes the events out of some.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;
use wireproof_server::broker::{Broker, Notice, Subscriber};

/// The longest delay.
const LATE: Duration = Duration::from_millis(40);

/// A broker around another.
pub struct UnreliableBroker {
    broker: Arc<dyn Broker>,
    state: Mutex<State>,
}

struct State {
    random: SmallRng,
    /// A notice that comes behind the next one.
    overtaken: Option<Notice>,
    lost: u64,
}

impl UnreliableBroker {
    /// Of ten notices two are lost, one doubled, two late, one overtaken by the next, one without its events; the same
    /// with each seed.
    pub fn new(broker: Arc<dyn Broker>, seed: u64) -> Self {
        let state = State { random: SmallRng::seed_from_u64(seed), overtaken: None, lost: 0 };
        Self { broker, state: Mutex::new(state) }
    }

    /// Notices lost so far.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for UnreliableBroker {
    fn try_publish(&self, notice: Notice) {
        let (fate, wait, overtaken) = {
            let state = &mut *self.state();
            let fate = state.random.random_range(0..10);
            (fate, state.random.random_range(Duration::ZERO..LATE), state.overtaken.take())
        };
        match (fate, notice) {
            (0 | 1, _) => self.state().lost += 1,
            (2, notice) => {
                self.broker.try_publish(notice.clone());
                self.broker.try_publish(notice);
            }
            (3 | 4, notice) => {
                let broker = self.broker.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    broker.try_publish(notice);
                });
            }
            (5, notice) => self.state().overtaken = Some(notice),
            (6, Notice::Committed(told)) => {
                self.broker.try_publish(Notice::Committed(told.without_events()));
            }
            (_, notice) => self.broker.try_publish(notice),
        }
        overtaken.into_iter().for_each(|notice| self.broker.try_publish(notice));
    }

    async fn join(&self, user_id: &UserId) {
        self.broker.join(user_id).await;
    }

    fn leave(&self, user_id: &UserId) {
        self.broker.leave(user_id);
    }

    fn subscribe(&self, node: Weak<dyn Subscriber>) {
        self.broker.subscribe(node);
    }

    fn ended(&self) -> CancellationToken {
        self.broker.ended()
    }

    fn close(&self) {
        self.broker.close();
    }
}
