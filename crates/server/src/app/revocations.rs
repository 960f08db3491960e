//! Reads the stored revocations and disabled accounts again, for notices of them that were lost or could not be carried out.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::Context;
use crate::{
    clock::unix_now,
    store::{FIRST_PAUSE, LAST_PAUSE, StoreError, in_time},
};

/// How long the store may take for one reading.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl Context {
    /// Reads what is revoked and who is disabled, and ends the connections of what was not known here.
    async fn read_revocations(&self) -> Result<(), StoreError> {
        let revocations = &self.auth.revocations;
        // Before the reading: what a later turn reads is newer.
        let turn = revocations.turn();
        let (kept, disabled) =
            (self.store.revocations(unix_now()).await?, self.store.disabled_users().await?);
        let has_disabled = revocations.settle_all(turn, &disabled);
        if revocations.note_all(&kept, unix_now()) || has_disabled {
            let ended = self.end_revoked();
            tracing::info!(connections = ended, "the store had revocations that no notice told of");
        }
        Ok(())
    }
}

/// Reads them at each heartbeat, and sooner when that is due, until the server stops. A store that cannot be read is tried
/// again after growing pauses: what held before holds until then.
pub async fn follow(context: Arc<Context>, heartbeat: Duration) {
    // At once for the first time: the server had read them before it heard notices.
    let (mut wait, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    loop {
        tokio::select! {
            () = context.shutdown.stopped.cancelled() => return,
            () = context.revocations_due.notified() => {}
            () = sleep(wait) => {}
        }
        (wait, pause) = match in_time(PATIENCE, context.read_revocations()).await {
            Ok(()) => (heartbeat, FIRST_PAUSE),
            Err(error) => {
                tracing::warn!(%error, "the revocations could not be read: trying again");
                (pause.min(heartbeat), (2 * pause).min(LAST_PAUSE))
            }
        };
    }
}
