//! Writing a store anew without its free space, while nobody has it open. The old file stays until the new one is whole.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    backup::{BackupProgress, Watch},
    erase, file, refusal,
};
use crate::{
    files::{self, Draft, PlaceError},
    store::OpenError,
};

/// Bytes that must be free beside those of the new file.
const SPARE_BYTES: u64 = 16 << 20;
/// Between two looks at how much is written.
const LOOK: Duration = Duration::from_millis(100);

/// Why a store was not compacted; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// There is nothing to compact.
    #[error("{path} holds no store")]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// The store cannot be used, or another process uses it.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The new file has no room beside the old one.
    #[error("{path} has {free} bytes free, and the new file needs up to {needed}")]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes that are free there.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The new file cannot be written or take the place of the old one.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refused.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// What a store took, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Writes the store of a folder anew, without free space and so that it gives space back by itself from now on. Errs
/// when a process has it open. Blocks for as long as it takes.
pub fn compact(data_dir: &Path, watch: Watch<'_>) -> Result<Compacted, CompactError> {
    let path = data_dir.join(file::STORE);
    let no_store = || CompactError::NoStore { path: data_dir.to_owned() };
    if !path.exists() {
        return Err(no_store());
    }
    let _lock = file::lock(data_dir)?;
    if !file::check(&path)? {
        return Err(no_store());
    }
    let database = |source| CompactError::Database { path: path.clone(), source };
    let (store, _) = file::open(&path)?;
    erase::erase_all(&store).map_err(|e| refusal::of_store(&path, e))?;
    fold_log(&store).map_err(database)?;
    let before = size(&path);
    let needed = used_bytes(&store).map_err(database)?;
    check_room(data_dir, needed)?;
    let draft = Draft::private(&path)?;
    files::make_private(draft.file(), draft.path())
        .map_err(|source| CompactError::Io { path: draft.path().to_owned(), source })?;
    rewrite(store, draft.path(), needed, watch)
        .and_then(|store| finish(draft.path()).map(|()| store))
        .and_then(|store| store.close().map_err(|(_, e)| e))
        .map_err(database)?;
    // A log that is left would be played into the new file.
    if let Some((log, _)) = file::write_ahead_log(&path) {
        return Err(OpenError::InUse { path: log }.into());
    }
    draft.place(true)?;
    Ok(Compacted { before, after: size(&path) })
}

/// Puts what the write-ahead log holds into its place.
fn fold_log(store: &Connection) -> rusqlite::Result<()> {
    store.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
}

fn used_bytes(store: &Connection) -> rusqlite::Result<u64> {
    let pages = |pragma: &str| store.query_row(pragma, [], |row| row.get::<_, i64>(0));
    Ok((pages("PRAGMA page_count")? - pages("PRAGMA freelist_count")?) as u64 * file::PAGE_BYTES)
}

fn check_room(data_dir: &Path, bytes: u64) -> Result<(), CompactError> {
    let found = rustix::fs::statvfs(data_dir)
        .map_err(|e| CompactError::Io { path: data_dir.to_owned(), source: e.into() })?;
    let (free, needed) = (found.f_bavail * found.f_frsize, bytes + SPARE_BYTES);
    match free >= needed {
        true => Ok(()),
        false => Err(CompactError::NoRoom { path: data_dir.to_owned(), free, needed }),
    }
}

/// Writes everything to the draft, in a thread of its own, so that it can be told how far it is.
fn rewrite(store: Connection, draft: &Path, all: u64, watch: Watch<'_>) -> rusqlite::Result<Connection> {
    let (told, done) = mpsc::channel();
    let to = draft.to_string_lossy().into_owned();
    std::thread::spawn(move || {
        let written = store
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .and_then(|()| store.execute("VACUUM INTO ?1", [to]));
        // Whoever waits is there until it is told.
        let _ = told.send(written.map(|_| store));
    });
    loop {
        match done.recv_timeout(LOOK) {
            Ok(written) => return written,
            Err(RecvTimeoutError::Timeout) => watch(BackupProgress::Copied(size(draft).min(all), all)),
            Err(RecvTimeoutError::Disconnected) => return Err(rusqlite::Error::InvalidQuery),
        }
    }
}

/// Looks through the new file, and makes it one with a write-ahead log, as every store.
fn finish(draft: &Path) -> rusqlite::Result<()> {
    let new = Connection::open(draft)?;
    let verdict: String = new.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(rusqlite::Error::ToSqlConversionFailure(format!("the new file: {verdict}").into()));
    }
    new.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    new.close().map_err(|(_, e)| e)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
