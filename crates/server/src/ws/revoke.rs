//! Taking rights away while they are in use: what is revoked is kept, holds from now on, and ends its connections.

use wireproof_protocol::ErrorCode;

use super::Context;
use crate::{
    sabotage::Bug,
    store::{Revocation, Revoked, StoreError},
};

/// What a connection is told whose token was revoked.
pub const REVOKED: (ErrorCode, &str) = (ErrorCode::Unauthenticated, "The token was revoked.");

/// Until when a revocation is kept of which nobody knows when all it concerns has expired, in Unix seconds.
pub const FOR_EVER: f64 = 1e12;

impl Context {
    /// Revokes from now on, durably; how many connections end. `until` is when all it concerns has expired anyway.
    /// After an error it holds until the next start.
    pub async fn revoke(&self, what: Revoked, until: f64) -> Result<usize, StoreError> {
        let now = || Revocation { what: what.clone(), at: crate::clock::unix_now(), until };
        let revocation = now();
        let ended = self.enforce(&revocation);
        self.store.revoke(revocation).await?;
        if matches!(what, Revoked::User(_)) {
            // A login may have been refreshed after that time and before the store ended it: by now none is left that
            // could be, and a second time covers what came of it.
            let again = now();
            self.hold(&again);
            self.store.revoke(again).await?;
        }
        Ok(ended)
    }

    /// Lets a revocation hold here; how many connections end.
    pub fn enforce(&self, revocation: &Revocation) -> usize {
        self.metrics.revocation(match revocation.what {
            Revoked::Token(_) => "token",
            Revoked::Session(_) => "session",
            Revoked::User(_) => "user",
        });
        self.hold(revocation)
    }

    fn hold(&self, revocation: &Revocation) -> usize {
        // In this order: a connection that is not in the hub yet will ask the revocations after it is.
        self.auth.revocations.note(revocation, crate::clock::unix_now());
        if self.bugs.on(Bug::RevocationIgnored) {
            return 0;
        }
        let (code, sentence) = REVOKED;
        self.hub.end_where(|principal| revocation.concerns(principal), code, sentence)
    }
}
