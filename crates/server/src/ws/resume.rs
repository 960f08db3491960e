//! Where a connection's events begin: at the head, after a position, or with a snapshot in the place of a replay.

use std::time::Instant;

use bytes::Bytes;
use wireproof_protocol::{Epoch, ErrorBody, ErrorCode, Position, ResumeReason, UserId};

use super::opening::encode;
use crate::{
    app::Context,
    delivery::snapshot,
    error::Refusal,
    sabotage::Bug,
    store::{Page, Store, StoreError},
};

/// Bytes of the log read at a time.
pub const PAGE_BYTES: usize = 64 << 10;
/// Reads of the user that a snapshot counts as, besides the frame or the handshake that asked for it.
const SNAPSHOT_READS: u64 = 4;

/// A position as a client says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The number line.
    pub epoch: String,
    /// The last number seen.
    pub after: String,
}

/// Where the events begin.
#[derive(Debug)]
pub enum Beginning {
    /// At the head: there is nothing to replay.
    Head,
    /// After a position; the first page is read already.
    Replay(u64, Page),
    /// With the state.
    Snapshot(Snapshot),
    /// At the head, with a word on why not where it was asked.
    Refused(Refusal),
}

/// The state in the place of a replay, as it goes on the wire.
#[derive(Debug)]
pub struct Snapshot {
    /// Why the replay is not possible.
    pub reason: ResumeReason,
    /// The number of the log that the state is of.
    pub seq: u64,
    /// The frame.
    pub frame: Bytes,
}

/// What comes next of a log that is read on.
#[derive(Debug)]
pub enum Next {
    /// The next events.
    Page(Page),
    /// The next events are gone: the state in their place.
    Snapshot(Snapshot),
}

/// Reads the position that a client says.
pub fn parse(asked: &Asked) -> Result<Position, ErrorBody> {
    let invalid = |field: &str, sentence: &str| {
        ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", field)
    };
    let epoch: Epoch =
        asked.epoch.parse().map_err(|_| invalid("epoch", "The epoch must be 16 lower-case hex digits."))?;
    let digits = !asked.after.is_empty() && asked.after.bytes().all(|byte| byte.is_ascii_digit());
    let seq = asked.after.parse().ok().filter(|_| digits);
    let seq = seq.ok_or_else(|| invalid("after", "The field after must be a whole number from 0."))?;
    Ok(Position { epoch, seq })
}

/// Finds where the events begin for a position, given the head.
pub async fn begin(
    context: &Context,
    user_id: &UserId,
    head: Position,
    asked: Result<Position, ErrorBody>,
) -> Result<Beginning, StoreError> {
    let (store, bugs) = (&*context.store, &context.bugs);
    let position = match asked {
        Ok(position) => position,
        Err(error) => return Ok(Beginning::Refused(error.into())),
    };
    #[cfg(feature = "sabotage")]
    let log = log_of(context, user_id, head, position).await?;
    #[cfg(feature = "sabotage")]
    let (user_id, head) = (&log.0, log.1);
    if position.epoch != head.epoch && bugs.on(Bug::SilentGap) {
        return Ok(Beginning::Replay(head.seq, Page { events: Vec::new(), complete: true }));
    }
    if position.epoch != head.epoch && !bugs.on(Bug::StalePositionAccepted) {
        return asked_snapshot(context, user_id, ResumeReason::EpochChanged).await;
    }
    if position.seq > head.seq && !bugs.on(Bug::PositionAheadAccepted) {
        let sentence =
            format!("The position {} is ahead of the log, which ends at {}.", position.seq, head.seq);
        let error = ErrorBody::new(ErrorCode::CursorAhead, sentence).detail("seq", head.seq);
        return Ok(Beginning::Refused(error.into()));
    }
    let after = position.seq.saturating_sub(u64::from(bugs.on(Bug::DoubledOnResume)));
    match store.read(user_id, after, PAGE_BYTES).await {
        Ok(page) => Ok(Beginning::Replay(position.seq, page)),
        Err(StoreError::TooOld { .. }) => asked_snapshot(context, user_id, ResumeReason::TooOld).await,
        Err(e) => Err(e),
    }
}

/// Reads a log on after a number.
pub async fn read_on(context: &Context, user_id: &UserId, after: u64) -> Result<Next, StoreError> {
    match context.store.read(user_id, after, PAGE_BYTES).await {
        Ok(page) => Ok(Next::Page(page)),
        Err(StoreError::TooOld { .. }) => {
            take_snapshot(&*context.store, user_id, ResumeReason::TooOld).await.map(Next::Snapshot)
        }
        Err(e) => Err(e),
    }
}

/// A snapshot that a client's position brings about: it costs more than other reads, and counts as several besides the
/// frame that asked for it.
async fn asked_snapshot(
    context: &Context,
    user_id: &UserId,
    reason: ResumeReason,
) -> Result<Beginning, StoreError> {
    if let Err(exceeded) = context.rates.more_reads(user_id, SNAPSHOT_READS, Instant::now()) {
        return Ok(Beginning::Refused(exceeded.into()));
    }
    take_snapshot(&*context.store, user_id, reason).await.map(Beginning::Snapshot)
}

async fn take_snapshot(
    store: &dyn Store,
    user_id: &UserId,
    reason: ResumeReason,
) -> Result<Snapshot, StoreError> {
    let (body, seq) = snapshot::take(store, user_id, reason).await?;
    // Some megabytes: not on the threads that serve everybody.
    let frame = tokio::task::spawn_blocking(move || encode(body, None)).await;
    let frame = frame.map_err(|e| StoreError::Backend(e.to_string()))?;
    Ok(Snapshot { reason, seq, frame })
}

/// The user in whose log a position is, and where that ends: any log's, whoever asks.
#[cfg(feature = "sabotage")]
async fn log_of(
    context: &Context,
    user_id: &UserId,
    head: Position,
    position: Position,
) -> Result<(UserId, Position), StoreError> {
    if context.bugs.on(Bug::ForeignPositionServed) {
        for outbox in context.hub.connections_where(|_| true) {
            let other = outbox.principal().user_id.clone();
            let head = context.store.head(&other).await?;
            if head.epoch == position.epoch {
                return Ok((other, head));
            }
        }
    }
    Ok((user_id.clone(), head))
}
