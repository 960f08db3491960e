//! Tickets: short secrets that open one WebSocket each, so that a browser need not put a token into an address.
//! Kept in memory as hashes only; bounded for each user and in all.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use wireproof_protocol::{ErrorBody, ErrorCode, UserId};

use super::{AuthError, Principal};
use crate::error::Refusal;

/// Tickets that a user may buy within the life of one.
const PER_USER: usize = 64;
/// Tickets that all may buy within the life of one.
const IN_ALL: usize = 100_000;

type Hash = [u8; 32];

/// The tickets that were sold and not used.
pub struct Tickets {
    life: Duration,
    sold: Mutex<Sold>,
}

#[derive(Default)]
struct Sold {
    principals: HashMap<Hash, Principal>,
    /// Those that were bought within the life of one, used or not, in the order of their ends.
    ends: VecDeque<(Instant, Hash, UserId)>,
    of_users: HashMap<UserId, usize>,
}

impl Tickets {
    /// Tickets that live so long.
    pub fn new(life: Duration) -> Self {
        Self { life, sold: Mutex::default() }
    }

    /// How long a ticket lives.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// A new ticket that stands for the principal.
    pub fn sell(&self, principal: Principal, now: Instant) -> Result<String, Refusal> {
        let mut sold = self.sold();
        sold.forget(now);
        let user_id = principal.user_id.clone();
        let of_user = sold.of_users.get(&user_id).copied().unwrap_or_default();
        if of_user >= PER_USER || sold.ends.len() >= IN_ALL {
            let mut body =
                ErrorBody::new(ErrorCode::RateLimited, "Too many tickets were asked for; try again later.");
            body.retry_after_ms = Some(self.life.as_millis() as u64);
            return Err(body.into());
        }
        let secret: [u8; 32] = rand::random();
        let ticket = URL_SAFE_NO_PAD.encode(secret);
        let hash = hash(&ticket);
        sold.ends.push_back((now + self.life, hash, user_id.clone()));
        *sold.of_users.entry(user_id).or_default() += 1;
        sold.principals.insert(hash, principal);
        Ok(ticket)
    }

    /// The principal of a ticket, once.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Result<Principal, AuthError> {
        let mut sold = self.sold();
        sold.forget(now);
        let hash = hash(ticket);
        sold.principals.remove(&hash).ok_or(AuthError::Ticket)
    }

    fn sold(&self) -> MutexGuard<'_, Sold> {
        self.sold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sold {
    fn forget(&mut self, now: Instant) {
        while let Some((_, hash, user_id)) = self.ends.pop_front_if(|(end, ..)| *end <= now) {
            self.principals.remove(&hash);
            if let Entry::Occupied(mut bought) = self.of_users.entry(user_id) {
                *bought.get_mut() -= 1;
                if *bought.get() == 0 {
                    bought.remove();
                }
            }
        }
    }
}

fn hash(ticket: &str) -> Hash {
    Sha256::digest(ticket.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Permissions;

    fn principal(name: &str) -> Principal {
        Principal {
            user_id: UserId::new(name).unwrap(),
            expires_at: 1e12,
            issued_at: None,
            token_id: Some("t".into()),
            session_id: None,
            permissions: Permissions::of_a_user(),
            key: None,
        }
    }

    #[test]
    fn a_ticket_is_good_once_and_in_its_time() {
        let (tickets, now) = (Tickets::new(Duration::from_secs(30)), Instant::now());
        let ticket = tickets.sell(principal("ada"), now).unwrap();
        assert_eq!(tickets.redeem("", now), Err(AuthError::Ticket));
        assert_eq!(tickets.redeem(&ticket, now), Ok(principal("ada")));
        assert_eq!(tickets.redeem(&ticket, now), Err(AuthError::Ticket));
        let late = tickets.sell(principal("ada"), now).unwrap();
        assert_eq!(tickets.redeem(&late, now + Duration::from_secs(30)), Err(AuthError::Ticket));
        let sold = tickets.sold();
        assert!(sold.of_users.is_empty() && sold.ends.is_empty() && sold.principals.is_empty());
    }

    #[test]
    fn tickets_are_bounded_for_each_user() {
        let (tickets, now) = (Tickets::new(Duration::from_secs(30)), Instant::now());
        for _ in 0..PER_USER {
            let ticket = tickets.sell(principal("ada"), now).unwrap();
            tickets.redeem(&ticket, now).unwrap();
        }
        assert_eq!(tickets.sell(principal("ada"), now).unwrap_err().code(), ErrorCode::RateLimited);
        assert!(tickets.sell(principal("eve"), now).is_ok());
        assert!(tickets.sell(principal("ada"), now + Duration::from_secs(30)).is_ok());
    }
}
