//! What a hub with a bug does to some of its connections for the sake of others.

use std::{sync::Arc, time::Duration};

use super::{Hub, Outbox, Users};
use crate::{
    sabotage::Bug,
    store::{Committed, StoredEvent},
};

/// Between two looks at a connection that does not read.
const PAUSE: Duration = Duration::from_millis(5);

impl Hub {
    /// What one of the user's connections is told of a commit.
    pub(super) fn told(&self, users: &Users, outbox: &Arc<Outbox>, committed: &Committed) -> Committed {
        let mut told = committed.clone();
        let first = users.get(&committed.user_id).and_then(|here| here.outboxes.first());
        if first.is_some_and(|first| !Arc::ptr_eq(first, outbox)) {
            if self.bugs.on(Bug::SecondDeviceForgotten) {
                // As if it had been sent: a notice that is only lost is found again.
                outbox.feed().place(committed.seq);
                told.seq = 0;
            }
            if self.bugs.on(Bug::DevicesDiverge) {
                told.events = told.events.map(|events| events.iter().map(trimmed).collect());
            }
        }
        told
    }

    /// True when what is told has to wait for a connection that does not read.
    pub fn has_a_slow_one_to_wait_for(&self) -> bool {
        self.bugs.on(Bug::SlowReaderSlowsAll) && self.queues().behind > 0
    }

    /// Waits for the connections that do not read.
    pub async fn wait_for_the_slow(&self) {
        while self.has_a_slow_one_to_wait_for() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The event with its piece of an answer without the space behind it.
fn trimmed(event: &StoredEvent) -> StoredEvent {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&event.json) else { return event.clone() };
    let Some(piece) = json["delta"].as_str().map(|piece| piece.trim_end().to_owned()) else {
        return event.clone();
    };
    json["delta"] = piece.into();
    StoredEvent { json: json.to_string().into(), ..event.clone() }
}
