//! What this node does with the notices that it hears.

use std::sync::Arc;

use crate::{
    app::Context,
    broker::{Notice, Subscriber},
};

/// A node that hears notices.
pub struct Node(pub Arc<Context>);

impl Subscriber for Node {
    fn hear(&self, notice: &Notice) {
        let context = &self.0;
        match notice {
            #[cfg(feature = "sabotage")]
            Notice::Committed(committed) if context.hub.has_a_slow_one_to_wait_for() => {
                let (hub, committed) = (context.hub.clone(), committed.clone());
                tokio::spawn(async move {
                    hub.wait_for_the_slow().await;
                    hub.deliver(&committed);
                });
            }
            Notice::Committed(committed) => context.hub.deliver(committed),
            Notice::Cancel(user_id, run_id) => context.runs.cancel_here(user_id, *run_id),
            Notice::Revoked(revocation) => {
                context.hold(revocation);
            }
            Notice::Disabled(user_id) => {
                let (context, user_id) = (context.clone(), user_id.clone());
                // Until the store says otherwise: nobody is let in for a store that is away.
                context.shutdown.clone().spawn(async move { context.settle_account(&user_id, true).await });
            }
            Notice::Kick(user_id, at) => {
                context.disconnect(user_id, Some(*at));
            }
        }
    }

    fn missed(&self) {
        self.0.hub.read_on();
    }
}
