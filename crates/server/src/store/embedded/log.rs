//! The log's rows: where a user's events stand, and reading them from a position on.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use wireproof_protocol::{Event, Part, UserId, split_after};

use crate::store::{Page, QuotaUse, StoreError, StoredEvent};

/// Bits of a position that hold the number in the user's log: 68 thousand million events a user.
const SEQ_BITS: u32 = 36;
const SEQ_MASK: i64 = (1 << SEQ_BITS) - 1;

/// Numbers at the end of a user's log that are kept for the ends of runs.
const RESERVE: u64 = 1 << 20;

/// Where the parts of a row's merged events end, by the event's last number.
pub type LogParts = HashMap<u64, Vec<Part>>;

/// The key of the row that ends with an event.
pub fn position(user: i64, seq: u64) -> i64 {
    (user << SEQ_BITS) | (seq as i64 & SEQ_MASK)
}

/// The number in the user's log that a row ends with.
pub fn seq_of(position: i64) -> u64 {
    (position & SEQ_MASK) as u64
}

/// Refuses what begins something when a log has few numbers left, so that what has begun can end.
pub fn check_room(head: u64) -> Result<(), StoreError> {
    let (used, allowed) = (head, SEQ_MASK as u64 - RESERVE);
    if used < allowed {
        return Ok(());
    }
    Err(StoreError::QuotaExceeded(QuotaUse { quota: "events_per_user", used, allowed }))
}

/// Refuses numbers whose keys would fall into the range of the next user.
pub fn check_range(user: i64, last_seq: u64) -> Result<(), StoreError> {
    if user <= i64::MAX >> SEQ_BITS && last_seq <= SEQ_MASK as u64 {
        return Ok(());
    }
    Err(StoreError::Backend(format!("the log has no key left for event {last_seq} of user number {user}")))
}

/// The user's number in this store, if the user was seen before.
pub fn user_number(connection: &Connection, user_id: &UserId) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT user FROM users WHERE user_id = ?1")?
        .query_row([user_id.as_str()], |row| row.get(0))
        .optional()?)
}

/// Where the log of a user's number ends; 0 when it is empty.
pub fn head_of(connection: &Connection, user: i64) -> Result<u64, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(position) FROM log WHERE position BETWEEN ?1 AND ?2")?
        .query_row((position(user, 0), position(user, SEQ_MASK as u64)), |row| row.get(0))?;
    Ok(last.map_or(0, seq_of))
}

/// Where a user's log ends.
pub fn head(connection: &Connection, user_id: &UserId) -> Result<u64, StoreError> {
    match user_number(connection, user_id)? {
        Some(user) => head_of(connection, user),
        None => Ok(0),
    }
}

/// One row as it is stored.
struct LogRow {
    first_seq: u64,
    events: Vec<u8>,
    parts: Option<String>,
}

/// Calls `each` with the rows that hold events after a number, until it says stop. Returns true when there were no more.
fn rows_after(
    connection: &Connection,
    user: i64,
    after: u64,
    mut each: impl FnMut(LogRow) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT first_seq, events, parts FROM log
         WHERE position > ?1 AND position <= ?2 ORDER BY position",
    )?;
    let mut rows = statement.query((position(user, after), position(user, SEQ_MASK as u64)))?;
    while let Some(row) = rows.next()? {
        let row = LogRow { first_seq: row.get::<_, i64>(0)? as u64, events: row.get(1)?, parts: row.get(2)? };
        if !each(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Events of a user after a number, about `max_bytes` of them.
pub fn read(
    connection: &Connection,
    user_id: &UserId,
    after: u64,
    max_bytes: usize,
) -> Result<Page, StoreError> {
    let Some(user) = user_number(connection, user_id)? else {
        return Ok(Page { events: Vec::new(), complete: true });
    };
    let mut page = Page::default();
    let mut bytes = 0;
    page.complete = rows_after(connection, user, after, |row| {
        if page.events.is_empty() && row.first_seq > after + 1 {
            return Err(StoreError::TooOld { floor: row.first_seq - 1 });
        }
        bytes += row.events.len();
        unpack(row, after, &mut page.events)?;
        Ok(bytes < max_bytes)
    })?;
    Ok(page)
}

/// Takes a row apart into its events after a number.
fn unpack(row: LogRow, after: u64, events: &mut Vec<StoredEvent>) -> Result<(), StoreError> {
    for event in split(&Bytes::from(row.events))? {
        if event.first_seq > after {
            events.push(event);
        } else if event.seq > after {
            events.push(rest(&event.json, row.parts.as_deref(), after)?);
        }
    }
    Ok(())
}

/// The events of a text with one on each line; they share its memory.
pub fn split(text: &Bytes) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events = Vec::new();
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let json = text.slice(start..start + line.len());
        start += line.len() + 1;
        if !json.is_empty() {
            let (first_seq, seq) = numbers(&json)?;
            events.push(StoredEvent { first_seq, seq, json });
        }
    }
    Ok(events)
}

/// The first and last number of an event's text, which begins `{"seq":9,` or `{"seq":9,"first_seq":3,`.
fn numbers(json: &[u8]) -> Result<(u64, u64), StoreError> {
    let damaged = || StoreError::Backend("an event of the log does not begin with its number".to_owned());
    let (seq, rest) =
        leading_number(json.strip_prefix(br#"{"seq":"#).ok_or_else(damaged)?).ok_or_else(damaged)?;
    let first =
        rest.strip_prefix(br#","first_seq":"#).and_then(leading_number).map_or(seq, |(first, _)| first);
    Ok((first, seq))
}

fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number, &text[digits..]))
}

/// What of a merged event comes after a number inside its range.
fn rest(json: &[u8], parts: Option<&str>, after: u64) -> Result<StoredEvent, StoreError> {
    let damaged = |e: &dyn std::fmt::Display| StoreError::Backend(format!("a merged event is damaged: {e}"));
    let event: Event = serde_json::from_slice(json).map_err(|e| damaged(&e))?;
    let parts: LogParts = serde_json::from_str(parts.unwrap_or("{}")).map_err(|e| damaged(&e))?;
    let ends = parts.get(&event.seq).ok_or_else(|| damaged(&"its parts are unknown"))?;
    let rest = split_after(event, ends, after).ok_or_else(|| damaged(&"no part ends there"))?;
    let json = serde_json::to_vec(&rest).map_err(|e| damaged(&e))?;
    Ok(StoredEvent { first_seq: after + 1, seq: rest.seq, json: json.into() })
}
