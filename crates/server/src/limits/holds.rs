//! Bounds what the server holds at once for the HTTP requests of a user and of an address: the number of requests in
//! progress, and the bytes of their bodies and of answers that the client has not taken yet.

use std::{sync::Arc, time::Duration};

use super::{
    Limits,
    permits::{Permit, PermitPool},
    rates::RateExceeded,
};
use crate::metrics::Metrics;

/// After this time a client whose user or address holds too much may try again.
const WAIT: Duration = Duration::from_secs(1);

/// What is held for one user or address.
#[derive(Debug, Clone, Default)]
pub struct Held {
    requests: PermitPool,
    bytes: PermitPool,
}

impl Held {
    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.requests.taken() == 0 && self.bytes.taken() == 0
    }
}

/// A setting and its value; 0 is no limit.
type Bound = (&'static str, usize);

#[derive(Debug, Clone, Copy)]
struct Bounds {
    requests: Bound,
    bytes: Bound,
}

/// The bounds in force.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    user: Bounds,
    address: Bounds,
    unauthenticated: Bounds,
}

impl Holds {
    /// The bounds of the settings.
    pub fn new(limits: &Limits) -> Self {
        let of_address = ("request_bytes_per_address", limits.request_bytes_per_address);
        Self {
            user: Bounds {
                requests: ("requests_per_user", limits.requests_per_user),
                bytes: ("request_bytes_per_user", limits.request_bytes_per_user),
            },
            address: Bounds {
                requests: ("requests_per_address", limits.requests_per_address),
                bytes: of_address,
            },
            unauthenticated: Bounds {
                requests: (
                    "unauthenticated_requests_per_address",
                    limits.unauthenticated_requests_per_address,
                ),
                bytes: of_address,
            },
        }
    }
}

/// The user and the address that a request is counted for.
pub struct Requester {
    of: Vec<(Held, Bounds)>,
    metrics: Option<Arc<Metrics>>,
}

/// What is held, until it is dropped.
pub type Hold = Vec<Permit>;

impl Requester {
    /// A request of a user from an address, for which both hold something.
    pub fn of_user(holds: Holds, user: Held, address: Held, metrics: Arc<Metrics>) -> Self {
        Self { of: vec![(user, holds.user), (address, holds.address)], metrics: Some(metrics) }
    }

    /// A request without a user. Its address has a separate share for these, so that they take none from users.
    pub fn unauthenticated(holds: Holds, address: Held, metrics: Arc<Metrics>) -> Self {
        Self { of: vec![(address, holds.unauthenticated)], metrics: Some(metrics) }
    }

    /// A request for which nothing is counted.
    pub fn unbounded() -> Self {
        Self { of: Vec::new(), metrics: None }
    }

    /// Holds a request in progress.
    pub fn request(&self) -> Result<Hold, RateExceeded> {
        self.hold("requests", |held, bounds| (held.requests.take(bounds.requests.1), bounds.requests))
    }

    /// Holds bytes of a body or of an answer. One alone may be larger than the bound.
    pub fn bytes(&self, bytes: usize) -> Result<Hold, RateExceeded> {
        self.hold("held_bytes", |held, bounds| (held.bytes.take_many(bytes, bounds.bytes.1), bounds.bytes))
    }

    fn hold(
        &self,
        word: &str,
        take: impl Fn(&Held, &Bounds) -> (Option<Permit>, Bound),
    ) -> Result<Hold, RateExceeded> {
        let take = |(held, bounds): &(Held, Bounds)| {
            let (place, (limit, most)) = take(held, bounds);
            place.ok_or_else(|| {
                if let Some(metrics) = &self.metrics {
                    metrics.limit_hit(word);
                }
                RateExceeded { limit, most: most as u64, wait: WAIT }
            })
        };
        self.of.iter().map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Names;

    #[test]
    fn a_user_and_an_address_hold_so_much_and_no_more() {
        let limits = Limits {
            requests_per_user: 2,
            requests_per_address: 3,
            request_bytes_per_user: 100,
            request_bytes_per_address: 150,
            ..Limits::default()
        };
        let (holds, metrics) = (Holds::new(&limits), Metrics::new(Names::default()));
        let (address, ada, bob) = (Held::default(), Held::default(), Held::default());
        let of = |user: &Held| Requester::of_user(holds, user.clone(), address.clone(), metrics.clone());
        let _two = (of(&ada).request().unwrap(), of(&ada).request().unwrap());
        assert_eq!(of(&ada).request().unwrap_err().limit, "requests_per_user");
        let third = of(&bob).request().unwrap();
        assert_eq!(of(&bob).request().unwrap_err().limit, "requests_per_address");
        drop(third);
        assert!(of(&bob).request().is_ok());

        let large = of(&ada).bytes(1000).unwrap();
        assert_eq!(of(&ada).bytes(1).unwrap_err().limit, "request_bytes_per_user");
        assert_eq!(of(&bob).bytes(1).unwrap_err().limit, "request_bytes_per_address");
        assert_eq!(bob.bytes.taken(), 0, "what one bound refuses holds nothing of the other");
        drop(large);
        assert!(of(&ada).bytes(100).is_ok() && address.bytes.taken() == 0);
    }
}
