//! Reads the logs of users for their subscriptions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wireproof_protocol::{ErrorBody, ErrorCode, Position, ResumeReason, UserId};

use super::{
    encode, snapshot,
    start::{Next, Snapshot, Start, StartAt},
};
use crate::{
    limits::{Limits, rates::Rates},
    metrics::Metrics,
    store::{Page, Store, StoreError, in_time},
};

/// How long the store may take for the start of a connection, or for one page: a store that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the log read at a time.
pub const PAGE_BYTES: usize = 64 << 10;
/// Reads of the user that a snapshot counts as, besides the frame or the handshake that asked for it.
const SNAPSHOT_READS: u64 = 4;

/// The logs of users, with the limits of their readers.
pub struct LogReader {
    store: Arc<dyn Store>,
    rates: Arc<Rates>,
    pub(super) metrics: Arc<Metrics>,
    /// How long a reader may take nothing of what waits for it.
    pub(super) stall: Duration,
    /// How long the store may take for one answer.
    pub(super) patience: Duration,
    /// How many bytes a reader may fall behind.
    pub(super) hard_bytes: usize,
}

impl LogReader {
    /// Reads this store, within these limits.
    pub fn new(store: Arc<dyn Store>, limits: &Limits, rates: Arc<Rates>, metrics: Arc<Metrics>) -> Self {
        let stall = Duration::from_secs_f64(limits.stall_seconds);
        Self { store, rates, metrics, stall, patience: PATIENCE, hard_bytes: limits.queue_hard_bytes }
    }

    /// Finds where the events of a user start: at the head, or after a position that was requested. To miss
    /// nothing, a feed has to get commits before this call.
    pub async fn open(
        &self,
        user_id: &UserId,
        requested: Option<Result<Position, ErrorBody>>,
    ) -> Result<Start, StoreError> {
        in_time(self.patience, self.open_at(user_id, requested)).await
    }

    async fn open_at(
        &self,
        user_id: &UserId,
        requested: Option<Result<Position, ErrorBody>>,
    ) -> Result<Start, StoreError> {
        let position = requested.as_ref().and_then(|requested| requested.as_ref().ok()).copied();
        let opened = self.store.open(user_id, position, PAGE_BYTES).await?;
        let (head, active_runs) = (opened.head, opened.active_runs);
        let at = match requested {
            None => StartAt::Head,
            Some(Err(error)) => StartAt::Refused(error.into()),
            Some(Ok(position)) => self.start_after(user_id, position, head, opened.page).await?,
        };
        Ok(Start { head, active_runs, at })
    }

    async fn start_after(
        &self,
        user_id: &UserId,
        position: Position,
        head: Position,
        page: Option<Page>,
    ) -> Result<StartAt, StoreError> {
        if position.epoch != head.epoch {
            return self.requested_snapshot(user_id, ResumeReason::EpochChanged).await;
        }
        if position.seq > head.seq {
            let sentence =
                format!("The position {} is ahead of the log, which ends at {}.", position.seq, head.seq);
            let error = ErrorBody::new(ErrorCode::CursorAhead, sentence).detail("seq", head.seq);
            return Ok(StartAt::Refused(error.into()));
        }
        match page {
            Some(page) => Ok(StartAt::Replay(position.seq, page)),
            None => self.requested_snapshot(user_id, ResumeReason::TooOld).await,
        }
    }

    /// Reads a log on after a number.
    pub async fn read_on(&self, user_id: &UserId, after: u64) -> Result<Next, StoreError> {
        in_time(self.patience, async {
            match self.store.read(user_id, after, PAGE_BYTES).await {
                Ok(page) => Ok(Next::Page(page)),
                Err(StoreError::TooOld { .. }) => {
                    self.snapshot(user_id, ResumeReason::TooOld).await.map(Next::Snapshot)
                }
                Err(e) => Err(e),
            }
        })
        .await
    }

    /// A snapshot that a client's position brings about. It costs more than other reads, and counts as several besides
    /// the frame that asked for it.
    async fn requested_snapshot(
        &self,
        user_id: &UserId,
        reason: ResumeReason,
    ) -> Result<StartAt, StoreError> {
        if let Err(exceeded) = self.rates.more_reads(user_id, SNAPSHOT_READS, Instant::now()) {
            return Ok(StartAt::Refused(exceeded.into()));
        }
        self.snapshot(user_id, reason).await.map(StartAt::Snapshot)
    }

    async fn snapshot(&self, user_id: &UserId, reason: ResumeReason) -> Result<Snapshot, StoreError> {
        let (body, seq) = snapshot::take(&*self.store, user_id, reason).await?;
        // Some megabytes: not on the threads that serve everybody.
        let frame = tokio::task::spawn_blocking(move || encode(body, None)).await;
        let frame = frame.map_err(|e| StoreError::Backend(e.to_string()))?;
        Ok(Snapshot { reason, seq, frame })
    }
}
