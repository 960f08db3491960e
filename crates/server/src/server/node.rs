//! What this node does with the notices that it hears.

use std::{sync::Arc, time::Duration};

use crate::{
    app::Context,
    broker::{Notice, Subscriber},
    failpoints::failpoint,
};

/// A node that hears notices.
pub struct Node(pub Arc<Context>);

/// Whether what is committed has to wait for a connection that does not read.
fn waits_for_the_slow(context: &Context) -> bool {
    failpoint!(context.failpoints, SlowReaderSlowsAll) && context.hub.queues().behind > 0
}

impl Subscriber for Node {
    fn hear(&self, notice: &Notice) {
        let context = &self.0;
        match notice {
            Notice::Committed(committed) if waits_for_the_slow(context) => {
                let (context, committed) = (context.clone(), committed.clone());
                tokio::spawn(async move {
                    while waits_for_the_slow(&context) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    context.hub.deliver(&committed);
                });
            }
            Notice::Committed(committed) => context.hub.deliver(committed),
            Notice::Cancel(user_id, run_id) => context.runs.cancel_here(user_id, *run_id),
            Notice::Revoked(revocation) => {
                context.hold(revocation);
            }
            Notice::Disabled(user_id) => {
                let (context, user_id) = (context.clone(), user_id.clone());
                context.shutdown.clone().spawn(async move { context.settle_account(&user_id, None).await });
            }
            Notice::Kick(user_id, at) => {
                context.disconnect(user_id, Some(*at));
            }
        }
    }

    fn missed(&self) {
        self.0.hub.read_on();
        self.0.revocations_due.notify_one();
    }
}
