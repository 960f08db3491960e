//! The one thread that writes: it drains its queue into one transaction, commits once, and answers everybody.

use std::{collections::HashMap, sync::Arc, time::Instant};

use rusqlite::Connection;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};
use wireproof_protocol::UserId;

use super::{
    Epochs, erase, fold,
    leases::Leases,
    quota::{self, UsageChange},
    recent::Recent,
    replies::{self, Replies},
};
use crate::{
    config::QuotaConfig,
    metrics::CommitMetrics,
    store::{Committed, StoreError, Written},
};

mod tx;

pub use tx::{Tx, UserEntry};

/// Most jobs in one transaction: bounds how long the first waits for the last.
const BATCH: usize = 1024;
/// Bytes of events in the tail above which each commit folds some users into the log.
const TAIL_BYTES: usize = 4 << 20;
/// Users folded with a commit for each time that the tail exceeds its bytes.
const FOLDED: usize = 4;
/// Users cached by the writer; beyond this number the cache starts anew.
const USERS: usize = 200_000;

/// A piece of work for the writer.
pub trait Job: Send {
    /// Does the work inside a transaction. A refusal must have changed nothing; an error of the database rolls all back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Tells the caller: the work's own result with what the caller is to publish, or why the commit failed.
    fn reply(self: Box<Self>, committed: Result<Option<Committed>, StoreError>);
    /// The task that replies once it is durable; none: whoever writes.
    fn replies(&self) -> Option<&Replies>;
}

/// A job made of a closure and the caller's end of a channel.
pub struct Call<F, T> {
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<Written<T>, StoreError>>,
    replies: Option<Replies>,
}

impl<F, T> Call<F, T> {
    pub fn new(
        work: F,
        reply: oneshot::Sender<Result<Written<T>, StoreError>>,
        replies: Option<Replies>,
    ) -> Self {
        Self { work, result: None, reply, replies }
    }
}

impl<F, T: Send> Job for Call<F, T>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let result = (self.work)(tx);
        let failed = match &result {
            Err(e @ (StoreError::Database { .. } | StoreError::Backend(_))) => Err(e.clone()),
            _ => Ok(()),
        };
        self.result = Some(result);
        failed
    }

    fn reply(self: Box<Self>, committed: Result<Option<Committed>, StoreError>) {
        let Self { result, reply, .. } = *self;
        let result = committed.and_then(|committed| {
            Ok(Written { value: result.unwrap_or(Err(StoreError::Closed))?, committed })
        });
        // A caller that went away needs no answer.
        let _ = reply.send(result);
    }

    fn replies(&self) -> Option<&Replies> {
        self.replies.as_ref()
    }
}

/// The thread's own state.
pub struct Writer {
    connection: Connection,
    users: HashMap<UserId, UserEntry>,
    leases: Leases,
    recent: Arc<Recent>,
    epochs: Arc<Epochs>,
    metrics: CommitMetrics,
    quota: QuotaConfig,
    /// Something that was deleted may still be there.
    erasing: bool,
    /// The last step of that removed something.
    erased: bool,
}

impl Writer {
    pub fn new(
        connection: Connection,
        recent: Arc<Recent>,
        epochs: Arc<Epochs>,
        metrics: CommitMetrics,
        quota: QuotaConfig,
    ) -> Result<Self, StoreError> {
        quota::measure(&metrics, quota::total(&connection)?);
        // The last process may have left something that was deleted.
        Ok(Self {
            connection,
            users: HashMap::new(),
            leases: Leases::default(),
            recent,
            epochs,
            metrics,
            quota,
            erasing: true,
            erased: false,
        })
    }

    /// Works until the last sender of jobs is gone.
    pub fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        loop {
            // While there is something to erase, it is done between the jobs.
            let first = match self.erasing {
                true => queue.try_recv(),
                false => queue.blocking_recv().ok_or(TryRecvError::Disconnected),
            };
            match first {
                Ok(job) => batch.push(job),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            while batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            if !batch.is_empty() {
                self.write_batch(&mut batch);
            }
            if self.erasing {
                self.erase_some();
            }
        }
        if let Err(e) =
            self.connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
        {
            tracing::warn!(error = %e, "the store could not fold its write-ahead log in; the next start will");
        }
    }

    /// One small transaction of removing what was deleted. What fails is tried again at the next deletion or retention.
    fn erase_some(&mut self) {
        let erased = self.connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
        let erased = erased.and_then(|()| erase::step(&self.connection)).and_then(|more| {
            self.connection.execute_batch("COMMIT")?;
            Ok(more)
        });
        let more = erased.unwrap_or_else(|e| {
            tracing::error!(error = %e, "what was deleted could not be removed from the file yet");
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            false
        });
        if self.erased && !more {
            // The file gets smaller when the write-ahead log is copied into it.
            let _ = self.connection.pragma_update_and_check(None, "wal_checkpoint", "PASSIVE", |_| Ok(()));
        }
        (self.erasing, self.erased) = (more, more);
    }

    fn write_batch(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        match self.commit(batch) {
            Ok(Durable { mut rows, owners }) => {
                let mut committed = |owned| match owned {
                    Owned::Nothing => None,
                    Owned::Row(row) => rows.get_mut(row).and_then(Option::take),
                    Owned::Again(again) => Some(*again),
                };
                let answered = batch.drain(..).zip(owners).map(|(job, owned)| (job, committed(owned)));
                replies::send(answered);
            }
            Err(e) if batch.len() == 1 => {
                tracing::error!(error = %e, "a write to the store failed");
                batch.drain(..).for_each(|job| job.reply(Err(e.clone())));
            }
            // One bad job must not fail its neighbours: each gets a transaction of its own.
            Err(_) => {
                for job in std::mem::take(batch) {
                    self.write_batch(&mut vec![job]);
                }
            }
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Durable, StoreError> {
        let result = self.transact(batch);
        if result.is_err() {
            self.metrics.failed();
            // The numbers given in memory were rolled back with the rows.
            self.users.clear();
            self.leases.take_back();
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
        }
        result
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Durable, StoreError> {
        if self.users.len() > USERS {
            self.users.clear();
        }
        let (began, jobs) = (Instant::now(), batch.len());
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut tx = Tx {
            connection: &self.connection,
            users: &mut self.users,
            recent: &self.recent,
            epochs: &self.epochs,
            rows: Vec::new(),
            row_of: HashMap::new(),
            fold: FOLDED * (self.recent.bytes() / TAIL_BYTES),
            quota: &self.quota,
            kept: UsageChange::default(),
            metrics: &self.metrics,
            erase: false,
            scratch: Vec::new(),
            leases: &mut self.leases,
            again: None,
        };
        let mut owners = Vec::with_capacity(jobs);
        for job in batch {
            let rows = tx.rows.len();
            job.run(&mut tx)?;
            // The first to append for a user answers for all that this commit appends for the user.
            owners.push(match tx.again.take() {
                Some(again) => Owned::Again(again),
                None if tx.rows.len() > rows => Owned::Row(rows),
                None => Owned::Nothing,
            });
        }
        let now = crate::clock::unix_now();
        let newest = tx.write_tail(now)?;
        let (rows, fold, kept, erase) = (tx.rows, tx.fold, tx.kept, tx.erase);
        let folded = if fold > 0 && self.fold(fold, newest)? { fold } else { 0 };
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        let stored_at = crate::clock::unix_now();
        self.leases.keep();
        quota::measure(&self.metrics, kept);
        self.erasing |= erase;
        self.metrics.seconds.observe(began.elapsed().as_secs_f64());
        self.metrics.jobs.observe(jobs as f64);
        if newest.is_some() {
            self.metrics.committed(rows.iter().map(|row| row.ends.len()).sum());
        }
        self.recent.folded(folded);
        let numbers: Vec<i64> = rows.iter().map(|row| row.number).collect();
        let rows: Vec<_> = rows.into_iter().map(|row| Some(row.into_committed(stored_at))).collect();
        if let Some(newest) = newest {
            self.recent.add(numbers.into_iter().zip(rows.iter().flatten()), newest, now);
        }
        Ok(Durable { rows, owners })
    }

    /// Folds some users; false when they cannot be: they stay in the tail, durable and readable, and nobody's commit
    /// fails for them.
    fn fold(&self, users: usize, newest: Option<i64>) -> Result<bool, StoreError> {
        self.connection.execute_batch("SAVEPOINT fold")?;
        let folded = fold::some(&self.connection, &self.recent, users, newest);
        if let Err(e) = &folded {
            tracing::error!(error = %e, "the tail of the logs could not be folded");
            self.connection.execute_batch("ROLLBACK TO fold")?;
        }
        self.connection.execute_batch("RELEASE fold")?;
        Ok(folded.is_ok())
    }
}

/// What a transaction made durable.
struct Durable {
    /// For each user, until it is handed to who publishes it.
    rows: Vec<Option<Committed>>,
    /// For each job, the row that it publishes.
    owners: Vec<Owned>,
}

/// What a job's caller publishes.
enum Owned {
    Nothing,
    Row(usize),
    Again(Box<Committed>),
}
