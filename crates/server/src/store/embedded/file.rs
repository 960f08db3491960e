//! The file: whose it is, whether it is sound, its shape and its settings.

use std::{
    fs::{File, TryLockError},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::{refusal, schema, wal};
use crate::{
    files::{self, sync_folder},
    store::{OpenError, StoreError},
};

/// `wprf`: marks a SQLite file as ours (offset 68 of the header).
const APPLICATION_ID: i32 = 0x7770_7266;
/// The store's name in its folder.
pub const STORE: &str = "wireproof.db";
/// What SQLite takes for a new file.
pub const PAGE_BYTES: u64 = 4096;
/// Files up to this size are checked page by page at every start, larger ones only by their shape.
const FULL_CHECK_BYTES: u64 = 64 << 20;
/// The write-ahead log is cut to this when it begins anew.
const LOG_BYTES: i64 = 64 << 20;
/// KiB of pages in the memory of the writer: SQLite looks through all of them at a commit that moved pages.
const WRITER_CACHE_KIB: i32 = 2_000;
/// KiB of pages in the memory of each reader.
const READER_CACHE_KIB: i32 = 256;
const LOCK: &str = "wireproof.lock";
/// How long a start tries to take the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Between two of its tries.
const LOCK_LOOK: Duration = Duration::from_millis(5);
pub const MIGRATIONS: [&str; 4] = [
    include_str!("../../../migrations/0001_initial.sql"),
    include_str!("../../../migrations/0002_accounts.sql"),
    include_str!("../../../migrations/0003_thread_names.sql"),
    include_str!("../../../migrations/0004_quotas.sql"),
];

/// The schema of this version.
pub fn known_schema() -> i64 {
    MIGRATIONS.len() as i64
}

/// Takes the folder for this process, until the file is dropped.
pub fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    files::private_folder(data_dir).map_err(io(data_dir))?;
    let path = data_dir.join(LOCK);
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(files::PRIVATE);
    let no_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = options.custom_flags(no_links).open(&path).map_err(io(&path))?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Whoever looks whether it is held holds it for a moment.
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_LOOK),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: data_dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
        }
    }
    files::make_private(&file, &path).map_err(io(&path))?;
    files::tighten(data_dir).map_err(io(data_dir))?;
    Ok(file)
}

/// True when a process has taken the folder; takes nothing and makes nothing.
pub fn is_held(data_dir: &Path) -> std::io::Result<bool> {
    let file = match File::open(data_dir.join(LOCK)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// True when another program has the file locked so that a start could not read or write it: asks for the locks of SQLite,
/// and takes none. False for what is not there.
pub fn is_locked(path: &Path) -> std::io::Result<bool> {
    // The lock of the whole file, and that of who writes the log.
    let places = [(path.to_owned(), 0x4000_0000, 512), (path.with_extension("db-shm"), 120, 1)];
    for (path, start, length) in places {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let wanted = Flock { start, length, ..FlockType::ReadLock.into() };
        if fcntl_getlk(&file, &wanted)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens or makes the file; returns the writing connection and the seed of the epochs.
pub fn open(path: &Path) -> Result<(Connection, String), OpenError> {
    if !check(path)? {
        check_no_log(path)?;
        create(path)?;
    }
    let refused = |e: rusqlite::Error| refusal::of(path, &e);
    // Before anything is written, which would cover it.
    let lost = wal::lost(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let mut connection = Connection::open(path).map_err(refused)?;
    // SQLite opens a file that it cannot write for reading only, and every write would fail.
    if connection.is_readonly("main").map_err(refused)? {
        let reason = "its permissions let it be read only".to_owned();
        return Err(OpenError::ReadOnly { path: path.to_owned(), reason });
    }
    configure(&connection).map_err(refused)?;
    migrate(&mut connection, path)?;
    if let Some(lost) = lost {
        lost.begin_anew(&connection).map_err(refused)?;
    }
    let seed = connection
        .query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))
        .map_err(refused)?;
    Ok((connection, seed))
}

/// Makes a whole store beside its place and moves it in: two syncs in place of a dozen, and never half a store.
fn create(path: &Path) -> Result<(), OpenError> {
    let draft = path.with_extension("draft");
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    match std::fs::remove_file(&draft) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    // What SQLite puts beside a file has the file's mode: nobody else reads what users wrote.
    files::create_private(&draft).map_err(io)?;
    let fill = || -> rusqlite::Result<()> {
        let connection = Connection::open(&draft)?;
        connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        // Must be said before the first table: later only a rewrite of the whole file can change it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.execute_batch("BEGIN")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        for migration in MIGRATIONS {
            connection.execute_batch(migration)?;
        }
        let seed = format!("{:032x}", rand::random::<u128>());
        connection.execute("INSERT INTO meta VALUES ('epoch', ?1)", [seed])?;
        connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
        connection.execute_batch("COMMIT")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.close().map_err(|(_, e)| e)
    };
    fill().map_err(|e| refusal::of(path, &e))?;
    File::open(&draft).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&draft, path).map_err(io)?;
    sync_folder(path).map_err(io)
}

/// A connection that only reads.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    configure_statements(&connection, 32)?;
    Ok(connection)
}

/// A connection to a file that nobody writes: no lock and no log is made beside it.
pub fn open_still(path: &Path) -> rusqlite::Result<Connection> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let escaped: String = bytes
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                char::from(*byte).to_string()
            }
            other => format!("%{other:02x}"),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// True for the header of a store, and of a backup of one.
pub fn is_ours(header: &[u8; 100]) -> bool {
    &header[..16] == b"SQLite format 3\0" && header[68..72] == APPLICATION_ID.to_be_bytes()
}

/// The schema that a header names.
pub fn schema_in(header: &[u8; 100]) -> i64 {
    i64::from(i32::from_be_bytes([header[60], header[61], header[62], header[63]]))
}

/// True when the file is there, ours and sound; false when it is not there. Never writes to it.
pub fn check(path: &Path) -> Result<bool, OpenError> {
    check_with(path, |path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY))
}

/// The same by a connection that is opened in another way.
pub fn check_with(
    path: &Path,
    open: impl Fn(&Path) -> rusqlite::Result<Connection>,
) -> Result<bool, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
    };
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let size = file.metadata().map_err(io)?.len();
    if size == 0 {
        // A process that died between making the file and writing to it.
        return Ok(false);
    }
    let mut header = [0; 100];
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    file.read_exact(&mut header).map_err(|_| foreign())?;
    if !is_ours(&header) {
        return Err(foreign());
    }
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    if size % PAGE_BYTES != 0 && write_ahead_log(path).is_none() {
        // SQLite would read zeros where the end is missing. Beside a log the last page may be one being folded in.
        return Err(damaged("its last page is cut short".to_owned()));
    }
    let refused = |e: rusqlite::Error| refusal::of(path, &e);
    let connection = open(path).map_err(refused)?;
    // Here, where nothing can be written: a connection that may write folds the log in when it is closed.
    let (found, known) = (schema::version(&connection).map_err(refused)?, known_schema());
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    // Before any of it is used: what stands in a schema can run with each read and write.
    if let Some(what) = schema::difference(&connection, found).map_err(refused)? {
        return Err(OpenError::Altered { path: path.to_owned(), what });
    }
    let full = size <= FULL_CHECK_BYTES;
    let check = if full { "PRAGMA quick_check(1)" } else { "SELECT 'ok' FROM sqlite_schema LIMIT 1" };
    let verdict: String = connection.query_row(check, [], |row| row.get(0)).map_err(refused)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    Ok(true)
}

/// A write-ahead log whose store is gone would be played into the new one.
fn check_no_log(path: &Path) -> Result<(), OpenError> {
    let reason = "the store it belongs to is gone or empty".to_owned();
    write_ahead_log(path).map_or(Ok(()), |(path, _)| Err(OpenError::Damaged { path, reason }))
}

/// The write-ahead log beside a store and its size, if it holds anything.
pub fn write_ahead_log(path: &Path) -> Option<(PathBuf, u64)> {
    let log = path.with_extension("db-wal");
    let bytes = std::fs::metadata(&log).ok()?.len();
    (bytes > 0).then_some((log, bytes))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // A page that is written to the log before its commit may be written again in its place, and the sums behind it later: a
    // crash between the two looks like a damaged log.
    connection.pragma_update(None, "cache_spill", false)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    // While a backup reads, the log cannot be begun anew and grows; what it took is given back afterwards.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    configure_statements(connection, 64)
}

/// Bounds the cache of prepared statements, and has SQLite keep a statement's plan whatever values are bound: else it prepares
/// some of them anew with each value.
fn configure_statements(connection: &Connection, statements: usize) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(statements);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Brings a store of an earlier version to this one's shape, all or nothing.
pub fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let refused = |e: rusqlite::Error| refusal::of(path, &e);
    let found = schema::version(connection).map_err(refused)?;
    let known = MIGRATIONS.len() as i64;
    let Some(missing) = MIGRATIONS.get(found.max(0) as usize..).filter(|missing| !missing.is_empty()) else {
        return Ok(());
    };
    let transaction = connection.transaction().map_err(refused)?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(refused)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(refused)?;
    transaction.commit().map_err(refused)
}
