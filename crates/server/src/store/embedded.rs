//! The embedded store: SQLite with one writer thread that commits many appends at once, and readers beside it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{Epoch, UserId};

use crate::{config::QuotaConfig, metrics::CommitMetrics};

use super::{OpenError, StoreError, Written};

mod accounts;
pub mod backup;
mod backup_trailer;
mod calls;
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
mod replies;
pub mod restore;
mod retention;
mod runs;
mod schema;
mod verify;
mod wal;
mod writer;

use recent::Recent;
use replies::ReplyTasks;
use writer::{Call, Job, Tx};

/// Jobs that may wait for the writer thread; a full queue makes callers wait.
const QUEUE: usize = 4096;
/// How often a reader looks again when the tail was folded under its eyes.
const READ_TRIES: usize = 10;
/// Reading connections at once.
const READERS: usize = 4;

/// A store in one SQLite file.
pub struct Embedded {
    path: PathBuf,
    epochs: Arc<Epochs>,
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    replies: ReplyTasks,
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
            replies: ReplyTasks::default(),
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
        jobs.send(Box::new(Call::new(work, reply, self.replies.here())))
            .await
            .map_err(|_| StoreError::Failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

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

    /// A transaction larger than the page cache wrote to the log before its commit, and a kill in the middle was told as a
    /// damaged log, with new epochs for everybody.
    #[test]
    fn nothing_is_written_before_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::STORE);
        let (connection, _) = file::open(&path).unwrap();
        let log = || std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
        let before = log();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..40 {
            let row = (0.0, vec![7_u8; 200_000]);
            connection.execute("INSERT INTO tail (created_at, chunks) VALUES (?1, ?2)", row).unwrap();
        }
        assert_eq!(log(), before);
        connection.execute_batch("COMMIT").unwrap();
        assert!(log() > before + 8_000_000);
    }

    /// A statement over a table with a partial index was prepared anew with each value that was bound to it.
    #[test]
    fn a_statement_is_prepared_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::STORE);
        let (writer, _) = file::open(&path).unwrap();
        let reader = file::open_reader(&path).unwrap();
        for connection in [&writer, &reader] {
            let mut statement =
                connection.prepare("SELECT outcome FROM runs WHERE run_id = ?1 AND user = ?2").unwrap();
            for number in 0..5_i64 {
                assert!(!statement.exists((number.to_le_bytes(), number)).unwrap());
            }
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
        }
    }

    /// The writer's answers went through the runtime that the store was opened in: callers in another one waited for it.
    #[test]
    fn a_caller_is_answered_in_its_own_runtime() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (folder, first, second) = (tempfile::tempdir().unwrap(), runtime(), runtime());
        let store = first.block_on(async { Embedded::open(folder.path()).unwrap() });
        let write = async || {
            let written = store.write(|_| Ok(7));
            tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("no answer")
        };
        assert_eq!(first.block_on(write()).unwrap(), 7);
        assert_eq!(second.block_on(write()).unwrap(), 7, "while the first does nothing");
        drop(first);
        assert_eq!(second.block_on(write()).unwrap(), 7, "once the first is gone");
        second.block_on(store.close());
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
