//! The calls of the store: what changes something goes through the writer, what reads asks memory or a reading connection.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{ControlBody, Event, Message, Position, RunId, Thread, ThreadId, Timestamp, UserId};

use super::{Embedded, READ_TRIES, log, quota, records, retention, runs};
use crate::store::{
    Answer, FinishRun, FoundMessage, Lease, LeaseTerm, OpenedLog, Page, QuotaUse, RequestKey, Retention,
    RunRecord, StartRun, Started, Store, StoreError, ThreadChange, UserRecords, Window, Written,
};

/// Users that a sweep folds into the log with one commit.
const FOLD_STEP: usize = 64;
/// Users whose rows one transaction of a sweep may drop.
const RETAIN_STEP: usize = 1000;

#[async_trait]
impl Store for Embedded {
    async fn head(&self, user_id: &UserId) -> Result<Position, StoreError> {
        let epoch = self.epochs.of(user_id);
        if let Some(seq) = self.recent.head(user_id) {
            return Ok(Position { epoch, seq });
        }
        let (user, anew) = (user_id.clone(), self.recent.anew());
        let seq = self.query(move |connection| log::head(connection, &user)).await?;
        self.recent.keep(user_id, seq, anew);
        Ok(Position { epoch, seq })
    }

    async fn open(
        &self,
        user_id: &UserId,
        position: Option<Position>,
        max_bytes: usize,
    ) -> Result<OpenedLog, StoreError> {
        self.open_log(user_id, position, max_bytes).await
    }

    async fn read(&self, user_id: &UserId, after: u64, max_bytes: usize) -> Result<Page, StoreError> {
        for _ in 0..READ_TRIES {
            if let Some(page) = self.recent.read(user_id, after, max_bytes) {
                return Ok(page);
            }
            let user = user_id.clone();
            let mut page =
                self.query(move |connection| log::read(connection, &user, after, max_bytes)).await?;
            if !page.complete || self.recent.complete(user_id, after, max_bytes, &mut page) {
                return Ok(page);
            }
            // The tail was folded between the two looks: the log has it now.
        }
        Err(StoreError::Backend("the log did not hold still".to_owned()))
    }

    async fn start_run(
        &self,
        run: Arc<StartRun>,
        term: LeaseTerm,
    ) -> Result<Written<Answer<Started>>, StoreError> {
        self.append(move |tx| runs::start_run(tx, &run, term)).await
    }

    async fn append_events(
        &self,
        user_id: &UserId,
        lease: Option<Lease>,
        events: Arc<Vec<Event>>,
    ) -> Result<Written<u64>, StoreError> {
        let user = user_id.clone();
        self.append(move |tx| runs::append(tx, &user, lease, &events)).await
    }

    async fn finish_run(&self, finish: Arc<FinishRun>) -> Result<Written<u64>, StoreError> {
        self.append(move |tx| runs::finish_run(tx, &finish)).await
    }

    async fn change_thread(
        &self,
        user_id: &UserId,
        request: Option<RequestKey>,
        change: ThreadChange,
        now: Timestamp,
    ) -> Result<Written<Answer<Thread>>, StoreError> {
        let user = user_id.clone();
        self.append(move |tx| records::change_thread(tx, &user, request.as_ref(), &change, now)).await
    }

    async fn answered(
        &self,
        user_id: &UserId,
        request: &RequestKey,
    ) -> Result<Option<ControlBody>, StoreError> {
        let (user, request) = (user_id.clone(), request.clone());
        self.query(move |connection| match log::user_number(connection, &user)? {
            None => Ok(None),
            Some(number) => records::answered(connection, number, Some(&request)),
        })
        .await
    }

    async fn remember(
        &self,
        user_id: &UserId,
        request: RequestKey,
        answer: ControlBody,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let user = user_id.clone();
        self.write(move |tx| {
            let entry = tx.user(&user)?;
            match records::answered(tx.connection, entry.number, Some(&request))? {
                Some(_) => Ok(()),
                None => records::remember(tx, entry.number, Some(&request), &answer, now),
            }
        })
        .await
    }

    async fn quotas(&self, user_id: &UserId) -> Result<Vec<QuotaUse>, StoreError> {
        let (user, quota) = (user_id.clone(), self.quota.clone());
        self.query(move |connection| quota::of(connection, &user, &quota)).await
    }

    async fn threads(&self, user_id: &UserId, window: Window) -> Result<(Vec<Thread>, u64), StoreError> {
        let user = user_id.clone();
        self.query(move |connection| records::threads(connection, &user, window)).await
    }

    async fn thread(&self, user_id: &UserId, thread_id: &ThreadId) -> Result<Thread, StoreError> {
        let (user, thread_id) = (user_id.clone(), thread_id.clone());
        self.query(move |connection| Ok(records::thread(connection, &user, &thread_id)?.1)).await
    }

    async fn messages(
        &self,
        user_id: &UserId,
        thread_id: &ThreadId,
        limit: u64,
        offset: Option<u64>,
    ) -> Result<(Vec<Message>, u64, u64), StoreError> {
        let (user, thread_id) = (user_id.clone(), thread_id.clone());
        self.query(move |connection| records::messages(connection, &user, &thread_id, limit, offset)).await
    }

    async fn search(
        &self,
        user_id: &UserId,
        text: &str,
        limit: usize,
    ) -> Result<Vec<FoundMessage>, StoreError> {
        let (user, text) = (user_id.clone(), text.to_owned());
        let turn = self.readers.searches.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.query(move |connection| {
            // The search's own, as its place among the readers is: its caller may go away before it ends.
            let _turn = turn;
            records::search(connection, &user, &text, limit)
        })
        .await
    }

    async fn run(&self, user_id: &UserId, run_id: RunId) -> Result<RunRecord, StoreError> {
        let user = user_id.clone();
        self.query(move |connection| runs::run(connection, &user, run_id)).await
    }

    async fn active_runs(&self, user_id: Option<&UserId>) -> Result<Vec<RunRecord>, StoreError> {
        let user = user_id.cloned();
        self.query(move |connection| runs::active_runs(connection, user.as_ref())).await
    }

    async fn take_over_runs(
        &self,
        term: LeaseTerm,
        driven: &[RunId],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(RunRecord, Lease)>, StoreError> {
        let driven: HashSet<RunId> = driven.iter().copied().collect();
        self.write(move |tx| runs::take_over(tx, term, &driven, now, most)).await
    }

    async fn renew_leases(&self, term: LeaseTerm, runs: &[RunId]) -> Result<(), StoreError> {
        let runs = runs.to_vec();
        self.write(move |tx| {
            tx.leases.renew(term, &runs);
            Ok(())
        })
        .await
    }

    async fn records(
        &self,
        user_id: &UserId,
        threads: u64,
        messages: u64,
        bytes: usize,
    ) -> Result<UserRecords, StoreError> {
        let user = user_id.clone();
        self.query(move |connection| records::all(connection, &user, threads, messages, bytes)).await
    }

    async fn retain(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        // Those that wait now, a few with each commit; who comes meanwhile waits behind them.
        for _ in 0..self.recent.users().div_ceil(FOLD_STEP) {
            self.write(|tx| {
                tx.fold(FOLD_STEP);
                Ok(())
            })
            .await?;
        }
        let cuts = self.query(move |connection| retention::cuts(connection, retention, now)).await?;
        let mut gone = 0;
        for cuts in cuts.chunks(RETAIN_STEP) {
            let cuts = Arc::<[_]>::from(cuts);
            gone += self.in_steps(move |tx| retention::drop_before(tx, &cuts)).await?;
        }
        let oldest = now - retention.seconds;
        let users = self.query(move |connection| retention::with_old_requests(connection, oldest)).await?;
        for users in users.chunks(RETAIN_STEP) {
            let users = Arc::<[_]>::from(users);
            self.in_steps(move |tx| retention::forget_requests(tx, &users, oldest)).await?;
        }
        self.in_steps(move |tx| retention::forget_ended(tx, now)).await?;
        self.write(|tx| {
            tx.erase();
            Ok(())
        })
        .await?;
        Ok(gone)
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    async fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The writer ends once the last job is committed.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.readers.permits.close();
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
