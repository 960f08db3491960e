//! Letting go of what is too old or too much.

use rusqlite::Connection;
use wireproof_protocol::Timestamp;

use super::{
    log::{self, position},
    writer::Tx,
};
use crate::store::{Retention, StoreError};

/// Rows of one user's log that may go: those up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    user: i64,
    /// The last position that goes.
    end: i64,
}

/// Where to cut each user's log. The last row always stays, since it holds the head; rows of active runs stay.
pub fn cuts(connection: &Connection, retention: Retention, now: Timestamp) -> Result<Vec<Cut>, StoreError> {
    let mut cuts = Vec::new();
    let mut users = connection.prepare_cached("SELECT user FROM users")?;
    let users = users.query_map([], |row| row.get::<_, i64>(0))?;
    for user in users {
        if let Some(cut) = cut(connection, user?, retention, now)? {
            cuts.push(cut);
        }
    }
    Ok(cuts)
}

fn cut(
    connection: &Connection,
    user: i64,
    retention: Retention,
    now: Timestamp,
) -> Result<Option<Cut>, StoreError> {
    let active: Option<i64> = connection
        .prepare_cached("SELECT min(first_seq) FROM runs WHERE user = ?1 AND outcome IS NULL")?
        .query_row([user], |row| row.get(0))?;
    let mut rows = connection.prepare_cached(
        "SELECT position, created_at, length(events) FROM log WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC",
    )?;
    let mut rows = rows.query((position(user, 0), position(user + 1, 0) - 1))?;
    let mut bytes = 0;
    let mut first = true;
    while let Some(row) = rows.next()? {
        let (end, created_at, size): (i64, f64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        bytes += size as u64;
        let over = bytes > retention.bytes_per_user || created_at < now - retention.seconds;
        let needed = first || active.is_some_and(|first_seq| log::seq_of(end) >= first_seq as u64);
        if over && !needed {
            return Ok(Some(Cut { user, end }));
        }
        first = false;
    }
    Ok(None)
}

/// Drops a user's rows up to the cut. Returns how many went.
pub fn drop_before(tx: &mut Tx<'_>, cut: Cut) -> Result<u64, StoreError> {
    let gone = tx
        .connection
        .prepare_cached("DELETE FROM log WHERE position BETWEEN ?1 AND ?2")?
        .execute((position(cut.user, 0), cut.end))?;
    Ok(gone as u64)
}

/// Forgets the answers to requests before a time.
pub fn forget_requests(tx: &mut Tx<'_>, before: Timestamp) -> Result<(), StoreError> {
    tx.connection.prepare_cached("DELETE FROM requests WHERE created_at < ?1")?.execute([before])?;
    Ok(())
}
