//! Letting go of what is too old or too much, in small transactions between those of others.

use rusqlite::Connection;
use wireproof_protocol::Timestamp;

use super::{
    log::{self, position},
    quota,
    writer::Tx,
};
use crate::store::{Retention, StoreError};

/// Rows that one transaction drops at most, and bytes of them; a single larger row goes in one of its own.
const STEP_ROWS: usize = 1000;
const STEP_BYTES: u64 = 512 << 10;

/// Rows of one user's log that may go: those up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    user: i64,
    /// The last position that goes.
    end: i64,
}

/// What one transaction let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionStep {
    /// How many rows.
    pub rows: u64,
    /// True when there was no more.
    pub complete: bool,
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

/// Drops users' rows up to their cuts, oldest first, as many as one transaction may.
pub fn drop_before(tx: &mut Tx<'_>, cuts: &[Cut]) -> Result<RetentionStep, StoreError> {
    let (mut gone, mut bytes) = (0, 0);
    for cut in cuts {
        let start = position(cut.user, 0);
        let mut rows = tx.connection.prepare_cached(
            "SELECT position, length(events) FROM log WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
        )?;
        let mut rows = rows.query((start, cut.end))?;
        let (mut upto, mut full) = (None, false);
        while let Some(row) = rows.next()? {
            let size = row.get::<_, i64>(1)? as u64;
            full = gone > 0 && (gone == STEP_ROWS || bytes + size > STEP_BYTES);
            if full {
                break;
            }
            upto = Some(row.get::<_, i64>(0)?);
            (gone, bytes) = (gone + 1, bytes + size);
        }
        drop(rows);
        if let Some(upto) = upto {
            tx.connection
                .prepare_cached("DELETE FROM log WHERE position BETWEEN ?1 AND ?2")?
                .execute((start, upto))?;
        }
        if full {
            return Ok(RetentionStep { rows: gone as u64, complete: false });
        }
    }
    Ok(RetentionStep { rows: gone as u64, complete: true })
}

/// Users with answers to requests from before a time.
pub fn with_old_requests(connection: &Connection, before: Timestamp) -> Result<Vec<i64>, StoreError> {
    let mut users = connection.prepare_cached(
        "SELECT user FROM users WHERE EXISTS
         (SELECT 1 FROM requests WHERE requests.user = users.user AND requests.created_at < ?1)",
    )?;
    let users = users.query_map([before], |row| row.get(0))?;
    Ok(users.collect::<rusqlite::Result<_>>()?)
}

/// Forgets users' answers to requests from before a time, as many as one transaction may.
pub fn forget_requests(
    tx: &mut Tx<'_>,
    users: &[i64],
    before: Timestamp,
) -> Result<RetentionStep, StoreError> {
    let oldest = "SELECT request_id FROM requests WHERE user = ?1 AND created_at < ?2 LIMIT ?3";
    let mut gone = 0;
    for user in users {
        let most = STEP_ROWS - gone;
        gone += quota::forget_request_ids(tx, *user, oldest, (*user, before, most as i64))?;
        if gone == STEP_ROWS {
            return Ok(RetentionStep { rows: gone as u64, complete: false });
        }
    }
    Ok(RetentionStep { rows: gone as u64, complete: true })
}

/// Forgets logins and revocations that are over, as many as one transaction may.
pub fn forget_ended(tx: &mut Tx<'_>, now: Timestamp) -> Result<RetentionStep, StoreError> {
    let mut step = RetentionStep { rows: 0, complete: true };
    for sql in [
        "DELETE FROM logins WHERE session_id IN (SELECT session_id FROM logins WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM revocations WHERE (kind, name) IN
         (SELECT kind, name FROM revocations WHERE until <= ?1 LIMIT ?2)",
    ] {
        let gone = tx.connection.prepare_cached(sql)?.execute((now, STEP_ROWS as i64))?;
        step.rows += gone as u64;
        step.complete &= gone < STEP_ROWS;
    }
    Ok(step)
}
