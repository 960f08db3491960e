//! What a connection with a bug does at its end, and while it checks a token.

use std::time::Duration;

use super::Connection;
use crate::{app::Context, sabotage::Bug};

/// How long a token is being looked at, while messages come.
const LOOK: Duration = Duration::from_millis(5);

impl Connection {
    /// The connection is over, and not yet forgotten.
    pub(super) async fn over(&mut self) {
        if self.context.bugs.on(Bug::DisconnectCancelsRun) {
            self.context.runs.cancel_all(&self.user_id);
        }
        self.registration.linger().await;
    }
}

/// Takes its time for a token.
pub(super) async fn look(context: &Context) {
    if context.bugs.on(Bug::RenewalDropsMessage) {
        tokio::time::sleep(LOOK).await;
    }
}
