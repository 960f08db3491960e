//! When to connect again, and when to stop trying. Pure: the attempt and the random number come from outside.

use std::time::Duration;

use wireproof_protocol::CloseCode;

/// How patiently a client comes back: exponential backoff with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first attempt; it doubles with each further one.
    pub first: Duration,
    /// The longest wait before any attempt.
    pub most: Duration,
    /// Attempts in a row that may fail; 0 means that the client never comes back by itself.
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), most: Duration::from_secs(15), attempts: 12 }
    }
}

/// What to do after a connection ended or an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectStep {
    /// Connect again after this time.
    Wait(Duration),
    /// Do not connect again.
    GiveUp(GiveUp),
}

/// Why a client does not connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// The close code says that another attempt would end the same.
    #[error("close code {0} says not to come back")]
    Told(u16),
    /// The server refuses the handshake with this HTTP status.
    #[error("HTTP {0} says not to come back")]
    Refused(u16),
    /// As many attempts failed in a row as were allowed.
    #[error("{0} attempts to reconnect failed")]
    Attempts(u32),
}

impl Backoff {
    /// No second connection: the first loss ends the client.
    pub fn never() -> Self {
        Self { attempts: 0, ..Self::default() }
    }

    /// The next step before attempt number `attempt` (from 0) since the last connection that stood.
    /// `closed` is the close code if one came, `announced` the wait that the server asked for, and `random` lies in
    /// `0.0..1.0`.
    pub fn step(
        &self,
        closed: Option<u16>,
        announced: Option<Duration>,
        attempt: u32,
        random: f64,
    ) -> ReconnectStep {
        if let Some(code) = closed.filter(|code| !CloseCode::should_reconnect(*code)) {
            return ReconnectStep::GiveUp(GiveUp::Told(code));
        }
        if attempt >= self.attempts {
            return ReconnectStep::GiveUp(GiveUp::Attempts(self.attempts));
        }
        // The server spreads its announcements over its clients: a jitter on top would only make them wait longer.
        ReconnectStep::Wait(
            announced.unwrap_or_else(|| self.ceiling(attempt).mul_f64(random.clamp(0.0, 1.0))),
        )
    }

    /// The longest wait before attempt number `attempt`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).unwrap_or(self.most).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backoff() -> impl Strategy<Value = Backoff> {
        (1u64..10_000, 1u64..100_000, 1u32..100).prop_map(|(first, most, attempts)| Backoff {
            first: Duration::from_millis(first),
            most: Duration::from_millis(most),
            attempts,
        })
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_ceiling_and_the_ceiling_within_the_most(
            backoff in backoff(), attempt in 0u32..200, random in 0.0f64..1.0,
        ) {
            prop_assert!(backoff.ceiling(attempt) <= backoff.most);
            prop_assert!(backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1));
            match backoff.step(None, None, attempt, random) {
                ReconnectStep::Wait(wait) => {
                    prop_assert!(attempt < backoff.attempts);
                    prop_assert!(wait <= backoff.ceiling(attempt));
                }
                ReconnectStep::GiveUp(why) => {
                    prop_assert!(attempt >= backoff.attempts);
                    prop_assert_eq!(why, GiveUp::Attempts(backoff.attempts));
                }
            }
        }

        #[test]
        fn the_server_has_the_last_word(
            backoff in backoff(), code in 1000u16..5000, announced in 0u64..60_000, random in 0.0f64..1.0,
        ) {
            let announced = Duration::from_millis(announced);
            let expected = match CloseCode::should_reconnect(code) {
                true => ReconnectStep::Wait(announced),
                false => ReconnectStep::GiveUp(GiveUp::Told(code)),
            };
            prop_assert_eq!(backoff.step(Some(code), Some(announced), 0, random), expected);
        }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_most() {
        let backoff = Backoff::default();
        let ceilings: Vec<_> = (0..9).map(|attempt| backoff.ceiling(attempt).as_millis()).collect();
        assert_eq!(ceilings, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
    }

    #[test]
    fn a_refusal_ends_at_once_and_a_restart_does_not() {
        let backoff = Backoff::default();
        assert_eq!(backoff.step(Some(1008), None, 0, 0.5), ReconnectStep::GiveUp(GiveUp::Told(1008)));
        assert_eq!(backoff.step(Some(1012), None, 0, 0.5), ReconnectStep::Wait(Duration::from_millis(100)));
        assert_eq!(Backoff::never().step(None, None, 0, 0.5), ReconnectStep::GiveUp(GiveUp::Attempts(0)));
    }
}
