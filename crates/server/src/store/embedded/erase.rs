//! What was deleted leaves the file in small transactions between those of others: first the messages of deleted threads,
//! then, in stores that can, the free space at the end of the file.

use rusqlite::Connection;

use super::{
    file::PAGE_BYTES,
    records::{MESSAGE_BITS, Result},
};

/// Messages that one step removes at most, and bytes of their text; a single larger message is a step of its own.
const STEP_MESSAGES: i64 = 64;
const STEP_BYTES: u64 = 512 << 10;
/// What `PRAGMA auto_vacuum` says of a store that gives space back step by step.
const INCREMENTAL: i64 = 2;
/// Free pages that one step gives back at most.
const STEP_PAGES: u64 = 128;
/// Free space that stays for what comes, beside a sixteenth of the file.
const SPARE_BYTES: u64 = 8 << 20;

/// One step, inside a transaction. Returns false when nothing is left to do.
pub fn step(connection: &Connection) -> Result<bool> {
    match deleted_thread(connection)? {
        Some(thread) => erase_some(connection, thread).map(|()| true),
        None => give_back_some(connection),
    }
}

/// Removes the messages of all deleted threads at once, for a store that nobody else uses.
pub fn erase_all(connection: &Connection) -> Result<()> {
    let all = connection.unchecked_transaction()?;
    while let Some(thread) = deleted_thread(&all)? {
        erase_some(&all, thread)?;
    }
    Ok(all.commit()?)
}

fn deleted_thread(connection: &Connection) -> Result<Option<i64>> {
    Ok(connection
        .prepare_cached("SELECT min(thread) FROM deleted_threads")?
        .query_row([], |row| row.get(0))?)
}

/// Removes the last messages of a deleted thread, or the mark of one that has none.
fn erase_some(connection: &Connection, thread: i64) -> Result<()> {
    let (first, last) = (thread << MESSAGE_BITS, ((thread + 1) << MESSAGE_BITS) - 1);
    let mut rows = connection.prepare_cached(
        "SELECT position, octet_length(content) FROM messages WHERE position BETWEEN ?1 AND ?2
         ORDER BY position DESC LIMIT ?3",
    )?;
    let mut rows = rows.query((first, last, STEP_MESSAGES))?;
    let (mut from, mut bytes) = (None, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(1)? as u64;
        if bytes > STEP_BYTES && from.is_some() {
            break;
        }
        from = Some(row.get::<_, i64>(0)?);
    }
    drop(rows);
    match from {
        Some(from) => connection
            .prepare_cached("DELETE FROM messages WHERE position BETWEEN ?1 AND ?2")?
            .execute((from, last))?,
        None => {
            connection.prepare_cached("DELETE FROM deleted_threads WHERE thread = ?1")?.execute([thread])?
        }
    };
    Ok(())
}

/// Gives free pages back to the file system, if the store was made for it and more are free than spare.
fn give_back_some(connection: &Connection) -> Result<bool> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    if number("PRAGMA auto_vacuum")? != INCREMENTAL {
        return Ok(false);
    }
    let (free, all) = (number("PRAGMA freelist_count")? as u64, number("PRAGMA page_count")? as u64);
    let surplus = free.saturating_sub(SPARE_BYTES / PAGE_BYTES + all / 16);
    if surplus == 0 {
        return Ok(false);
    }
    let mut pages = connection.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(STEP_PAGES)))?;
    let mut pages = pages.query([])?;
    // Each row is a page that went.
    while pages.next()?.is_some() {}
    Ok(true)
}
