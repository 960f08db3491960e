//! How often somebody may try a password: after some failures each further try has to wait longer. Pure.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::limits::ClientAddress;

/// Failures of an account that cost nothing.
pub const FREE_FOR_ACCOUNT: u32 = 5;
/// Failures from an address that cost nothing: many people may share one.
pub const FREE_FOR_ADDRESS: u32 = 20;
/// The first wait in seconds; each further failure doubles it.
const FIRST_WAIT: f64 = 1.0;
/// The longest wait in seconds.
const LONGEST_WAIT: f64 = 60.0;
/// Seconds without a failure after which the failures are forgotten.
const FORGOTTEN: f64 = 900.0;
/// Most that is remembered in one half of the memory.
const MOST: usize = 50_000;

/// Whose failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// An account by the digest of its name, whether there is one or not.
    Account([u8; 16]),
    /// The same from an address where its password was known: what others fail elsewhere does not keep it out there.
    Known([u8; 16], ClientAddress),
    Address(ClientAddress),
}

impl Key {
    fn free(self) -> u32 {
        match self {
            Self::Account(_) | Self::Known(..) => FREE_FOR_ACCOUNT,
            Self::Address(_) => FREE_FOR_ADDRESS,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: f64,
}

impl Failures {
    /// Until when the next try has to wait.
    fn until(self, free: u32) -> f64 {
        match self.count.checked_sub(free) {
            None => 0.0,
            Some(more) => self.last + (FIRST_WAIT * 2f64.powi(more.min(16) as i32)).min(LONGEST_WAIT),
        }
    }
}

/// A try that was admitted; it counts as a failure until it is told to be none.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    account: Option<Key>,
    address: Key,
}

/// The failures that are remembered, in bounded memory: the half that was not touched for longest is forgotten.
#[derive(Debug, Default)]
pub struct Attempts {
    recent: HashMap<Key, Failures>,
    older: HashMap<Key, Failures>,
}

impl Attempts {
    /// Admits a try, or says how many seconds it has to wait. A try that has to wait is not counted.
    pub fn admit(&mut self, account: Option<&str>, address: ClientAddress, now: f64) -> Result<Attempt, f64> {
        let account = account.map(|name| {
            let digest = Sha256::digest(name.as_bytes());
            let mut short = [0; 16];
            short.copy_from_slice(&digest[..16]);
            let known = Key::Known(short, address);
            if self.is_kept(known) { known } else { Key::Account(short) }
        });
        let attempt = Attempt { account, address: Key::Address(address) };
        let wait = attempt.keys().map(|key| self.of(key, now).until(key.free()) - now).fold(0.0, f64::max);
        if wait > 0.0 {
            // Whoever goes on is not the one to forget.
            attempt.keys().for_each(|key| self.keep(key));
            return Err(wait);
        }
        for key in attempt.keys() {
            let count = self.of(key, now).count.saturating_add(1);
            self.put(key, Failures { count, last: now });
        }
        Ok(attempt)
    }

    /// The password was right: the account starts anew, and is known at the address from now on; the address only gets
    /// back this try, or else one good account would open the way to all others.
    pub fn succeeded(&mut self, attempt: Attempt, now: f64) {
        if let (Some(account), Key::Address(address)) = (attempt.account, attempt.address) {
            self.recent.remove(&account);
            self.older.remove(&account);
            if let Key::Account(short) | Key::Known(short, _) = account {
                self.put(Key::Known(short, address), Failures { count: 0, last: now });
            }
        }
        self.give_back(attempt.address);
    }

    /// No password was looked at, or none was guessed.
    pub fn withdrawn(&mut self, attempt: Attempt) {
        attempt.keys().for_each(|key| self.give_back(key));
    }

    fn give_back(&mut self, key: Key) {
        if let Some(failures) = self.recent.get_mut(&key).or_else(|| self.older.get_mut(&key)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn of(&self, key: Key, now: f64) -> Failures {
        let found = self.recent.get(&key).or_else(|| self.older.get(&key));
        // A clock that was set back must not make anybody wait for it.
        let known = found.filter(|failures| (0.0..FORGOTTEN).contains(&(now - failures.last)));
        known.copied().unwrap_or(Failures { count: 0, last: now })
    }

    fn is_kept(&self, key: Key) -> bool {
        self.recent.contains_key(&key) || self.older.contains_key(&key)
    }

    fn keep(&mut self, key: Key) {
        if let Some(failures) = self.older.remove(&key) {
            self.put(key, failures);
        }
    }

    fn put(&mut self, key: Key, failures: Failures) {
        self.older.remove(&key);
        self.recent.insert(key, failures);
        if self.recent.len() >= MOST {
            self.older = std::mem::take(&mut self.recent);
        }
    }
}

impl Attempt {
    fn keys(self) -> impl Iterator<Item = Key> {
        self.account.into_iter().chain([self.address])
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(number: u32) -> ClientAddress {
        ClientAddress::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn the_wait_of_an_account_grows_from_one_second_to_a_minute() {
        let mut attempts = Attempts::default();
        let mut now = 1000.0;
        for number in 0..FREE_FOR_ACCOUNT {
            assert!(attempts.admit(Some("ada"), address(number), now).is_ok(), "{number}");
        }
        for wait in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let elsewhere = address(99);
            assert_eq!(attempts.admit(Some("ada"), elsewhere, now).unwrap_err(), wait);
            assert_eq!(attempts.admit(Some("ada"), elsewhere, now + wait - 0.5).unwrap_err(), 0.5);
            now += wait;
            assert!(attempts.admit(Some("ada"), elsewhere, now).is_ok(), "after {wait} s");
        }
        assert!(attempts.admit(Some("eve"), address(99), now).is_ok(), "another account");
        assert!(attempts.admit(Some("ada"), address(99), now + FORGOTTEN).is_ok(), "all is forgotten");
        assert!(attempts.admit(Some("ada"), address(99), now + FORGOTTEN).is_ok());
    }

    #[test]
    fn an_address_waits_whomever_it_tries_and_a_success_opens_no_way_to_others() {
        let mut attempts = Attempts::default();
        for number in 0..FREE_FOR_ADDRESS {
            let own = attempts.admit(Some("eve"), address(1), 0.0).unwrap();
            attempts.succeeded(own, 0.0);
            assert!(attempts.admit(Some(&format!("user{number}")), address(1), 0.0).is_ok());
        }
        assert_eq!(attempts.admit(Some("eve"), address(1), 0.0).unwrap_err(), 1.0);
        assert_eq!(attempts.admit(None, address(1), 0.0).unwrap_err(), 1.0);
        assert!(attempts.admit(Some("eve"), address(2), 0.0).is_ok(), "elsewhere it is fine");
    }

    /// Bug: whoever tried a name again and again took every turn of it, and its owner never had one.
    #[test]
    fn who_guesses_elsewhere_keeps_nobody_out_where_the_password_was_known() {
        let mut attempts = Attempts::default();
        let home = attempts.admit(Some("ada"), address(1), 0.0).unwrap();
        attempts.succeeded(home, 0.0);
        let mut guesses = 0;
        for now in (0..3600).map(f64::from) {
            guesses += u32::from(attempts.admit(Some("ada"), address(2), now).is_ok());
            if now % 600.0 == 599.0 {
                assert!(attempts.admit(Some("ada"), address(3), now).is_err(), "a third address waits");
                let own = attempts.admit(Some("ada"), address(1), now).unwrap();
                attempts.succeeded(own, now);
            }
        }
        assert!((60..80).contains(&guesses), "being at home is no help elsewhere: {guesses}");
        // Nor does it let anybody guess without end at home.
        let at_home = (0..50).filter(|_| attempts.admit(Some("ada"), address(1), 4000.0).is_ok()).count();
        assert_eq!(at_home, FREE_FOR_ACCOUNT as usize);
    }

    /// Tries that were admitted at once count before they fail: a burst guesses no more often than a row.
    #[test]
    fn tries_in_flight_count() {
        let mut attempts = Attempts::default();
        let burst: Vec<_> =
            (0..50).filter_map(|_| attempts.admit(Some("ada"), address(1), 0.0).ok()).collect();
        assert_eq!(burst.len(), FREE_FOR_ACCOUNT as usize);
        for attempt in burst {
            attempts.withdrawn(attempt);
        }
        let own = attempts.admit(Some("ada"), address(1), 0.0).unwrap();
        attempts.succeeded(own, 0.0);
        assert!(attempts.admit(Some("ada"), address(1), 0.0).is_ok());
    }

    /// Bug: who was told to wait was forgotten while he went on, if many others came meanwhile.
    #[test]
    fn the_memory_is_bounded_and_those_that_go_on_stay_in_it() {
        let mut attempts = Attempts::default();
        for number in 0..200_000 {
            if number % 20_000 == 0 {
                let _ = attempts.admit(Some("ada"), address(number), f64::from(number) / 1e4);
            }
            let _ = attempts.admit(Some(&number.to_string()), address(number), 0.0);
            assert!(attempts.recent.len() + attempts.older.len() <= 2 * MOST);
        }
        assert!(attempts.admit(Some("ada"), address(7), 18.0).is_err());
    }
}
