//! How one user reaches a server, also one that is down or sends users away: with the waits of the client of this
//! repository.

use std::{fmt, time::Duration};

use anyhow::{Result, anyhow};
use tokio::time::{sleep, timeout};
use wireproof_client::{Backoff, ReconnectStep};

use crate::{
    dialect::{Dialect, Position},
    wire::Wire,
};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(20);

/// What a user connects with.
#[derive(Clone)]
pub struct Login {
    /// What the server speaks.
    pub dialect: Dialect,
    /// Host and port.
    pub address: String,
    /// The user's token.
    pub token: String,
    /// The user's number: 10,000 users share a local address.
    pub index: usize,
}

/// A handshake that was answered by something else than a WebSocket: the answer, as far as it came.
#[derive(Debug)]
pub struct Refused(pub String);

/// A connection, and how often the server sent the user away before.
pub struct Reached {
    /// It has had its welcome.
    pub wire: Wire,
    /// Refusals that said when to come back.
    pub sent_away: u64,
}

impl Login {
    /// A connection that has had its welcome.
    pub async fn connect(&self, position: Position) -> Result<Wire> {
        timeout(ATTEMPT, Wire::log_in(self, position)).await?
    }
}

/// Connects, and tries again as the client of this repository does; an error when that gives up.
pub async fn reach(login: &Login, position: &Position) -> Result<Reached> {
    let (backoff, mut sent_away, mut attempt) = (Backoff::default(), 0, 0);
    loop {
        let error = match login.connect(position.clone()).await {
            Ok(wire) => return Ok(Reached { wire, sent_away }),
            Err(error) => error,
        };
        let announced = error.downcast_ref::<Refused>().and_then(Refused::retry_after);
        sent_away += u64::from(announced.is_some());
        // Whole seconds would bring everybody who was told the same back in the same instant.
        let spread = Duration::from_secs(1).mul_f64(rand::random());
        match backoff.step(None, announced.map(|wait| wait + spread), attempt, rand::random()) {
            ReconnectStep::Wait(wait) => sleep(wait).await,
            ReconnectStep::GiveUp(why) => return Err(anyhow!("{why}; the last one: {error:#}")),
        }
        attempt += 1;
    }
}

impl Refused {
    /// The header `Retry-After`, in whole seconds.
    fn retry_after(&self) -> Option<Duration> {
        let mut headers = self.0.lines().filter_map(|line| line.split_once(':'));
        let (_, seconds) = headers.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
        Some(Duration::from_secs(seconds.trim().parse().ok()?))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the handshake was refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let refused = |head: &str| Refused(head.to_owned()).retry_after();
        let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(refused(busy), Some(Duration::from_secs(3)));
        assert_eq!(refused("HTTP/1.1 403 Forbidden\r\n\r\n"), None);
    }
}
