//! How fast users and addresses may go: one bucket a limit, shared by all connections and requests of the same user
//! or address. Time comes from outside.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::{
    ClientAddress, Limits,
    bucket::{Bucket, Rate, nanoseconds},
    holds::{Held, Holds, Requester},
    keyed::Keyed,
    permits::{Permit, PermitPool},
};
use crate::{error::Refusal, metrics::Metrics};

mod allowance;

pub use allowance::Allowance;

/// Refusals in a minute, as a multiple of the burst, after which a client is disconnected.
const REFUSALS_PER_BURST: u64 = 10;
/// After this time a client that may not wait for an issuer may try again: those that wait are done after one fetch.
const ISSUER_PAUSE: Duration = Duration::from_secs(2);

/// What one user has taken of each limit.
#[derive(Default)]
struct UserBuckets {
    messages: Bucket,
    others: Bucket,
    controls: Bucket,
    bytes: Bucket,
    refusals: Bucket,
    held: Held,
}

/// What one address has taken of each limit.
#[derive(Default)]
struct AddressBuckets {
    messages: Bucket,
    failures: Bucket,
    registrations: Bucket,
    unauthenticated: PermitPool,
    connections: PermitPool,
    /// What the requests of users from this address hold, and what requests without a user hold.
    held: Held,
    unauthenticated_held: Held,
    issuer_waits: PermitPool,
}

/// A limit with its name in the settings, which refusals show.
struct Named {
    name: &'static str,
    /// Its name among the metrics.
    word: &'static str,
    most: u64,
    rate: Rate,
}

impl Named {
    fn new(name: &'static str, word: &'static str, a_minute: u64, burst: u64) -> Self {
        Self { name, word, most: a_minute, rate: Rate::a_minute(a_minute, burst) }
    }

    fn exceeded(&self, wait: Duration, metrics: &Metrics) -> RateExceeded {
        metrics.limit_hit(self.word);
        RateExceeded { limit: self.name, most: self.most, wait }
    }
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded {
    /// Its name in the settings.
    pub limit: &'static str,
    /// Its value.
    pub most: u64,
    /// How long until the same would be allowed.
    pub wait: Duration,
}

impl From<RateExceeded> for Refusal {
    fn from(exceeded: RateExceeded) -> Self {
        let RateExceeded { limit, most, wait } = exceeded;
        let what = if limit.contains("_per_minute") || limit.contains("_per_hour") {
            "Too fast"
        } else {
            "Too much at once"
        };
        let sentence = format!("{what}: {limit} is {most}. It was not carried out; try again later.");
        let mut body =
            ErrorBody::new(ErrorCode::RateLimited, sentence).detail("limit", limit).detail("most", most);
        // Rounded up: a client that comes back then is not refused again.
        body.retry_after_ms = Some(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX));
        body.into()
    }
}

/// The rates in force and what was taken of them.
pub struct Rates {
    began: Instant,
    metrics: Arc<Metrics>,
    messages: Named,
    others: Named,
    controls: Rate,
    bytes: Named,
    refusals: Rate,
    address_messages: Named,
    failures: Named,
    holds: Holds,
    registrations: Named,
    /// Tokens that wait for their issuer, from all addresses.
    issuer_waits: PermitPool,
    most_issuer_waits: usize,
    most_issuer_waits_per_address: usize,
    users: Keyed<UserId, UserBuckets>,
    addresses: Keyed<ClientAddress, AddressBuckets>,
}

impl Rates {
    /// Rates of a server that starts at `now`.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>, now: Instant) -> Arc<Self> {
        let per_address = limits.messages_per_minute_per_address;
        let refusals = REFUSALS_PER_BURST.saturating_mul(limits.message_burst.max(1));
        let failures = limits.failed_tokens_per_minute;
        Arc::new(Self {
            began: now,
            metrics,
            messages: Named::new(
                "messages_per_minute",
                "messages",
                limits.messages_per_minute,
                limits.message_burst,
            ),
            others: Named::new(
                "other_frames_per_minute",
                "reads",
                limits.other_frames_per_minute,
                limits.other_frame_burst,
            ),
            controls: Rate::a_minute(limits.other_frames_per_minute, limits.other_frame_burst),
            bytes: Named::new("bytes_per_minute", "bytes", limits.bytes_per_minute, limits.byte_burst),
            refusals: Rate::a_minute(refusals, refusals),
            address_messages: Named::new(
                "messages_per_minute_per_address",
                "messages",
                per_address,
                per_address,
            ),
            failures: Named::new("failed_tokens_per_minute", "authenticate", failures, failures),
            holds: Holds::new(limits),
            registrations: Named {
                name: "registrations_per_hour_per_address",
                word: "registrations",
                most: limits.registrations_per_hour_per_address,
                rate: Rate::new(
                    limits.registrations_per_hour_per_address,
                    Duration::from_secs(3600),
                    limits.registrations_per_hour_per_address,
                ),
            },
            issuer_waits: PermitPool::default(),
            most_issuer_waits: limits.issuer_waits,
            most_issuer_waits_per_address: limits.issuer_waits_per_address,
            users: Keyed::default(),
            addresses: Keyed::default(),
        })
    }

    fn clock(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }

    /// What a user may do from an address.
    pub fn allowance(self: &Arc<Self>, user_id: &UserId, address: ClientAddress) -> Allowance {
        Allowance { rates: self.clone(), user: self.users.of(user_id), address: self.addresses.of(&address) }
    }

    /// Counts what the server holds for an HTTP request of this user and address.
    pub fn requester(&self, user_id: Option<&UserId>, address: ClientAddress) -> Requester {
        let (address, metrics) = (self.addresses.of(&address), self.metrics.clone());
        match user_id {
            Some(user_id) => {
                let user = self.users.of(user_id).held.clone();
                Requester::of_user(self.holds, user, address.held.clone(), metrics)
            }
            None => Requester::unauthenticated(self.holds, address.unauthenticated_held.clone(), metrics),
        }
    }

    /// So many reads of a user, all or none, besides the one that its frame took: what costs the server more than other
    /// reads counts as several, but together no more than may come at once. The wait is that of the frame and of these.
    pub fn more_reads(&self, user_id: &UserId, count: u64, now: Instant) -> Result<(), RateExceeded> {
        let (rate, now) = (&self.others.rate, self.clock(now));
        let count = count.min(rate.burst() - 1);
        let others = &self.users.of(user_id).others;
        others.take(rate, count, now).map_err(|wait| {
            let wait = others.wait(rate, count + 1, now).unwrap_or(wait);
            self.others.exceeded(wait, &self.metrics)
        })
    }

    /// A try at a token from an address. What is not given back counts as a failure.
    pub fn try_token(&self, address: ClientAddress, now: Instant) -> Result<(), RateExceeded> {
        if self.failures.rate.is_unlimited() {
            return Ok(());
        }
        let taken = self.addresses.of(&address).failures.take(&self.failures.rate, 1, self.clock(now));
        taken.map_err(|wait| self.failures.exceeded(wait, &self.metrics))
    }

    /// The token was a good one, or none was tried: it does not count.
    pub fn forgive_token(&self, address: ClientAddress) {
        if !self.failures.rate.is_unlimited() {
            self.addresses.of(&address).failures.give_back(&self.failures.rate, 1);
        }
    }

    /// True when a token from the address would be tried.
    pub fn may_try_token(&self, address: ClientAddress, now: Instant) -> Result<(), RateExceeded> {
        if self.failures.rate.is_unlimited() {
            return Ok(());
        }
        let wait = self.addresses.of(&address).failures.wait(&self.failures.rate, 1, self.clock(now));
        wait.map_or(Ok(()), |wait| Err(self.failures.exceeded(wait, &self.metrics)))
    }

    /// A registration from an address. What is not given back counts.
    pub fn try_registration(&self, address: ClientAddress, now: Instant) -> Result<(), RateExceeded> {
        let (named, buckets) = (&self.registrations, self.addresses.of(&address));
        let taken = buckets.registrations.take(&named.rate, 1, self.clock(now));
        taken.map_err(|wait| named.exceeded(wait, &self.metrics))
    }

    /// No account was made: it does not count.
    pub fn forgive_registration(&self, address: ClientAddress) {
        self.addresses.of(&address).registrations.give_back(&self.registrations.rate, 1);
    }

    /// A place among the tokens that wait for the keys of their issuer, of the address and in all.
    pub fn issuer_wait(&self, address: ClientAddress) -> Result<(Permit, Permit), RateExceeded> {
        let refused = |limit, most: usize| {
            self.metrics.limit_hit("issuer_waits");
            RateExceeded { limit, most: most as u64, wait: ISSUER_PAUSE }
        };
        let (all, one) = (self.most_issuer_waits, self.most_issuer_waits_per_address);
        let of_address = self.addresses.of(&address).issuer_waits.take(one);
        let of_address = of_address.ok_or_else(|| refused("issuer_waits_per_address", one))?;
        let of_all = self.issuer_waits.take(all).ok_or_else(|| refused("issuer_waits", all))?;
        Ok((of_address, of_all))
    }

    /// A place among the `most` unauthenticated connections of an address.
    pub fn unauthenticated(&self, address: ClientAddress, most: usize) -> Option<Permit> {
        self.addresses.of(&address).unauthenticated.take(most)
    }

    /// A place among the `most` WebSocket connections of an address.
    pub fn connection(&self, address: ClientAddress, most: usize) -> Option<Permit> {
        self.addresses.of(&address).connections.take(most)
    }

    /// Forgets users and addresses that took nothing for so long that they are as good as new ones.
    pub fn sweep(&self, now: Instant) {
        let now = self.clock(now);
        self.users.sweep(|user| {
            let buckets = [&user.messages, &user.others, &user.controls, &user.bytes, &user.refusals];
            user.held.is_empty() && buckets.iter().all(|bucket| bucket.is_full(now))
        });
        self.addresses.sweep(|address| {
            let places = [&address.unauthenticated, &address.connections, &address.issuer_waits];
            let buckets = [&address.messages, &address.failures, &address.registrations];
            let is_held = !address.held.is_empty() || !address.unauthenticated_held.is_empty();
            let is_empty = !is_held && places.iter().all(|count| count.taken() == 0);
            is_empty && buckets.iter().all(|bucket| bucket.is_full(now))
        });
    }

    /// Users and addresses that are remembered.
    pub fn remembered(&self) -> (usize, usize) {
        (self.users.len(), self.addresses.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Names;

    fn limits() -> Limits {
        Limits {
            messages_per_minute: 1,
            message_burst: 3,
            messages_per_minute_per_address: 5,
            ..Limits::default()
        }
    }

    fn address(last: u8) -> ClientAddress {
        ClientAddress::of([127, 0, 0, last].into())
    }

    #[test]
    fn a_user_and_an_address_have_a_share_each() {
        let now = Instant::now();
        let rates = Rates::new(&limits(), Metrics::new(Names::default()), now);
        let of = |name: &str, last: u8| rates.allowance(&UserId::new(name).unwrap(), address(last));
        let taken = |name: &str, last: u8| (0..9).filter(|_| of(name, last).message(now).is_ok()).count();
        assert_eq!((taken("ada", 1), taken("ada", 2)), (3, 0), "a user has one share from all addresses");
        // What the address refused, bob has not used up.
        assert_eq!((taken("bob", 1), taken("bob", 2)), (2, 1));
        let refused = of("ada", 1).message(now).unwrap_err();
        assert_eq!((refused.limit, refused.wait), ("messages_per_minute", Duration::from_secs(60)));
        let body = Refusal::from(refused).body;
        assert_eq!((body.retryable, body.retry_after_ms), (true, Some(60_000)));
    }

    #[test]
    fn who_was_idle_is_forgotten_and_who_is_here_is_not() {
        let now = Instant::now();
        let rates = Rates::new(&limits(), Metrics::new(Names::default()), now);
        let here = rates.allowance(&UserId::new("here").unwrap(), address(0));
        for number in 0..200 {
            let user_id = UserId::new(format!("user-{number}")).unwrap();
            assert!(rates.allowance(&user_id, address(number)).message(now).is_ok());
        }
        rates.sweep(now);
        assert_eq!(rates.remembered(), (201, 200));
        rates.sweep(now + Duration::from_secs(600));
        assert_eq!(rates.remembered(), (1, 1));
        let again = rates.allowance(&UserId::new("here").unwrap(), address(0));
        let both = [&here, &again];
        assert_eq!((0..9).filter(|turn| both[turn % 2].message(now).is_ok()).count(), 3);
    }

    #[test]
    fn a_failed_token_counts_and_a_good_one_does_not() {
        let now = Instant::now();
        let rates = Rates::new(
            &Limits { failed_tokens_per_minute: 2, ..Limits::default() },
            Metrics::new(Names::default()),
            now,
        );
        for _ in 0..10 {
            rates.try_token(address(1), now).unwrap();
            rates.forgive_token(address(1));
        }
        assert!(rates.try_token(address(1), now).is_ok() && rates.try_token(address(1), now).is_ok());
        assert_eq!(rates.try_token(address(1), now).unwrap_err().wait, Duration::from_secs(30));
        assert!(
            rates.may_try_token(address(1), now).is_err() && rates.may_try_token(address(2), now).is_ok()
        );
    }

    /// Bug: a snapshot took five of a bucket that can be set to hold fewer, so it was refused for ever; and who came back
    /// after the wait that it was told was refused again, for its frame took one of what the snapshot needs.
    #[test]
    fn what_takes_several_reads_can_be_had_in_the_time_that_is_told() {
        let user_id = UserId::new("ada").unwrap();
        for burst in 1..=8 {
            let limits =
                Limits { other_frames_per_minute: 60, other_frame_burst: burst, ..Limits::default() };
            let mut now = Instant::now();
            let rates = Rates::new(&limits, Metrics::new(Names::default()), now);
            let allowance = rates.allowance(&user_id, address(1));
            let ask = |now| allowance.other(now).and_then(|()| rates.more_reads(&user_id, 4, now));
            assert_eq!(ask(now), Ok(()), "{burst} at once");
            for _ in 0..3 {
                while allowance.other(now).is_ok() {}
                // Of all that it takes, the frame's own read is there.
                now += Duration::from_secs(1);
                if let Err(refused) = ask(now) {
                    now += refused.wait;
                    assert_eq!(ask(now), Ok(()), "{burst} at once, after {:?}", refused.wait);
                }
            }
        }
    }

    #[test]
    fn a_place_is_given_back_when_it_is_left() {
        let rates = Rates::new(&Limits::default(), Metrics::new(Names::default()), Instant::now());
        let places: Vec<_> = (0..5).map_while(|_| rates.connection(address(1), 3)).collect();
        assert_eq!(places.len(), 3);
        assert!(rates.connection(address(2), 3).is_some() && rates.connection(address(1), 0).is_some());
        drop(places);
        assert!(rates.connection(address(1), 1).is_some());
    }
}
