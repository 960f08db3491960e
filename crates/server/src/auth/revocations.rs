//! What was revoked before its time, in memory: asked after every check of credentials. The store keeps it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use wireproof_protocol::UserId;

use super::Principal;
use crate::store::{Revocation, Revoked};

/// Seconds between two looks for what is over.
const SWEEP_SECONDS: f64 = 60.0;
/// Seconds that a revocation is kept past its end, for checks of tokens that allow some leeway.
const MARGIN_SECONDS: f64 = 300.0;
/// Revocations that are noted under one lock.
const NOTED_AT_ONCE: usize = 1024;

/// The revocations that hold.
#[derive(Default)]
pub struct Revocations {
    held: RwLock<Held>,
    turns: AtomicU64,
}

#[derive(Default)]
struct Held {
    tokens: HashMap<String, f64>,
    sessions: HashMap<String, f64>,
    /// Up to when tokens were made that no longer count, and until when that has to be known.
    users: HashMap<UserId, (f64, f64)>,
    /// True for users none of whose tokens count, whenever they were made and by whomever; with the turn of the change.
    /// An entry stays until the server stops, also after the user is enabled again, because an older turn may still come. There
    /// is at most one for each account.
    disabled: HashMap<UserId, (u64, bool)>,
    swept: f64,
}

impl Revocations {
    /// Those that the store kept.
    pub fn new(kept: Vec<Revocation>) -> Self {
        let revocations = Self::default();
        revocations.note_all(&kept, 0.0);
        revocations
    }

    /// Holds one more from now on; forgets those that are over. Returns true when it concerns what was not revoked yet.
    pub fn note(&self, revocation: &Revocation, now: f64) -> bool {
        self.note_all(std::slice::from_ref(revocation), now)
    }

    /// The same for many, with one lock for some of them at once. Returns true when one concerns what was not revoked yet.
    pub fn note_all(&self, revocations: &[Revocation], now: f64) -> bool {
        let mut has_news = false;
        // Whoever checks credentials meanwhile waits for a few only.
        for some in revocations.chunks(NOTED_AT_ONCE) {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.sweep(now);
            some.iter().for_each(|revocation| has_news |= held.note(revocation));
        }
        has_news
    }

    /// Lets no token of a user count from now on, or again those that nothing else revoked.
    pub fn disable(&self, user_id: &UserId, disabled: bool) {
        self.settle(user_id, self.turn(), disabled);
    }

    /// A turn for who is about to read whether a user is disabled: later than all that were given before.
    pub fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Lets what was read in a turn hold, unless what was read in a later turn does already. Returns true when the user is
    /// disabled and was not before.
    pub fn settle(&self, user_id: &UserId, turn: u64, disabled: bool) -> bool {
        self.held.write().unwrap_or_else(PoisonError::into_inner).settle(user_id, turn, disabled)
    }

    /// The same for all users: those who are disabled are named. Returns true when one of them was not before.
    pub fn settle_all(&self, turn: u64, disabled: &[UserId]) -> bool {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // A later turn holds for those who were settled after this was read.
        let enabled = |state: &mut (u64, bool)| *state = (state.0.max(turn), state.0 >= turn && state.1);
        let named: HashSet<_> = disabled.iter().collect();
        held.disabled.iter_mut().filter(|(id, _)| !named.contains(id)).for_each(|(_, state)| enabled(state));
        disabled.iter().filter(|user_id| held.settle(user_id, turn, true)).count() > 0
    }

    /// Tokens and logins that are revoked at `now`, in Unix seconds.
    pub fn len(&self, now: f64) -> usize {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.sweep(now);
        held.tokens.len() + held.sessions.len()
    }

    /// True when a principal's credentials no longer count.
    pub fn concern(&self, principal: &Principal) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        principal.token_id.as_ref().is_some_and(|id| held.tokens.contains_key(id))
            || principal.session_id.as_ref().is_some_and(|id| held.sessions.contains_key(id))
            || held.users.get(&principal.user_id).is_some_and(|(at, _)| is_old(principal, *at))
            || held.disabled.get(&principal.user_id).is_some_and(|(_, disabled)| *disabled)
    }
}

impl Held {
    /// Returns true when it concerns what was not revoked yet.
    fn note(&mut self, revocation: &Revocation) -> bool {
        let until = revocation.until + MARGIN_SECONDS;
        // What is not known is known until the beginning of time.
        let longer = |held: &mut f64| {
            let is_new = *held == 0.0;
            *held = held.max(until);
            is_new
        };
        match &revocation.what {
            Revoked::Token(id) => longer(self.tokens.entry(id.clone()).or_default()),
            Revoked::Session(id) => longer(self.sessions.entry(id.clone()).or_default()),
            Revoked::User(id) => {
                let (at, known) = self.users.entry(id.clone()).or_default();
                let is_later = *at < revocation.at;
                *at = at.max(revocation.at);
                longer(known) || is_later
            }
        }
    }

    /// Returns true when the user is disabled and was not before.
    fn settle(&mut self, user_id: &UserId, turn: u64, disabled: bool) -> bool {
        let entry = self.disabled.entry(user_id.clone()).or_default();
        let (since, before) = *entry;
        if since < turn {
            *entry = (turn, disabled);
        }
        entry.1 && !before
    }

    fn sweep(&mut self, now: f64) {
        if now < self.swept + SWEEP_SECONDS {
            return;
        }
        self.swept = now;
        self.tokens.retain(|_, until| *until > now);
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, (_, until)| *until > now);
    }
}

/// True when a revocation of a user at this time concerns the principal; in doubt it does.
fn is_old(principal: &Principal, at: f64) -> bool {
    principal.issued_at.is_none_or(|issued_at| issued_at <= at)
}

impl Revocation {
    /// True when the principal's credentials are among what was revoked.
    pub fn concerns(&self, principal: &Principal) -> bool {
        match &self.what {
            Revoked::Token(id) => principal.token_id.as_ref() == Some(id),
            Revoked::Session(id) => principal.session_id.as_ref() == Some(id),
            Revoked::User(id) => principal.user_id == *id && is_old(principal, self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Permissions;

    fn principal(token: &str, session: &str, issued_at: Option<f64>) -> Principal {
        Principal {
            user_id: UserId::new("ada").unwrap(),
            expires_at: 1e12,
            issued_at,
            token_id: Some(token.into()),
            session_id: Some(session.into()),
            permissions: Permissions::of_a_user(),
            key: None,
        }
    }

    fn revoked(what: Revoked) -> Revocation {
        Revocation { what, at: 100.0, until: 1000.0 }
    }

    #[test]
    fn each_kind_concerns_its_own_and_nobody_else() {
        let user = Revoked::User(UserId::new("ada").unwrap());
        let ours = principal("t", "s", Some(99.0));
        for (what, others) in [
            (Revoked::Token("t".into()), principal("x", "s", Some(99.0))),
            (Revoked::Session("s".into()), principal("t", "x", Some(99.0))),
            (user.clone(), principal("t", "s", Some(100.000_001))),
        ] {
            let revocation = revoked(what);
            let held = Revocations::new(vec![revocation.clone()]);
            assert!(held.concern(&ours) && revocation.concerns(&ours), "{revocation:?}");
            assert!(!held.concern(&others) && !revocation.concerns(&others), "{revocation:?}");
        }
        let held = Revocations::new(vec![revoked(user)]);
        assert!(held.concern(&principal("t", "s", None)), "a token without iat counts as old");
        assert!(held.concern(&principal("t", "s", Some(100.0))));
    }

    #[test]
    fn no_token_of_a_disabled_user_counts_however_new() {
        let held = Revocations::default();
        let ada = UserId::new("ada").unwrap();
        held.disable(&ada, true);
        assert!(held.concern(&principal("t", "s", Some(1e9))));
        held.disable(&ada, false);
        assert!(!held.concern(&principal("t", "s", Some(1e9))));
    }

    #[test]
    fn what_is_over_is_forgotten_and_nothing_before() {
        let held = Revocations::default();
        held.note(&revoked(Revoked::Token("t".into())), 100.0);
        let other = |n: u32| Revocation { until: 1e9, ..revoked(Revoked::Token(format!("x{n}"))) };
        held.note(&other(1), 1200.0);
        assert!(held.concern(&principal("t", "", None)));
        held.note(&other(2), 1400.0);
        assert!(!held.concern(&principal("t", "", None)));
        assert!(held.concern(&principal("x1", "", None)));
        // An earlier end or an earlier time takes nothing back.
        let user = |at, until| Revocation { what: Revoked::User(UserId::new("ada").unwrap()), at, until };
        held.note(&user(500.0, 1e9), 1400.0);
        held.note(&user(400.0, 1e3), 1400.0);
        held.note(&other(3), 2000.0);
        assert!(held.concern(&principal("", "", Some(450.0))));
    }

    #[test]
    fn of_many_that_are_read_each_holds_and_one_that_is_new_is_news() {
        let held = Revocations::default();
        let token = |number: usize| revoked(Revoked::Token(format!("t{number}")));
        let mut kept: Vec<_> = (0..2 * NOTED_AT_ONCE + 1).map(token).collect();
        assert!(held.note_all(&kept, 100.0) && !held.note_all(&kept, 100.0));
        // The first of the first part is news, and nothing behind it.
        kept[0] = token(kept.len());
        assert!(held.note_all(&kept, 100.0) && !held.note_all(&kept, 100.0));
        assert_eq!(held.len(100.0), kept.len() + 1);
    }

    #[test]
    fn what_is_read_again_is_news_once_and_no_older_than_a_later_change() {
        let held = Revocations::default();
        let (ada, eve) = (UserId::new("ada").unwrap(), UserId::new("eve").unwrap());
        let user = |at| Revocation { at, ..revoked(Revoked::User(ada.clone())) };
        assert!(held.note(&user(100.0), 100.0) && !held.note(&user(100.0), 100.0));
        assert!(held.note(&user(101.0), 101.0) && !held.note(&user(100.0), 101.0));
        let token = revoked(Revoked::Token("t".into()));
        assert!(held.note(&token, 101.0) && !held.note(&token, 101.0));
        let turn = held.turn();
        assert!(held.settle_all(turn, std::slice::from_ref(&eve)));
        assert!(!held.settle_all(held.turn(), std::slice::from_ref(&eve)));
        let is_disabled = |user_id: &UserId| {
            held.concern(&Principal { user_id: user_id.clone(), ..principal("x", "x", Some(1e9)) })
        };
        assert!(is_disabled(&eve) && !is_disabled(&ada));
        // Read before eve was enabled and ada disabled, and come behind both.
        let turn = held.turn();
        held.disable(&eve, false);
        held.disable(&ada, true);
        assert!(!held.settle_all(turn, std::slice::from_ref(&eve)));
        assert!(!is_disabled(&eve) && is_disabled(&ada));
        held.settle_all(held.turn(), &[]);
        assert!(!is_disabled(&ada));
    }
}
