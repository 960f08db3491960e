//! The embedded store: SQLite with one writer thread that commits many appends at once, and readers beside it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{
    ControlBody, Epoch, Event, Message, Position, RunId, Thread, ThreadId, Timestamp, UserId,
};

use crate::{config::QuotaConfig, metrics::CommitMetrics};

use super::{
    Answer, FinishRun, FoundMessage, Lease, LeaseTerm, OpenError, OpenedLog, Page, QuotaUse, RequestKey,
    Retention, RunRecord, StartRun, Started, Store, StoreError, ThreadChange, UserRecords, Window, Written,
};

mod accounts;
pub mod backup;
mod backup_trailer;
pub mod compact;
mod erase;
mod file;
mod fold;
pub mod inspect;
mod leases;
mod log;
mod open_log;
mod quota;
mod recent;
mod records;
mod refusal;
pub mod restore;
mod retention;
mod runs;
mod schema;
mod verify;
mod wal;
mod writer;

use recent::Recent;
use writer::{Call, Job, Tx};

/// Jobs that may wait for the writer thread; a full queue makes callers wait.
const QUEUE: usize = 4096;
/// How often a reader looks again when the tail was folded under its eyes.
const READ_TRIES: usize = 10;
/// Users that a sweep folds into the log with one commit.
const FOLD_STEP: usize = 64;
/// Users whose rows one transaction of a sweep may drop.
const RETAIN_STEP: usize = 1000;
/// Reading connections at once.
const READERS: usize = 4;

/// A store in one SQLite file.
pub struct Embedded {
    path: PathBuf,
    epochs: Arc<Epochs>,
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    recent: Arc<Recent>,
    readers: Arc<Readers>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    quota: QuotaConfig,
    ended: CancellationToken,
    _lock: std::fs::File,
}

/// The number lines of the users' logs: derived, so that connecting writes nothing.
struct Epochs {
    seed: String,
}

impl Epochs {
    fn of(&self, user_id: &UserId) -> Epoch {
        let digest = Sha256::new().chain_update(&self.seed).chain_update(user_id.as_str()).finalize();
        let mut number = [0; 8];
        number.copy_from_slice(&digest[..8]);
        Epoch::new(u64::from_be_bytes(number))
    }
}

struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    /// Searches read much: they take turns, so that readers are left for others.
    searches: Arc<Semaphore>,
}

impl Embedded {
    /// Opens or makes the store in a folder. Blocks for some file I/O.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_counted(data_dir, CommitMetrics::default(), QuotaConfig::default())
    }

    /// The same, with what is counted of the commits and what users may keep.
    pub fn open_counted(
        data_dir: &Path,
        metrics: CommitMetrics,
        quota: QuotaConfig,
    ) -> Result<Self, OpenError> {
        let path = data_dir.join(file::STORE);
        let lock = file::lock(data_dir)?;
        restore::apply(data_dir)?;
        let (connection, seed) = file::open(&path)?;
        let epochs = Arc::new(Epochs { seed });
        metrics.measure_files(vec![path.clone(), path.with_extension("db-wal")]);
        let recent = Arc::new(Recent::default());
        let (jobs, queue) = mpsc::channel(QUEUE);
        // What the last process left in the tail goes to its place before anybody reads.
        fold::left_over(&connection).map_err(|e| refusal::of_store(&path, e))?;
        let writer = writer::Writer::new(connection, recent.clone(), epochs.clone(), metrics, quota.clone())
            .map_err(|e| refusal::of_store(&path, e))?;
        let ended = CancellationToken::new();
        let on_end = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name("wireproof-store".to_owned())
            .spawn(move || {
                let _on_end = on_end;
                writer.run(queue);
            })
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self {
            path,
            epochs,
            jobs: Mutex::new(Some(jobs)),
            recent,
            readers: Arc::new(Readers {
                idle: Mutex::new(Vec::new()),
                permits: Arc::new(Semaphore::new(READERS)),
                searches: Arc::new(Semaphore::new(1)),
            }),
            thread: Mutex::new(Some(thread)),
            quota,
            ended,
            _lock: lock,
        })
    }

    /// True when a process holds the store of a folder, this one included.
    pub fn is_held(data_dir: &Path) -> std::io::Result<bool> {
        file::is_held(data_dir)
    }

    /// Runs a piece of work in the writer's next transaction and waits until it is durable.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.append(work).await.map(|written| written.value)
    }

    /// The same for work that may append to a log.
    async fn append<T, F>(&self, work: F) -> Result<Written<T>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let jobs =
            self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        // Whoever closes the store has its writer carry out what was asked for before.
        jobs.send(Box::new(Call::new(work, reply))).await.map_err(|_| StoreError::Failed)?;
        drop(jobs);
        answer.await.map_err(|_| StoreError::Failed)?
    }

    /// Repeats a step, each time in another transaction, until it is complete. Returns how many rows went.
    async fn in_steps<F>(&self, step: F) -> Result<u64, StoreError>
    where
        F: Fn(&mut Tx<'_>) -> Result<retention::RetentionStep, StoreError> + Clone + Send + 'static,
    {
        let mut gone = 0;
        loop {
            let done = self.write(step.clone()).await?;
            gone += done.rows;
            if done.complete {
                return Ok(gone);
            }
        }
    }

    /// Runs a query on a reading connection, off the async threads.
    async fn query<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = self.readers.clone();
        let path = self.path.clone();
        let permit = readers.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            // Held by the query, not by its caller, who may go away before it ends.
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => file::open_reader(&path)?,
            };
            let result = query(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
        .map_err(|e| StoreError::Backend(e.to_string()))?
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => StoreError::NotFound,
            other => match other.sqlite_error() {
                Some(code) => StoreError::Database { code: code.extended_code, reason: other.to_string() },
                None => StoreError::Backend(other.to_string()),
            },
        }
    }
}

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
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(RunRecord, Lease)>, StoreError> {
        self.write(move |tx| runs::take_over(tx, term, now, most)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: the turn of a search ended with its caller, so that each client that hung up and asked again had one more
    /// search running, up to all readers.
    #[tokio::test]
    async fn a_search_whose_caller_is_gone_keeps_its_turn_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path()).unwrap());
        let readers = store.readers.clone();
        let (locked, is_locked) = std::sync::mpsc::channel();
        let (unlock, may_unlock) = std::sync::mpsc::channel::<()>();
        let held = std::thread::spawn({
            let readers = readers.clone();
            move || {
                let _idle = readers.idle.lock().unwrap();
                locked.send(()).unwrap();
                // Ends when the test does, at the latest.
                let _ = may_unlock.recv();
            }
        });
        is_locked.recv().unwrap();
        let search = tokio::spawn({
            let store = store.clone();
            async move { store.search(&UserId::new("ada").unwrap(), "x", 1).await.map(drop) }
        });
        let until = async |what: &dyn Fn() -> bool| {
            let waited = async {
                while !what() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(10), waited).await.unwrap();
        };
        until(&|| readers.permits.available_permits() < READERS).await;
        search.abort();
        assert!(search.await.unwrap_err().is_cancelled());
        assert_eq!(readers.searches.available_permits(), 0, "the search goes on");
        drop(unlock);
        until(&|| readers.searches.available_permits() == 1).await;
        held.join().unwrap();
    }

    /// Whoever waits for a write when the writer dies gets an error, and so does everybody after; nobody waits for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_who_wait_for_a_dead_writer_get_an_error() {
        const WITHIN: std::time::Duration = std::time::Duration::from_secs(20);
        let within = async |end: CancellationToken| tokio::time::timeout(WITHIN, end.cancelled()).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path()).unwrap());
        assert!(!store.ended().is_cancelled());
        let writes = (0..50).map(|number| {
            let store = store.clone();
            let work = move |_: &mut Tx<'_>| match number {
                0 => panic!("the writer dies here"),
                _ => Ok(()),
            };
            tokio::spawn(async move { store.write(work).await })
        });
        for (number, write) in writes.collect::<Vec<_>>().into_iter().enumerate() {
            let answer = tokio::time::timeout(WITHIN, write).await.expect("a caller waits for ever").unwrap();
            let may_be_before = number > 0 && answer.is_ok();
            assert!(may_be_before || matches!(answer, Err(StoreError::Failed)), "{answer:?}");
        }
        within(store.ended()).await.expect("nobody is told");
        assert!(matches!(store.settle().await, Err(StoreError::Failed)));
        store.close().await;
        assert!(matches!(store.settle().await, Err(StoreError::Closed)));
    }
}
