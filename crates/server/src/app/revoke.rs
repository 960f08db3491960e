//! Taking rights away while they are in use: what is revoked is kept, holds from now on, and ends its connections.

use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::Context;
use crate::{
    error::Refusal,
    sabotage::Bug,
    store::{Revocation, Revoked, StoreError},
};

/// What a connection is told whose token was revoked.
pub const REVOKED: (ErrorCode, &str) = (ErrorCode::Unauthenticated, "The token was revoked.");

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

    /// Refuses one more revocation of a token or a login when as many are held as may be; a user can always be revoked.
    pub fn may_revoke(&self, what: &Revoked) -> Result<(), Refusal> {
        let most = self.limits.revocations;
        let is_one_of_many = !matches!(what, Revoked::User(_));
        if most == 0 || !is_one_of_many || self.auth.revocations.len(crate::clock::unix_now()) < most {
            return Ok(());
        }
        self.metrics.limit_hit("revocations");
        let sentence = "As many tokens and logins are revoked as limits.revocations allows: revoke the user.";
        let body = ErrorBody::new(ErrorCode::RateLimited, sentence);
        Err(body.detail("limit", "revocations").detail("most", most).into())
    }

    /// Lets what the store says of an account hold here: of changes that come at once, the one that was stored last.
    /// `disabled` is what this change stored, for when the store cannot be read.
    pub async fn settle_account(&self, user_id: &UserId, disabled: bool) {
        let revocations = &self.auth.revocations;
        // Whoever takes a later turn reads the store later, so what it finds is newer.
        let turn = revocations.turn();
        let account = self.store.account(user_id).await.ok().flatten();
        revocations.settle(user_id, turn, account.map_or(disabled, |account| account.disabled));
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
