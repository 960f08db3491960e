//! A look at a store that changes nothing, whoever has it open.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use wireproof_protocol::Timestamp;

pub use super::wal::Lost;
use super::{file, refusal, wal};
use crate::store::OpenError;

/// What was seen of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When a thread last changed, in Unix seconds.
    pub latest: Option<Timestamp>,
    /// What its write-ahead log lost; not looked at while a server writes it.
    pub lost: Option<Lost>,
}

/// Checks the store of a folder as a start would; none when there is none.
pub fn inspect(data_dir: &Path) -> Result<Option<Seen>, OpenError> {
    let path = data_dir.join(file::STORE);
    let held = file::is_held(data_dir).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    // A look at a file without a log asks for no lock, and so would not meet another's.
    if !held && file::is_locked(&path).map_err(|source| OpenError::Io { path: path.clone(), source })? {
        return Err(OpenError::Locked { path });
    }
    // Beside a store that is closed in order nothing is made, not even for the time of the look.
    let still = !held && file::write_ahead_log(&path).is_none();
    let open = |path: &Path| match still {
        true => file::open_still(path),
        false => Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
    };
    if !file::check_with(&path, open)? {
        return Ok(None);
    }
    if !held && !still {
        can_be_written(&path).map_err(|e| refusal::of(&path, &e))?;
    }
    let lost = match held {
        true => None,
        false => wal::lost(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?,
    };
    let latest = open(&path)
        .and_then(|store| store.query_row("SELECT max(updated_at) FROM threads", [], |row| row.get(0)))
        .map_err(|e| refusal::of(&path, &e))?;
    Ok(Some(Seen { latest, lost }))
}

/// Whoever is killed leaves a log, and so has a program that has the store open: a start has to wait for that one.
fn can_be_written(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    // Without it the log would be folded in at the end of the look.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
}
