//! What a hub with a bug does to some of its connections for the sake of others.

use std::{collections::HashMap, sync::Arc, time::Duration};

use wireproof_protocol::UserId;

use super::{Hub, Outbox};
use crate::{broker::Notice, sabotage::Bug, store::StoredEvent};

/// Between two looks at a connection that does not read.
const PAUSE: Duration = Duration::from_millis(5);

impl Hub {
    /// What one of the user's connections is told of a commit.
    pub(super) fn told(
        &self,
        users: &HashMap<UserId, Vec<Arc<Outbox>>>,
        outbox: &Arc<Outbox>,
        notice: &Notice,
    ) -> Notice {
        let mut told = notice.clone();
        let first = users.get(&notice.user_id).and_then(|outboxes| outboxes.first());
        if first.is_some_and(|first| !Arc::ptr_eq(first, outbox)) {
            if self.bugs.on(Bug::SecondDeviceForgotten) {
                told.events = Arc::default();
            }
            if self.bugs.on(Bug::DevicesDiverge) {
                told.events = notice.events.iter().map(trimmed).collect();
            }
        }
        told
    }

    /// Waits for the connections that do not read.
    pub(super) async fn wait_for_the_slow(&self) {
        while self.bugs.on(Bug::SlowReaderSlowsAll) && self.queues().behind > 0 {
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
