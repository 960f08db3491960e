//! Threads, messages, runs and requests: the rows beside the log.

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Map, Value};
use wireproof_protocol::{
    ControlBody, Event, EventBody, EventId, Message, MessageId, Role, RunId, Thread, ThreadId, Timestamp,
    UserId,
};

use super::{
    fold, log, quota,
    quota::UsageChange,
    runs,
    writer::{Tx, UserEntry},
};
use crate::store::{Answer, FoundMessage, RequestKey, StoreError, ThreadChange, UserRecords, Window};

/// Bits of a message's position that hold its number in the thread: 16 million messages a thread.
pub const MESSAGE_BITS: u32 = 24;
/// Bytes of messages that a search looks at, those of the threads that changed last first.
const SEARCH_BYTES: usize = 8 << 20;
/// Bytes of messages in a page; a single larger message is a page of its own.
const PAGE_TEXT: usize = 1 << 20;

pub type Result<T> = std::result::Result<T, StoreError>;

pub fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Backend(e.to_string()))
}

fn metadata(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The answer that a request got before. Another body under the same id is refused.
pub fn answered(
    connection: &Connection,
    user: i64,
    request: Option<&RequestKey>,
) -> Result<Option<ControlBody>> {
    let Some(request) = request else { return Ok(None) };
    let found: Option<(Vec<u8>, String)> = connection
        .prepare_cached("SELECT digest, answer FROM requests WHERE user = ?1 AND request_id = ?2")?
        .query_row((user, request.id.as_str()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None => Ok(None),
        Some((digest, _)) if digest != request.digest => Err(StoreError::IdReused),
        Some((_, answer)) => {
            serde_json::from_str(&answer).map(Some).map_err(|e| StoreError::Backend(e.to_string()))
        }
    }
}

/// Keeps the answer to a request.
pub fn remember(
    tx: &Tx<'_>,
    user: i64,
    request: Option<&RequestKey>,
    answer: &ControlBody,
    now: Timestamp,
) -> Result<()> {
    let Some(request) = request else { return Ok(()) };
    tx.connection
        .prepare_cached(
            "INSERT INTO requests (user, request_id, digest, answer, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((user, request.id.as_str(), request.digest, json(answer)?, now))?;
    quota::add_request_id(tx, user)
}

pub fn event(user_id: &UserId, thread_id: &ThreadId, timestamp: Timestamp, body: EventBody) -> Event {
    let (user_id, thread_id) = (user_id.clone(), thread_id.clone());
    Event {
        seq: 0,
        first_seq: None,
        event_id: EventId::new(),
        user_id,
        thread_id,
        timestamp,
        run: None,
        body,
    }
}

/// Makes a thread under a name that the user's threads do not have, and the event that tells it. The caller has asked
/// whether the quotas allow it.
pub fn new_thread(
    tx: &mut Tx<'_>,
    entry: &UserEntry,
    user_id: &UserId,
    thread_id: &ThreadId,
    title: &str,
    metadata: &Map<String, Value>,
    now: Timestamp,
) -> Result<(i64, Event)> {
    let json = json(metadata)?;
    tx.connection
        .prepare_cached(
            "INSERT INTO threads (thread_id, user, title, metadata, created_at, updated_at, message_count, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, ?6)",
        )?
        .execute((thread_id.as_str(), entry.number, title, &json, now, json.len() as i64))?;
    let number = tx.connection.last_insert_rowid();
    check_number(number)?;
    quota::add(tx, entry.number, UsageChange::thread(&json))?;
    let body = EventBody::ThreadCreated { title: title.to_owned(), metadata: metadata.clone() };
    Ok((number, event(user_id, thread_id, now, body)))
}

/// An error when the keys of a thread's messages would have no room.
fn check_number(thread: i64) -> Result<()> {
    match thread <= i64::MAX >> MESSAGE_BITS {
        true => Ok(()),
        false => Err(StoreError::Backend("the store has no number left for a new thread".to_owned())),
    }
}

/// Stores a message; the caller has asked whether the quotas allow it.
#[allow(clippy::too_many_arguments)] // a row of the table, column by column
pub fn insert_message(
    tx: &mut Tx<'_>,
    thread: i64,
    message_id: MessageId,
    role: Role,
    content: &str,
    now: Timestamp,
    run_id: Option<RunId>,
    incomplete: bool,
) -> Result<()> {
    let change = UsageChange::message(content);
    let (number, owner): (i64, i64) = tx
        .connection
        .prepare_cached(
            "UPDATE threads SET message_count = message_count + 1, updated_at = ?2, bytes = bytes + ?3
             WHERE thread = ?1 RETURNING message_count, user",
        )?
        .query_row((thread, now, change.bytes), |row| Ok((row.get(0)?, row.get(1)?)))?;
    tx.connection
        .prepare_cached(
            "INSERT INTO messages (position, message_id, role, content, created_at, run_id, incomplete)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            (thread << MESSAGE_BITS) | number,
            message_id.as_bytes(),
            role as i64,
            content,
            now,
            run_id.as_ref().map(RunId::as_bytes),
            incomplete,
        ))?;
    quota::add(tx, owner, change)
}

/// The number and the name of a user's thread, if it is there. Clients of the time when names were UUIDs alone may spell one
/// in another way: where no thread has a name exactly, one of the UUID that it spells is meant.
pub fn find_thread(
    connection: &Connection,
    user: i64,
    thread_id: &ThreadId,
) -> Result<Option<(i64, ThreadId)>> {
    let mut named =
        connection.prepare_cached("SELECT thread FROM threads WHERE thread_id = ?1 AND user = ?2")?;
    let spelt = [Some(thread_id.clone()), thread_id.canonical()];
    for name in spelt.into_iter().flatten() {
        if let Some(number) = named.query_row((name.as_str(), user), |row| row.get(0)).optional()? {
            return Ok(Some((number, name)));
        }
    }
    Ok(None)
}

/// Changes a user's threads, with the event that tells it.
pub fn change_thread(
    tx: &mut Tx<'_>,
    user_id: &UserId,
    request: Option<&RequestKey>,
    change: &ThreadChange,
    now: Timestamp,
) -> Result<Answer<Thread>> {
    let entry = tx.user(user_id)?;
    if let Some(answer) = answered(tx.connection, entry.number, request)? {
        tx.again(&entry, user_id);
        return Ok(Answer::Repeated(Box::new(answer)));
    }
    let (thread, event) = match change {
        ThreadChange::Create { thread_id, title, metadata } => {
            let thread_id = thread_id.clone().unwrap_or_else(ThreadId::generate);
            let event = match find_thread(tx.connection, entry.number, &thread_id)? {
                Some(_) => None,
                None => {
                    quota::check(tx, entry.number, UsageChange::thread(&json(metadata)?))?;
                    Some(new_thread(tx, &entry, user_id, &thread_id, title, metadata, now)?.1)
                }
            };
            let thread = read_thread(tx.connection, entry.number, &thread_id)?.1;
            if event.is_none() && thread.created_at == now {
                // Made before, and not answered.
                tx.again(&entry, user_id);
                return Ok(Answer::Done(thread));
            }
            (thread, event)
        }
        ThreadChange::Update { thread_id, title, metadata } => {
            let (number, mut thread) = read_thread(tx.connection, entry.number, thread_id)?;
            let is_so = title.as_ref().is_none_or(|title| *title == thread.title)
                && metadata.as_ref().is_none_or(|metadata| *metadata == thread.metadata);
            if is_so && thread.updated_at == now {
                tx.again(&entry, user_id);
                return Ok(Answer::Done(thread));
            }
            let before = json(&thread.metadata)?.len();
            thread.title = title.clone().unwrap_or(thread.title);
            thread.metadata = metadata.clone().unwrap_or(thread.metadata);
            thread.updated_at = now;
            let metadata = json(&thread.metadata)?;
            let change =
                UsageChange { bytes: metadata.len() as i64 - before as i64, ..UsageChange::default() };
            quota::check(tx, entry.number, change)?;
            tx.connection
                .prepare_cached(
                    "UPDATE threads SET title = ?2, metadata = ?3, updated_at = ?4, bytes = bytes + ?5 WHERE thread = ?1",
                )?
                .execute((number, &thread.title, metadata, now, change.bytes))?;
            quota::add(tx, entry.number, change)?;
            let body =
                EventBody::ThreadUpdated { title: thread.title.clone(), metadata: thread.metadata.clone() };
            let event = event(user_id, &thread.thread_id, now, body);
            (thread, Some(event))
        }
        ThreadChange::Delete { thread_id } => {
            let (number, thread) = read_thread(tx.connection, entry.number, thread_id)?;
            delete_thread(tx, entry.number, number)?;
            let body =
                EventBody::ThreadDeleted { title: thread.title.clone(), metadata: thread.metadata.clone() };
            let event = event(user_id, &thread.thread_id, now, body);
            (thread, Some(event))
        }
    };
    let changed = event.is_some();
    if let Some(event) = event {
        tx.append(&entry, user_id, &[event])?;
    }
    let answer = ControlBody::Ack {
        thread_id: Some(thread.thread_id.clone()),
        run_id: None,
        approval_id: None,
        outcome: None,
    };
    remember(tx, entry.number, request, &answer, now)?;
    Ok(if changed { Answer::Done(thread) } else { Answer::Unchanged(thread) })
}

/// Takes a thread away from its user and makes its room free; its messages leave later, in small steps (`erase`).
fn delete_thread(tx: &mut Tx<'_>, user: i64, thread: i64) -> Result<()> {
    let (bytes, messages): (i64, i64) = tx
        .connection
        .prepare_cached("DELETE FROM threads WHERE thread = ?1 RETURNING bytes, message_count")?
        .query_row([thread], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if messages > 0 {
        tx.connection.prepare_cached("INSERT INTO deleted_threads VALUES (?1)")?.execute([thread])?;
    }
    tx.erase();
    quota::add(tx, user, UsageChange { bytes: -bytes, threads: -1, messages: -messages })
}

const THREAD_COLUMNS: &str = "thread, thread_id, title, metadata, created_at, updated_at, message_count";

/// The name of a thread in a column of a row.
pub fn thread_name(row: &Row<'_>, column: usize) -> rusqlite::Result<ThreadId> {
    ThreadId::new(row.get_ref(column)?.as_str()?).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
    })
}

fn thread_row(row: &Row<'_>) -> rusqlite::Result<(i64, Thread)> {
    let thread = Thread {
        thread_id: thread_name(row, 1)?,
        title: row.get(2)?,
        metadata: metadata(&row.get::<_, String>(3)?),
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        message_count: row.get::<_, i64>(6)? as u64,
    };
    Ok((row.get(0)?, thread))
}

fn read_thread(connection: &Connection, user: i64, thread_id: &ThreadId) -> Result<(i64, Thread)> {
    let (number, _) = find_thread(connection, user, thread_id)?.ok_or(StoreError::NotFound)?;
    let sql = format!("SELECT {THREAD_COLUMNS} FROM threads WHERE thread = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([number], thread_row)?)
}

pub fn known_user(connection: &Connection, user_id: &UserId) -> Result<i64> {
    log::user_number(connection, user_id)?.ok_or(StoreError::NotFound)
}

/// One thread of a user, with its number.
pub fn thread(connection: &Connection, user_id: &UserId, thread_id: &ThreadId) -> Result<(i64, Thread)> {
    read_thread(connection, known_user(connection, user_id)?, thread_id)
}

/// A user's threads, latest change first, and how many there are.
pub fn threads(connection: &Connection, user_id: &UserId, window: Window) -> Result<(Vec<Thread>, u64)> {
    let Some(user) = log::user_number(connection, user_id)? else { return Ok((Vec::new(), 0)) };
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM threads WHERE user = ?1")?
        .query_row([user], |row| row.get(0))?;
    let sql = format!(
        "SELECT {THREAD_COLUMNS} FROM threads WHERE user = ?1 ORDER BY updated_at DESC, thread DESC LIMIT ?2 OFFSET ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((user, window.limit as i64, window.offset as i64), thread_row)?;
    let threads = rows.map(|row| row.map(|(_, thread)| thread)).collect::<rusqlite::Result<_>>()?;
    Ok((threads, total as u64))
}

fn message_row(row: &Row<'_>, thread_id: &ThreadId) -> rusqlite::Result<Message> {
    Ok(Message {
        message_id: MessageId::from_bytes(row.get(0)?),
        thread_id: thread_id.clone(),
        role: if row.get::<_, i64>(1)? == Role::User as i64 { Role::User } else { Role::Assistant },
        content: row.get(2)?,
        created_at: row.get(3)?,
        run_id: row.get::<_, Option<[u8; 16]>>(4)?.map(RunId::from_bytes),
        incomplete: row.get(5)?,
    })
}

/// Messages of a thread, oldest first; without an offset the latest ones. Also how many there are, and the offset.
pub fn messages(
    connection: &Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    limit: u64,
    offset: Option<u64>,
) -> Result<(Vec<Message>, u64, u64)> {
    let (number, thread) = thread(connection, user_id, thread_id)?;
    let total = thread.message_count;
    let Some(offset) = offset else {
        let mut left = PAGE_TEXT;
        let messages = latest(connection, user_id, &thread, limit, &mut left)?;
        let offset = total - messages.len() as u64;
        return Ok((messages, total, offset));
    };
    // Messages are numbered from 1 without gaps, so an offset is a place.
    let start = (number << MESSAGE_BITS) + (offset.min(total) as i64) + 1;
    let end = ((number + 1) << MESSAGE_BITS) - 1;
    let mut statement = connection.prepare_cached(
        "SELECT message_id, role, content, created_at, run_id, incomplete FROM messages
         WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3",
    )?;
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for message in
        statement.query_map((start, end, limit as i64), |row| message_row(row, &thread.thread_id))?
    {
        let message = message?;
        bytes += message.content.len();
        if bytes > PAGE_TEXT && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    Ok((messages, total, offset))
}

/// The latest messages of a user that hold the text, whatever its case.
pub fn search(
    connection: &Connection,
    user_id: &UserId,
    text: &str,
    limit: usize,
) -> Result<Vec<FoundMessage>> {
    let Some(user) = log::user_number(connection, user_id)? else { return Ok(Vec::new()) };
    let wanted = text.to_lowercase();
    let mut threads = connection.prepare_cached(
        "SELECT thread, thread_id, title FROM threads WHERE user = ?1 ORDER BY updated_at DESC, thread DESC",
    )?;
    let mut messages = connection.prepare_cached(
        "SELECT message_id, role, content, created_at, run_id, incomplete FROM messages
         WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC",
    )?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut rows = threads.query([user])?;
    while let Some(row) = rows.next()? {
        let (number, thread_id): (i64, ThreadId) = (row.get(0)?, thread_name(row, 1)?);
        let title: String = row.get(2)?;
        let range = (number << MESSAGE_BITS, ((number + 1) << MESSAGE_BITS) - 1);
        for message in messages.query_map(range, |row| message_row(row, &thread_id))? {
            let message = message?;
            bytes += message.content.len();
            if message.content.to_lowercase().contains(&wanted) {
                found.push(FoundMessage { message, title: title.clone() });
            }
            if found.len() >= limit || bytes >= SEARCH_BYTES {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// A user's state at one moment.
pub fn all(
    connection: &Connection,
    user_id: &UserId,
    most_threads: u64,
    most_messages: u64,
    most_bytes: usize,
) -> Result<UserRecords> {
    // One read transaction sees one moment, whatever is committed meanwhile.
    let moment = connection.unchecked_transaction()?;
    let seq = match log::user_number(&moment, user_id)? {
        Some(user) => log::head_of(&moment, user)?.max(fold::head_in_tail(&moment, user)?),
        None => 0,
    };
    let (threads, _) = threads(&moment, user_id, Window { limit: most_threads, offset: 0 })?;
    let mut left = most_bytes;
    let threads = threads
        .into_iter()
        .map(|thread| Ok((latest(&moment, user_id, &thread, most_messages, &mut left)?, thread)))
        .map(|pair: Result<_>| pair.map(|(messages, thread)| (thread, messages)))
        .collect::<Result<_>>()?;
    let active_runs = runs::active_runs(&moment, Some(user_id))?;
    Ok(UserRecords { seq, threads, active_runs })
}

/// The latest messages of a thread, oldest first, as long as their text fits into what is left.
fn latest(
    connection: &Connection,
    user_id: &UserId,
    thread: &Thread,
    most: u64,
    left: &mut usize,
) -> Result<Vec<Message>> {
    let (number, _) = self::thread(connection, user_id, &thread.thread_id)?;
    let mut statement = connection.prepare_cached(
        "SELECT message_id, role, content, created_at, run_id, incomplete FROM messages
         WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC LIMIT ?3",
    )?;
    let (first, last) = (number << MESSAGE_BITS, ((number + 1) << MESSAGE_BITS) - 1);
    let mut messages = Vec::new();
    for message in
        statement.query_map((first, last, most as i64), |row| message_row(row, &thread.thread_id))?
    {
        let message = message?;
        match left.checked_sub(message.content.len()) {
            Some(rest) => *left = rest,
            None => break,
        }
        messages.push(message);
    }
    messages.reverse();
    Ok(messages)
}
