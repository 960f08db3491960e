//! The share of one connection or request in the limits of its user and its address.

use std::{sync::Arc, time::Instant};

use super::{AddressBuckets, RateExceeded, Rates, UserBuckets};

/// The limits of one connection or request: its user's and its address's share.
pub struct Allowance {
    pub(super) rates: Arc<Rates>,
    pub(super) user: Arc<UserBuckets>,
    pub(super) address: Arc<AddressBuckets>,
}

impl std::fmt::Debug for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allowance").finish_non_exhaustive()
    }
}

impl Allowance {
    /// A request for work, or a frame that cannot be understood.
    pub fn message(&self, now: Instant) -> Result<(), RateExceeded> {
        let (rates, now) = (&*self.rates, self.rates.clock(now));
        self.user
            .messages
            .take(&rates.messages.rate, 1, now)
            .map_err(|wait| rates.messages.exceeded(wait, &rates.metrics))?;
        let address = &rates.address_messages;
        self.address.messages.take(&address.rate, 1, now).map_err(|wait| {
            self.user.messages.give_back(&rates.messages.rate, 1);
            address.exceeded(wait, &rates.metrics)
        })
    }

    /// A read, or a sign of life.
    pub fn other(&self, now: Instant) -> Result<(), RateExceeded> {
        let (rates, others) = (&*self.rates, &self.rates.others);
        let taken = self.user.others.take(&others.rate, 1, rates.clock(now));
        taken.map_err(|wait| others.exceeded(wait, &rates.metrics))
    }

    /// Bytes that came and cannot be refused any more; false when they are over the limit, and then none is taken.
    pub fn bytes_came(&self, count: u64, now: Instant) -> bool {
        self.user.bytes.take(&self.rates.bytes.rate, count, self.rates.clock(now)).is_ok()
    }

    /// Bytes that were counted and did not come.
    pub fn give_back_bytes(&self, count: usize) {
        self.user.bytes.give_back(&self.rates.bytes.rate, count as u64);
    }

    /// Bytes that come, all or none.
    pub fn bytes(&self, count: usize, now: Instant) -> Result<(), RateExceeded> {
        let bytes = &self.rates.bytes;
        let taken = self.user.bytes.take(&bytes.rate, count as u64, self.rates.clock(now));
        taken.map_err(|wait| bytes.exceeded(wait, &self.rates.metrics))
    }

    /// A ping or pong of RFC 6455; false when there were too many.
    pub fn control(&self, now: Instant) -> bool {
        self.user.controls.take(&self.rates.controls, 1, self.rates.clock(now)).is_ok()
    }

    /// Counts a refusal; false when there were so many that the client is to be disconnected.
    pub fn may_be_refused(&self, now: Instant) -> bool {
        self.user.refusals.take(&self.rates.refusals, 1, self.rates.clock(now)).is_ok()
    }
}
