//! The tail goes into the log, some users with each commit, so that no commit has to wait for all of them: each user's
//! events together in few rows, adjacent deltas of a run put together.
//! Where the parts of a merged event ended is kept beside it.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;
use rusqlite::Connection;
use wireproof_protocol::{Event, Merged, mergeable};

use super::{
    log::{self, LogParts},
    recent::{Chunk, Recent},
};
use crate::store::{StoreError, StoredEvent};

/// A row of the log is not made larger than this by more events.
const ROW_BYTES: usize = 64 << 10;
/// Numbers before a chunk's events: user, first and last number, length.
const CHUNK_HEAD: usize = 32;

/// Writes a chunk as it stands in a row of the tail.
pub fn encode(row: &mut Vec<u8>, user: i64, first_seq: u64, last_seq: u64, text: &[u8]) {
    row.extend(user.to_be_bytes());
    row.extend(first_seq.to_be_bytes());
    row.extend(last_seq.to_be_bytes());
    row.extend((text.len() as u64).to_be_bytes());
    row.extend(text);
}

/// A chunk of a row: the user, the last number and the text.
pub type Found<'a> = (i64, u64, &'a [u8]);

pub fn decode(mut row: &[u8]) -> Result<Vec<Found<'_>>, StoreError> {
    let number = |bytes: &[u8], index: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[8 * index..8 * index + 8]);
        u64::from_be_bytes(eight)
    };
    let mut chunks = Vec::new();
    while !row.is_empty() {
        let (head, rest) = row.split_at_checked(CHUNK_HEAD).ok_or_else(broken)?;
        let (text, rest) = rest.split_at_checked(number(head, 3) as usize).ok_or_else(broken)?;
        chunks.push((number(head, 0) as i64, number(head, 2), text));
        row = rest;
    }
    Ok(chunks)
}

fn broken() -> StoreError {
    StoreError::Backend("a row of the tail is cut short".to_owned())
}

/// Where a user's log ends in the tail, seen by a reading connection at its moment.
pub fn head_in_tail(connection: &Connection, user: i64) -> Result<u64, StoreError> {
    let mut head = 0;
    let mut rows = connection.prepare_cached("SELECT chunks FROM tail ORDER BY id")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        for (owner, last_seq, _) in decode(row.get_ref(0)?.as_blob().map_err(|_| broken())?)? {
            if owner == user {
                head = last_seq;
            }
        }
    }
    Ok(head)
}

/// Folds what another process left in the tail.
pub fn left_over(connection: &Connection) -> Result<(), StoreError> {
    let mut users: BTreeMap<i64, Vec<(f64, Vec<StoredEvent>)>> = BTreeMap::new();
    {
        let mut rows = connection.prepare("SELECT created_at, chunks FROM tail ORDER BY id")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let created_at = row.get(0)?;
            for (user, _, text) in decode(row.get_ref(1)?.as_blob().map_err(|_| broken())?)? {
                let text = Bytes::copy_from_slice(text);
                users.entry(user).or_default().push((created_at, log::split(&text)?));
            }
        }
    }
    let moved = connection.unchecked_transaction()?;
    for (user, chunks) in &mut users {
        // A row of the tail stays until all its users are folded: some of it may be in the log already.
        let head = log::head_of(&moved, *user)?;
        chunks.retain(|(_, events)| events.last().is_some_and(|event| event.seq > head));
        insert(&moved, *user, chunks.iter().map(|(created_at, events)| (*created_at, events.as_slice())))?;
    }
    moved.execute("DELETE FROM tail", [])?;
    Ok(moved.commit()?)
}

/// Folds the events of the `most` users that wait longest, inside the running transaction, and drops the rows of the
/// tail that nobody needs any more. `newest` is the row that this transaction adds.
pub fn some(
    connection: &Connection,
    recent: &Recent,
    most: usize,
    newest: Option<i64>,
) -> Result<(), StoreError> {
    recent.oldest(most, |chunks: &[Chunk]| {
        let Some(first) = chunks.first() else { return Ok(()) };
        insert(connection, first.user, chunks.iter().map(|chunk| (chunk.created_at, &*chunk.events)))
    })?;
    let needed = recent.first_row_after(most).or(newest).unwrap_or(i64::MAX);
    connection.prepare_cached("DELETE FROM tail WHERE id < ?1")?.execute([needed])?;
    Ok(())
}

/// The row that is being filled.
#[derive(Default)]
struct Row {
    text: Vec<u8>,
    parts: LogParts,
    range: Option<(u64, u64)>,
    created_at: f64,
}

fn insert<'a>(
    connection: &Connection,
    user: i64,
    chunks: impl Iterator<Item = (f64, &'a [StoredEvent])>,
) -> Result<(), StoreError> {
    let mut row = Row::default();
    let mut open: Option<Merged> = None;
    for (created_at, events) in chunks {
        if row.text.len() >= ROW_BYTES {
            flush(connection, user, &mut row)?;
        }
        row.created_at = created_at;
        for stored in events {
            if !is_delta(&stored.json) {
                close(&mut row, open.take())?;
                row.put(&stored.json, stored.first_seq, stored.seq);
                continue;
            }
            let event: Event = serde_json::from_slice(&stored.json).map_err(damaged)?;
            match &mut open {
                Some(merged) if merged_bytes(merged) < ROW_BYTES && mergeable(&merged.event, &event) => {
                    merged.append(event);
                }
                _ => close(&mut row, open.replace(Merged::alone(event)))?,
            }
        }
    }
    close(&mut row, open)?;
    flush(connection, user, &mut row)
}

/// Bytes of text that were put together so far.
fn merged_bytes(merged: &Merged) -> usize {
    merged.parts.last().map_or(0, |part| part.end)
}

/// Deltas are known by their type, which other text can hold only with its quotes escaped.
fn is_delta(json: &[u8]) -> bool {
    let has = |name: &[u8]| memmem::find(json, name).is_some();
    json.len() < ROW_BYTES && has(br#"_delta","#) && has(br#","type":""#)
}

fn close(row: &mut Row, open: Option<Merged>) -> Result<(), StoreError> {
    let Some(merged) = open else { return Ok(()) };
    let (first, last) = merged.event.range();
    let json = serde_json::to_vec(&merged.event).map_err(damaged)?;
    row.put(&json, first, last);
    if !merged.parts.is_empty() {
        row.parts.insert(last, merged.parts);
    }
    Ok(())
}

fn flush(connection: &Connection, user: i64, row: &mut Row) -> Result<(), StoreError> {
    let Row { text, parts, range, created_at } = std::mem::take(row);
    let Some((first, last)) = range else { return Ok(()) };
    let parts = if parts.is_empty() { None } else { Some(serde_json::to_string(&parts).map_err(damaged)?) };
    connection
        .prepare_cached(
            "INSERT INTO log (position, first_seq, created_at, events, parts) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((log::position(user, last), first as i64, created_at, text, parts))?;
    Ok(())
}

impl Row {
    fn put(&mut self, json: &[u8], first: u64, last: u64) {
        self.text.extend(json);
        self.text.push(b'\n');
        self.range = Some((self.range.map_or(first, |(first, _)| first), last));
    }
}

fn damaged(error: serde_json::Error) -> StoreError {
    StoreError::Backend(format!("an event of the log cannot be rewritten: {error}"))
}
