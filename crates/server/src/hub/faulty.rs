//! What a hub with a bug keeps of connections that are over, and should not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use wireproof_protocol::UserId;

use super::{Hub, Outbox, Registration};
use crate::{sabotage::Bug, store::Committed};

/// Users that left, as far as they are remembered.
const LEFT: usize = 64;
/// Between a look at something and what is done after it, without a lock.
const PAUSE: Duration = Duration::from_millis(2);

/// What is kept.
#[derive(Default)]
pub struct Faults(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Users whose connections ended, the latest last.
    left: Vec<UserId>,
    /// Numbers that a user's replays leave out: after the first, up to the second.
    lost: HashMap<UserId, (u64, u64)>,
}

impl Faults {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Whose connection ended last, if it was another user's.
    pub fn was_here_before(&self, user_id: &UserId) -> Option<UserId> {
        let kept = self.faults.kept();
        kept.left
            .iter()
            .rev()
            .find(|left| *left != user_id)
            .filter(|_| self.bugs.on(Bug::LeakOnReconnect))
            .cloned()
    }

    /// The connections of a user, looked at a while before one is added to them.
    pub async fn look(&self, user_id: &UserId) -> Option<Vec<Arc<Outbox>>> {
        if !self.bugs.on(Bug::RegistrationLost) {
            return None;
        }
        let found = self.users().get(user_id).map(|here| here.outboxes.clone()).unwrap_or_default();
        tokio::time::sleep(PAUSE).await;
        Some(found)
    }

    /// Puts a connection behind those that were found, in the place of whatever there is now.
    pub fn put(&self, registration: &Registration, found: Option<Vec<Arc<Outbox>>>) {
        let Some(mut found) = found else { return };
        found.push(registration.outbox.clone());
        if let Some(here) = self.users().get_mut(&registration.user_id) {
            let lost = here.outboxes.iter().filter(|here| !found.iter().any(|kept| Arc::ptr_eq(kept, here)));
            lost.for_each(|outbox| outbox.feed().deaf = true);
            here.outboxes = found;
        }
    }
}

impl Hub {
    /// Hands a commit to connections of users whose it is not.
    pub(super) fn deliver_to_others(&self, committed: &Committed) {
        let users = self.users();
        let others = users.iter().filter(|(user_id, _)| **user_id != committed.user_id);
        let others: Vec<_> = others.flat_map(|(_, here)| &here.outboxes).collect();
        if self.bugs.on(Bug::OneSharedLog) {
            // Nobody's connections are left out of a log that is everybody's.
            others.iter().filter(|outbox| outbox.feed().notice(committed)).for_each(|o| o.waker().wake());
        }
        for event in committed.events.iter().flat_map(|events| events.iter()) {
            let leaks = match () {
                () if self.bugs.on(Bug::LeakToAnotherUser) => others.len(),
                () if self.bugs.on(Bug::LeakRarely) => 1,
                () => 0,
            };
            for outbox in others.iter().take(leaks) {
                // Behind the back of the feed's numbers, which would pass it over.
                outbox.feed().control(event.json.clone());
                outbox.waker().wake();
            }
        }
    }
}

impl Registration {
    /// True for an event that counts as delivered to a connection that ended.
    pub fn counts_as_delivered(&self, seq: u64) -> bool {
        let kept = self.hub.faults.kept();
        kept.lost.get(&self.user_id).is_some_and(|(from, to)| seq > *from && seq <= *to)
    }

    /// What the connection keeps back from those that come after it.
    pub fn leave(&self) {
        let queued = self.outbox.feed().reach().1;
        let mut kept = self.hub.faults.kept();
        if kept.left.len() == LEFT {
            kept.left.remove(0);
        }
        kept.left.push(self.user_id.clone());
        if self.hub.bugs.on(Bug::TailDroppedOnClose) {
            kept.lost.insert(self.user_id.clone(), (0, queued));
        }
    }

    /// A connection that closes goes on taking events for a while, which nobody will send.
    pub async fn linger(&self) {
        if self.hub.bugs.on(Bug::CloseLosesAppend) {
            let sent = self.outbox.feed().reach().0;
            tokio::time::sleep(PAUSE * 5).await;
            let queued = self.outbox.feed().reach().1;
            self.hub.faults.kept().lost.insert(self.user_id.clone(), (sent, queued));
        }
    }
}
