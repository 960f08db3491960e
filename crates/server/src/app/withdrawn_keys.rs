//! Ends connections whose key is no longer trusted, after a reload or a change at the issuer.

use std::sync::Arc;

use wireproof_protocol::ErrorCode;

use super::Context;

/// The error for a connection whose token's key is gone.
const WITHDRAWN: (ErrorCode, &str) =
    (ErrorCode::Unauthenticated, "The key of the token is no longer trusted; get a new token.");

/// Ends connections whose key is gone, at each change of keys, until the server stops.
pub async fn follow(context: Arc<Context>) {
    let mut changes = context.auth.keys.changes();
    loop {
        tokio::select! {
            () = context.shutdown.stopped.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        // The keys changed before this: a connection that is not in the hub yet checks them once it is.
        let (code, sentence) = WITHDRAWN;
        let ended = context.hub.end_where(|principal| !context.auth.is_trusted(principal), code, sentence);
        if ended > 0 {
            tracing::info!(connections = ended, "ended the connections of keys that are no longer trusted");
        }
    }
}
