//! Revokes tokens, logins and users: a revocation is stored, holds at once, and ends the connections concerned.

use std::time::Duration;

use wireproof_protocol::{ErrorBody, ErrorCode, Timestamp, UserId};

use super::{Context, revocations::PATIENCE};
use crate::{
    broker::Notice,
    error::Refusal,
    failpoints::failpoint,
    hub::{ConnectionCommand, ConnectionHandle},
    store::{Revocation, Revoked, STORE_PATIENCE, StoreError, in_time, while_away},
};

/// The error for a connection whose token was revoked.
pub const REVOKED: (ErrorCode, &str) = (ErrorCode::Unauthenticated, "The token was revoked.");

/// What a connection is told that an administrator ends.
pub const ENDED: (ErrorCode, &str) = (ErrorCode::Forbidden, "An administrator ended this connection.");

impl Context {
    /// Revokes from now on, durably. Returns how many connections end. `until` is when all it concerns has expired anyway.
    /// After an error the revocation holds until the next start.
    pub async fn revoke(&self, what: Revoked, until: f64) -> Result<usize, StoreError> {
        let now = || Revocation { what: what.clone(), at: crate::clock::unix_now(), until };
        let revocation = now();
        let ended = self.enforce(&revocation);
        self.keep(revocation).await?;
        if matches!(what, Revoked::User(_)) {
            // A login may have been refreshed after that time and before the store ended it. By now no login is left,
            // and a second revocation covers the tokens of that refresh.
            let again = now();
            self.hold(&again);
            self.keep(again).await?;
        }
        Ok(ended)
    }

    /// Stores a revocation and tells the other nodes; waits for a store that is away, as runs do.
    async fn keep(&self, revocation: Revocation) -> Result<(), StoreError> {
        let longest = Duration::from_secs_f64(self.limits.store_wait_seconds);
        let kept = while_away(longest, &self.shutdown.draining, || self.store.revoke(revocation.clone()));
        in_time(longest + STORE_PATIENCE, kept).await?;
        self.publisher.tell(Notice::Revoked(revocation));
        Ok(())
    }

    /// Refuses one more revocation of a token or a login when the bound is reached; a user can always be revoked.
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

    /// Applies the stored state of an account here: of concurrent changes, the one that was stored last. The connections of
    /// a user who is disabled by it end. While the store cannot be read `known` holds, the state that this change stored, or
    /// else what held before; it is read again soon.
    pub async fn settle_account(&self, user_id: &UserId, known: Option<bool>) {
        let revocations = &self.auth.revocations;
        // A later turn reads the store later, so its state is newer.
        let turn = revocations.turn();
        let disabled = match in_time(PATIENCE, self.store.account(user_id)).await {
            Ok(account) => Some(account.is_some_and(|account| account.disabled)),
            Err(error) => {
                tracing::warn!(%user_id, %error, "whether an account is disabled could not be read");
                self.revocations_due.notify_one();
                known
            }
        };
        if disabled.is_some_and(|disabled| revocations.settle(user_id, turn, disabled)) {
            self.end_revoked();
        }
    }

    /// Ends the connections here whose credentials no longer count. Returns how many there were.
    pub(super) fn end_revoked(&self) -> usize {
        if failpoint!(self.failpoints, RevocationIgnored) {
            return 0;
        }
        let (code, sentence) = REVOKED;
        self.hub.end_where(|principal| self.auth.revocations.concern(principal), code, sentence)
    }

    /// Ends the connections of a user here, all or those that were open at a time, in Unix seconds; nothing keeps them from
    /// coming back. Returns how many there were.
    pub fn disconnect(&self, user_id: &UserId, at: Option<Timestamp>) -> usize {
        let was_open = |handle: &ConnectionHandle| {
            at.is_none_or(|at| handle.since <= at) && handle.principal().user_id == *user_id
        };
        let open = self.hub.connections_where(was_open);
        open.iter().for_each(|handle| handle.command(ConnectionCommand::End(ENDED.0, ENDED.1)));
        open.len()
    }

    /// Applies a revocation here. Returns how many connections end.
    pub fn enforce(&self, revocation: &Revocation) -> usize {
        self.metrics.revocation(match revocation.what {
            Revoked::Token(_) => "token",
            Revoked::Session(_) => "session",
            Revoked::User(_) => "user",
        });
        self.hold(revocation)
    }

    /// The same for a revocation that was counted where it was asked for.
    pub fn hold(&self, revocation: &Revocation) -> usize {
        // In this order: a connection that is not in the hub yet checks the revocations once it is.
        self.auth.revocations.note(revocation, crate::clock::unix_now());
        if failpoint!(self.failpoints, RevocationIgnored) {
            return 0;
        }
        let (code, sentence) = REVOKED;
        self.hub.end_where(|principal| revocation.concerns(principal), code, sentence)
    }
}
