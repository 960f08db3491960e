//! The running transaction as the jobs see it: who the users are, and what is appended to their logs.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rusqlite::Connection;
use wireproof_protocol::{Epoch, Event, Timestamp, UserId};

use crate::{
    config::QuotaConfig,
    metrics::CommitMetrics,
    store::{
        Committed, StoreError, StoredEvent,
        embedded::{Epochs, fold, leases::Leases, log, quota::UsageChange, recent::Recent},
    },
};

/// A user's number in this store, the log's number line and its head, as the running transaction sees it.
#[derive(Debug, Clone, Copy)]
pub struct UserEntry {
    pub number: i64,
    pub epoch: Epoch,
    pub seq: u64,
}

/// The events of one user in this transaction.
pub struct Row {
    user_id: UserId,
    pub number: i64,
    epoch: Epoch,
    text: Vec<u8>,
    pub ends: Vec<(u64, usize)>,
}

/// The running transaction: the connection, and what it will add to the logs.
pub struct Tx<'a> {
    pub connection: &'a Connection,
    pub(super) users: &'a mut HashMap<UserId, UserEntry>,
    pub(super) recent: &'a Recent,
    pub(super) epochs: &'a Epochs,
    pub(super) rows: Vec<Row>,
    pub(super) row_of: HashMap<i64, usize>,
    /// Users to be folded with this transaction.
    pub(super) fold: usize,
    /// What users may keep, and what of it changed.
    pub quota: &'a QuotaConfig,
    pub kept: UsageChange,
    pub metrics: &'a CommitMetrics,
    pub(super) erase: bool,
    pub(super) scratch: Vec<u8>,
    pub leases: &'a mut Leases,
    /// What the running job has committed already, when it is made again.
    pub(super) again: Option<Box<Committed>>,
}

impl Tx<'_> {
    /// The user's entry; a user that is new is stored.
    pub fn user(&mut self, user_id: &UserId) -> Result<UserEntry, StoreError> {
        if let Some(entry) = self.users.get(user_id) {
            return Ok(*entry);
        }
        let number = match log::user_number(self.connection, user_id)? {
            Some(number) => number,
            None => {
                self.connection
                    .prepare_cached("INSERT INTO users (user_id) VALUES (?1)")?
                    .execute([user_id.as_str()])?;
                self.connection.last_insert_rowid()
            }
        };
        log::check_range(number, 0)?;
        let seq = match self.recent.head(user_id) {
            Some(seq) => seq,
            None => log::head_of(self.connection, number)?,
        };
        let entry = UserEntry { number, epoch: self.epochs.of(user_id), seq };
        self.users.insert(user_id.clone(), entry);
        Ok(entry)
    }

    /// Has the running job's caller publish that the user's log goes to its head: what the job appended when it was made
    /// first may not have been published.
    pub fn again(&mut self, entry: &UserEntry, user_id: &UserId) {
        let UserEntry { epoch, seq, .. } = *entry;
        let (user_id, stored_at) = (user_id.clone(), crate::clock::unix_now());
        let again = Committed { user_id, epoch, first_seq: seq, seq, bytes: 0, stored_at, events: None };
        self.again = Some(Box::new(again));
    }

    /// Gives the events their numbers and queues them for the log. Returns the first and last number.
    pub fn append(
        &mut self,
        entry: &UserEntry,
        user_id: &UserId,
        events: &[Event],
    ) -> Result<(u64, u64), StoreError> {
        let head = self.users.get(user_id).map_or(entry.seq, |entry| entry.seq);
        log::check_range(entry.number, head + events.len() as u64)?;
        let head = self.users.get_mut(user_id).map_or(entry.seq, |entry| {
            let head = entry.seq;
            entry.seq += events.len() as u64;
            head
        });
        let mut scratch = std::mem::take(&mut self.scratch);
        for (seq, event) in (head + 1..).zip(events) {
            let row = self.open_row(entry, user_id);
            write_numbered(&mut row.text, seq, event, &mut scratch)?;
            row.ends.push((seq, row.text.len()));
            row.text.push(b'\n');
        }
        self.scratch = scratch;
        Ok((head + 1, head + events.len() as u64))
    }

    fn open_row(&mut self, entry: &UserEntry, user_id: &UserId) -> &mut Row {
        let UserEntry { number, epoch, .. } = *entry;
        let index = *self.row_of.entry(number).or_insert_with(|| {
            let (text, ends) = (Vec::new(), Vec::new());
            self.rows.push(Row { user_id: user_id.clone(), number, epoch, text, ends });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    /// Folds the `users` that wait longest with this transaction.
    pub fn fold(&mut self, users: usize) {
        self.fold = self.fold.max(users);
    }

    /// Asks the writer to remove what was deleted, once this transaction is durable.
    pub fn erase(&mut self) {
        self.erase = true;
    }

    /// Adds this transaction's row of the tail, if it appended anything.
    pub fn write_tail(&self, now: f64) -> Result<Option<i64>, StoreError> {
        let mut chunks = Vec::with_capacity(self.rows.iter().map(|row| row.text.len() + 32).sum());
        for row in &self.rows {
            let (Some((first, _)), Some((last, _))) = (row.ends.first(), row.ends.last()) else { continue };
            fold::encode(&mut chunks, row.number, *first, *last, &row.text);
        }
        if chunks.is_empty() {
            return Ok(None);
        }
        self.connection
            .prepare_cached("INSERT INTO tail (created_at, chunks) VALUES (?1, ?2)")?
            .execute((now, chunks))?;
        Ok(Some(self.connection.last_insert_rowid()))
    }
}

/// How a new event's text begins; the number takes the place of the 0.
const UNNUMBERED: &[u8] = br#"{"seq":0"#;

/// Writes `{"seq":N,` and the rest of the event: readers of a row find the number without parsing.
fn write_numbered(
    text: &mut Vec<u8>,
    seq: u64,
    event: &Event,
    scratch: &mut Vec<u8>,
) -> Result<(), StoreError> {
    scratch.clear();
    serde_json::to_writer(&mut *scratch, event).map_err(|e| StoreError::Backend(e.to_string()))?;
    let rest = scratch
        .strip_prefix(UNNUMBERED)
        .ok_or_else(|| StoreError::Backend("an event had a number before it was appended".to_owned()))?;
    text.extend_from_slice(br#"{"seq":"#);
    text.extend_from_slice(seq.to_string().as_bytes());
    text.extend_from_slice(rest);
    Ok(())
}

impl Row {
    /// What the commit made durable at this time, in Unix seconds.
    pub fn into_committed(self, stored_at: Timestamp) -> Committed {
        let (text, newlines) = (Bytes::from(self.text), self.ends.len());
        let mut start = 0;
        let events: Arc<[StoredEvent]> = self
            .ends
            .iter()
            .map(|(seq, end)| {
                let json = text.slice(start..*end);
                start = end + 1;
                StoredEvent { first_seq: *seq, seq: *seq, json }
            })
            .collect();
        Committed {
            user_id: self.user_id,
            epoch: self.epoch,
            first_seq: events.first().map_or(0, |event| event.seq),
            seq: events.last().map_or(0, |event| event.seq),
            bytes: text.len() - newlines,
            stored_at,
            events: Some(events),
        }
    }
}
