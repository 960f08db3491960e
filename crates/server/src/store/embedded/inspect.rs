//! A look at a store that changes nothing, whoever has it open.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use wireproof_protocol::Timestamp;

use super::file;
use crate::store::OpenError;

/// What was seen of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When a thread last changed, in Unix seconds.
    pub latest: Option<Timestamp>,
}

/// Checks the store of a folder as a start would; none when there is none.
pub fn inspect(data_dir: &Path) -> Result<Option<Seen>, OpenError> {
    let path = data_dir.join(file::STORE);
    let held = file::is_held(data_dir).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    // Beside a store that is closed in order nothing is made, not even for the time of the look.
    let still = !held && file::write_ahead_log(&path).is_none();
    let open = |path: &Path| match still {
        true => file::open_still(path),
        false => Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY),
    };
    if !file::check_with(&path, open)? {
        return Ok(None);
    }
    let backend = |e: rusqlite::Error| file::backend(&path, &e);
    let latest = open(&path)
        .and_then(|store| store.query_row("SELECT max(updated_at) FROM threads", [], |row| row.get(0)))
        .map_err(backend)?;
    Ok(Some(Seen { latest }))
}
