//! Waiting for a store that is away, or for one answer of it, up to a bound.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::StoreError;

/// The pause behind the first try.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
pub const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How long a store may take for an answer where nothing else says it; for a write, behind the time that it may be away.
pub const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// Makes a call again while the store is away, for `longest` at most and not once `stop` is cancelled. A call that is made
/// again must be one that the store carries out once. A call that is not answered is waited for, and not made again while it
/// is under way: the caller bounds that.
pub async fn while_away<T, F>(
    longest: Duration,
    stop: &CancellationToken,
    mut call: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (until, mut pause) = (Instant::now() + longest, FIRST_PAUSE);
    loop {
        let away = match call().await {
            Err(away @ StoreError::Unavailable(_)) => away,
            answered => return answered,
        };
        if stop.is_cancelled() || Instant::now() + pause > until {
            return Err(away);
        }
        tracing::warn!(error = %away, "the store is away: trying again");
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (2 * pause).min(LAST_PAUSE);
    }
}

/// The answer of a call; one that takes longer counts as that of a store that is away.
pub async fn in_time<T>(
    longest: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(longest, call).await.unwrap_or_else(|_| Err(no_answer(longest)))
}

/// What a call that took longer counts as.
pub fn no_answer(longest: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {} s", longest.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_as_long_as_it_may_and_no_longer() {
        let stop = CancellationToken::new();
        let answer_at = |good: u32| {
            let mut calls = 0;
            move || {
                calls += 1;
                let answer = if calls == good { Ok(calls) } else { Err(StoreError::Unavailable("x".into())) };
                async move { answer }
            }
        };
        let longest = Duration::from_millis(350);
        assert_eq!(while_away(longest, &stop, answer_at(3)).await.ok(), Some(3));
        assert!(while_away(longest, &stop, answer_at(1000)).await.is_err());
        stop.cancel();
        assert!(while_away(longest, &stop, answer_at(2)).await.is_err(), "a drain does not wait");
    }
}
