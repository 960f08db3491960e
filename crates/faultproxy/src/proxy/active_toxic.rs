//! A toxic in force for one direction of one connection, with its own random numbers: they depend on the seed, the
//! toxic, the connection and the direction, and on nothing that happens elsewhere. Pure.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::toxic::{Direction, Toxic, Trigger};

/// A toxic under its number.
#[derive(Debug, Clone)]
pub(crate) struct NumberedToxic {
    pub(crate) id: u64,
    pub(crate) toxic: Arc<Toxic>,
}

/// What is in force now.
pub(crate) type InForce = Arc<Vec<NumberedToxic>>;

/// Which stream of bytes is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) seed: u64,
    pub(crate) connection: u64,
    pub(crate) direction: Direction,
}

/// A toxic in force on one stream.
#[derive(Debug)]
pub(crate) struct ActiveToxic {
    pub(crate) id: u64,
    pub(crate) toxic: Arc<Toxic>,
    /// Since when it is in force here.
    pub(crate) since: Duration,
    /// Its trigger was met.
    pub(crate) open: bool,
    /// When it was met.
    pub(crate) opened: Duration,
    /// How many times it may still act.
    pub(crate) left: u64,
    /// Bytes that it has touched.
    pub(crate) touched: u64,
    pub(crate) random: SmallRng,
}

impl Stream {
    /// True when the toxic is meant for this connection.
    pub(crate) fn is_hit_by(self, numbered: &NumberedToxic) -> bool {
        let toxic = &numbered.toxic;
        let share =
            || SmallRng::seed_from_u64(mix(&[self.seed, numbered.id, self.connection])).random::<f64>();
        toxic.connections.include(self.connection) && (toxic.share >= 1.0 || share() < toxic.share)
    }

    /// The toxic for this direction; nothing when it is not meant.
    pub(crate) fn activate(self, numbered: &NumberedToxic, now: Duration) -> Option<ActiveToxic> {
        let (id, hit, toxic) = (numbered.id, self.is_hit_by(numbered), numbered.toxic.clone());
        let meant = toxic.direction.is_none_or(|only| only == self.direction);
        let seed = mix(&[self.seed, id, self.connection, 1 + self.direction as u64]);
        (meant && hit).then(|| ActiveToxic {
            id,
            since: now,
            open: false,
            opened: now,
            left: toxic.most(),
            touched: 0,
            random: SmallRng::seed_from_u64(seed),
            toxic,
        })
    }
}

impl ActiveToxic {
    /// When time alone opens it, if time does.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self.toxic.when {
            _ if self.open => None,
            Trigger::Now => Some(self.since),
            Trigger::AfterMs(ms) => Some(self.since + Duration::from_millis(ms)),
            _ => None,
        }
    }

    pub(crate) fn open(&mut self, now: Duration) {
        self.open = true;
        self.opened = now;
    }
}

/// Keeps what is still in force with all that it has counted, activates what is new, and gives what is not in force any
/// more.
pub(crate) fn update(
    active: &mut Vec<ActiveToxic>,
    in_force: &[NumberedToxic],
    activate: impl Fn(&NumberedToxic) -> Option<ActiveToxic>,
) -> Vec<ActiveToxic> {
    let (kept, gone) =
        std::mem::take(active).into_iter().partition(|old| in_force.iter().any(|toxic| toxic.id == old.id));
    *active = kept;
    for toxic in in_force {
        if active.iter().all(|old| old.id != toxic.id) {
            active.extend(activate(toxic));
        }
    }
    gone
}

/// One number from several, each bit of which depends on all of theirs (splitmix64).
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |mixed: u64, number| {
        let mut z = mixed.wrapping_add(*number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
