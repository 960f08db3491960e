//! Bringing a backup back. It is made ready beside the store, and takes its place when nobody has the store open: now,
//! or at the next start. Each step leaves a folder in which either the old store or the new one is opened, whole.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    backup::{BackupError, Contents, Watch},
    backup_trailer, file, refusal,
};
use crate::{
    files::{self, Draft},
    store::OpenError,
};

/// What waits for its turn, in the folder of the store.
const STAGED: &str = "wireproof.restore";
/// How long revocations of a restore are kept at most, in seconds: as long as `jwt.max_life_seconds` and `jwt.leeway_seconds`
/// can allow a token to live. The start shortens it to what they say.
const REVOKED_SECONDS: f64 = 1e9 + 360.0;

/// A store that was moved aside to make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Where the old store is, if there was one.
    pub aside: Option<PathBuf>,
}

/// Checks a backup and makes it ready in a store's folder; nothing is replaced yet. The restored store gets a new epoch.
/// Logins and tokens from before are refused once it is applied, unless `keep_sessions`. Returns what the backup holds.
pub fn stage(
    from: &Path,
    data_dir: &Path,
    keep_sessions: bool,
    watch: Watch<'_>,
) -> Result<Contents, BackupError> {
    let io = |path: &Path, source| BackupError::Io { path: path.to_owned(), source };
    // A pipe would have to be opened before it is seen that it is none.
    if !fs::metadata(from).map_err(|e| io(from, e))?.is_file() {
        return Err(BackupError::Foreign { path: from.to_owned() });
    }
    let mut source = File::open(from).map_err(|e| io(from, e))?;
    backup_trailer::check_header(from, &source)?;
    files::private_folder(data_dir).map_err(|e| io(data_dir, e))?;
    let staged = data_dir.join(STAGED);
    let draft = Draft::private(&staged)?;
    // The server has to open it, also where root made it.
    files::make_private(draft.file(), draft.path()).map_err(|e| io(draft.path(), e))?;
    // What is checked is the copy: nobody changes it between the check and its use.
    backup_trailer::copy(&mut source, draft.file(), watch).map_err(|e| io(draft.path(), e))?;
    let contents = backup_trailer::check(draft.path(), watch).map_err(|e| e.about(from))?;
    backup_trailer::unseal(draft.file()).map_err(|e| io(draft.path(), e))?;
    renew(draft.path(), keep_sessions)
        .map_err(|source| BackupError::Database { path: draft.path().to_owned(), source })?;
    draft.place(true)?;
    Ok(contents)
}

/// True when a store is in the folder.
pub fn has_store(data_dir: &Path) -> bool {
    fs::metadata(data_dir.join(file::STORE)).is_ok_and(|found| found.len() > 0)
        || file::write_ahead_log(&data_dir.join(file::STORE)).is_some()
}

/// True while a restore waits for its turn.
pub fn is_staged(data_dir: &Path) -> bool {
    data_dir.join(STAGED).exists()
}

/// Puts what was staged in its place, if nobody has the store open; errs with `InUse` otherwise.
pub fn apply_now(data_dir: &Path) -> Result<Option<Applied>, OpenError> {
    let _lock = file::lock(data_dir)?;
    apply(data_dir)
}

/// A new epoch, so that no position of the old number line is taken for one of the new; and a name for the old store
/// that stays the same however often the next steps are begun.
fn renew(path: &Path, keep_sessions: bool) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    // Nobody knows of this file yet: half of it is thrown away.
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let seed = format!("{:032x}", rand::random::<u128>());
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut put = connection.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
    put.execute(("epoch", seed))?;
    put.execute(("restore", format!("{time}-{:04x}", rand::random::<u16>())))?;
    put.execute(("restore_keeps_sessions", if keep_sessions { "yes" } else { "no" }))?;
    drop(put);
    connection.close().map_err(|(_, e)| e)
}

/// Puts what was staged in its place. The caller holds the folder's lock. Whoever is killed in here leaves what the
/// next call goes on with: the staged file is whole until its last step gives it the store's name.
pub(super) fn apply(data_dir: &Path) -> Result<Option<Applied>, OpenError> {
    let (staged, store) = (data_dir.join(STAGED), data_dir.join(file::STORE));
    if !staged.exists() {
        return Ok(None);
    }
    roll_back(&staged).map_err(|e| refusal::of(&staged, &e))?;
    if !file::check(&staged)? {
        return Err(OpenError::Damaged { path: staged, reason: "it is empty".to_owned() });
    }
    let refused = |e: rusqlite::Error| refusal::of(&staged, &e);
    let mut connection = Connection::open(&staged).map_err(refused)?;
    file::migrate(&mut connection, &staged)?;
    let old = match file::check(&store) {
        Ok(true) => Some(store.as_path()),
        Ok(false) => None,
        Err(
            e @ (OpenError::Foreign { .. }
            | OpenError::Damaged { .. }
            | OpenError::Altered { .. }
            | OpenError::Newer { .. }),
        ) => {
            tracing::warn!(error = %e, "the store that a backup replaces cannot be read: its accounts are lost");
            None
        }
        // It is sound, as far as can be seen: what was taken from somebody must not come back for a lock or a full disk.
        Err(e) => return Err(e),
    };
    let name = carry_over(&connection, old).map_err(refused)?;
    // From here on it has a write-ahead log, as every store.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(refused)?;
    connection.close().map_err(|(_, e)| refused(e))?;
    let io = |source| OpenError::Io { path: store.clone(), source };
    File::open(&staged).and_then(|file| file.sync_all()).map_err(io)?;
    let aside = move_aside(&store, &name).map_err(io)?;
    fs::rename(&staged, &store).and_then(|()| files::sync_folder(&store)).map_err(io)?;
    let kept = aside.as_ref().map(|path| path.display().to_string());
    tracing::warn!(old_store = kept, "a backup was restored: the logs have new epochs");
    Ok(Some(Applied { aside }))
}

/// Takes back what a killed process had half written into the staged file; who only reads cannot.
fn roll_back(staged: &Path) -> rusqlite::Result<()> {
    let mut journal = staged.as_os_str().to_owned();
    journal.push("-journal");
    if Path::new(&journal).exists() {
        Connection::open(staged)?.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

/// What was taken from somebody stays taken: the accounts and revocations of the old store go on as they are, and its
/// logins too when they are kept. Otherwise all logins end, and no token from before is taken. Returns the name for the
/// old store.
fn carry_over(connection: &Connection, old: Option<&Path>) -> rusqlite::Result<String> {
    let meta = |key: &str| {
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0))
    };
    let (name, keep) = (meta("restore")?, meta("restore_keeps_sessions")? == "yes");
    if let Some(old) = old {
        connection.execute("ATTACH ?1 AS old", [old.to_string_lossy()])?;
    }
    let all = connection.unchecked_transaction()?;
    if old.is_some() {
        copy_rows(&all, "accounts")?;
        copy_rows(&all, "revocations")?;
        if keep {
            all.execute("DELETE FROM main.logins", [])?;
            copy_rows(&all, "logins")?;
        }
    }
    if !keep {
        all.execute("DELETE FROM main.logins", [])?;
        let now = crate::clock::unix_now();
        // Who came after the backup is known too.
        let newer = if old.is_some() { "UNION SELECT user_id FROM old.users" } else { "" };
        let sql = format!(
            "INSERT OR REPLACE INTO main.revocations (kind, name, at, until) SELECT 2, user_id, ?1, ?2
             FROM (SELECT user_id FROM main.users UNION SELECT user_id FROM main.accounts {newer})"
        );
        all.execute(&sql, (now, now + REVOKED_SECONDS))?;
    }
    all.commit()?;
    if old.is_some() {
        connection.execute("DETACH old", [])?;
    }
    Ok(name)
}

/// Copies the rows of a table, those columns that both stores have; a store of an earlier version may have none.
fn copy_rows(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut columns = connection.prepare(
        "SELECT new.name FROM pragma_table_info(?1, 'main') AS new JOIN pragma_table_info(?1, 'old') AS old USING (name)",
    )?;
    let columns: Vec<String> = columns.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Ok(());
    }
    let columns = columns.join(", ");
    let sql = format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table}");
    connection.execute(&sql, []).map(drop)
}

/// Moves the old store out of the way, its write-ahead log first: a store never stands there without its log.
fn move_aside(store: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let beside = |suffix: &str| store.with_extension(format!("db{suffix}"));
    let aside = store.with_file_name(format!("wireproof-before-{name}.db"));
    if let Some((log, _)) = file::write_ahead_log(store) {
        fs::rename(log, aside.with_extension("db-wal"))?;
    }
    let moved = match fs::metadata(store) {
        Ok(_) => fs::rename(store, &aside).map(|()| true)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => aside.exists(),
        Err(e) => return Err(e),
    };
    // The index belongs to the log that is gone; an empty log says nothing.
    for leftover in [beside("-shm"), beside("-wal")] {
        match fs::remove_file(leftover) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    files::sync_folder(store)?;
    Ok(moved.then_some(aside))
}
