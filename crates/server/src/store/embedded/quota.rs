//! What users keep: counted in the transaction that changes it, and refused where it would exceed a quota.

use std::ops::Add;

use rusqlite::{Connection, OptionalExtension};
use wireproof_protocol::UserId;

use super::{log, records::Result, writer::Tx};
use crate::{
    config::QuotaConfig,
    metrics::CommitMetrics,
    store::{QuotaUse, StoreError},
};

/// Most messages of a thread: their numbers have 24 bits, and 0 is none.
const MESSAGES_PER_THREAD: i64 = (1 << super::records::MESSAGE_BITS) - 1;
/// Runs or request ids of a user that one change forgets at most, when a setting was lowered.
const FORGOTTEN: i64 = 16;

/// A change of what a user keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageChange {
    /// Of `content` and `metadata`.
    pub bytes: i64,
    pub threads: i64,
    pub messages: i64,
}

impl UsageChange {
    /// A new message.
    pub fn message(content: &str) -> Self {
        Self { bytes: content.len() as i64, threads: 0, messages: 1 }
    }

    /// A new thread with its metadata as JSON.
    pub fn thread(metadata: &str) -> Self {
        Self { bytes: metadata.len() as i64, threads: 1, messages: 0 }
    }
}

impl Add for UsageChange {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            threads: self.threads + other.threads,
            messages: self.messages + other.messages,
        }
    }
}

/// Everything that users keep together.
pub fn total(connection: &Connection) -> Result<UsageChange> {
    Ok(connection.query_row(
        "SELECT coalesce(sum(bytes), 0), coalesce(sum(threads), 0), coalesce(sum(messages), 0) FROM users",
        [],
        |row| Ok(UsageChange { bytes: row.get(0)?, threads: row.get(1)?, messages: row.get(2)? }),
    )?)
}

/// Adds a change to what all users keep, as the metrics tell it.
pub fn measure(metrics: &CommitMetrics, change: UsageChange) {
    metrics.kept_bytes.inc_by(change.bytes);
    metrics.kept_threads.inc_by(change.threads);
    metrics.kept_messages.inc_by(change.messages);
}

fn kept(connection: &Connection, user: i64) -> Result<UsageChange> {
    let found = connection
        .prepare_cached("SELECT bytes, threads, messages FROM users WHERE user = ?1")?
        .query_row([user], |row| {
            Ok(UsageChange { bytes: row.get(0)?, threads: row.get(1)?, messages: row.get(2)? })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// What a user keeps, by quota.
pub fn of(connection: &Connection, user_id: &UserId, quota: &QuotaConfig) -> Result<Vec<QuotaUse>> {
    let kept = match log::user_number(connection, user_id)? {
        Some(user) => kept(connection, user)?,
        None => UsageChange::default(),
    };
    Ok(uses(kept, quota).to_vec())
}

fn uses(kept: UsageChange, quota: &QuotaConfig) -> [QuotaUse; 3] {
    [
        ("bytes_per_user", kept.bytes, quota.bytes_per_user),
        ("threads_per_user", kept.threads, quota.threads_per_user),
        ("messages_per_user", kept.messages, quota.messages_per_user),
    ]
    .map(|(quota, used, allowed)| QuotaUse { quota, used: used.max(0) as u64, allowed })
}

/// Refuses a change that makes a user keep more than allowed. Less is always allowed.
pub fn check(tx: &Tx<'_>, user: i64, change: UsageChange) -> Result<()> {
    full(tx, user, change)?.map_or(Ok(()), |full| Err(refused(tx, full)))
}

/// The quota that has no room for a change.
pub fn full(tx: &Tx<'_>, user: i64, change: UsageChange) -> Result<Option<QuotaUse>> {
    let more = [change.bytes, change.threads, change.messages];
    let uses = uses(kept(tx.connection, user)?, tx.quota).into_iter().zip(more);
    let is_full = |use_: &QuotaUse, more: i64| {
        more > 0 && use_.allowed > 0 && use_.used.saturating_add(more as u64) > use_.allowed
    };
    Ok(uses.into_iter().find(|(use_, more)| is_full(use_, *more)).map(|(full, _)| full))
}

/// Refuses one more message in a thread that has as many as there are numbers.
pub fn check_thread(tx: &Tx<'_>, thread: i64) -> Result<()> {
    full_thread(tx, thread)?.map_or(Ok(()), |full| Err(refused(tx, full)))
}

/// That quota, when a thread is full. Errs when there is no such thread.
pub fn full_thread(tx: &Tx<'_>, thread: i64) -> Result<Option<QuotaUse>> {
    let used: i64 = tx
        .connection
        .prepare_cached("SELECT message_count FROM threads WHERE thread = ?1")?
        .query_row([thread], |row| row.get(0))?;
    let (used, allowed) = (used as u64, MESSAGES_PER_THREAD as u64);
    Ok((used >= allowed).then_some(QuotaUse { quota: "messages_per_thread", used, allowed }))
}

/// Counts a refusal, and makes it.
pub fn refused(tx: &Tx<'_>, full: QuotaUse) -> StoreError {
    tx.metrics.quota_refused.at(&[full.quota]).inc();
    StoreError::QuotaExceeded(full)
}

/// Counts a change of what a user keeps.
pub fn add(tx: &mut Tx<'_>, user: i64, change: UsageChange) -> Result<()> {
    tx.kept = tx.kept + change;
    tx.connection
        .prepare_cached(
            "UPDATE users SET bytes = bytes + ?2, threads = threads + ?3, messages = messages + ?4 WHERE user = ?1",
        )?
        .execute((user, change.bytes, change.threads, change.messages))?;
    Ok(())
}

/// Counts one more run that ended, and forgets the oldest beyond what a user may keep.
pub fn add_run(tx: &Tx<'_>, user: i64) -> Result<()> {
    let counted = "UPDATE users SET runs = runs + 1 WHERE user = ?1 RETURNING runs";
    let Some(surplus) = surplus(tx, counted, user, tx.quota.runs_per_user)? else { return Ok(()) };
    let gone = tx
        .connection
        .prepare_cached(
            "DELETE FROM runs WHERE run_id IN
             (SELECT run_id FROM runs WHERE user = ?1 AND outcome IS NOT NULL ORDER BY run_id LIMIT ?2)",
        )?
        .execute((user, surplus))?;
    tx.connection
        .prepare_cached("UPDATE users SET runs = runs - ?2 WHERE user = ?1")?
        .execute((user, gone as i64))?;
    Ok(())
}

/// Counts one more request id, and forgets the oldest beyond what a user may keep.
pub fn add_request_id(tx: &Tx<'_>, user: i64) -> Result<()> {
    let counted = "UPDATE users SET request_ids = request_ids + 1 WHERE user = ?1 RETURNING request_ids";
    let Some(surplus) = surplus(tx, counted, user, tx.quota.request_ids_per_user)? else { return Ok(()) };
    let oldest = "SELECT request_id FROM requests WHERE user = ?1 ORDER BY created_at LIMIT ?2";
    forget_request_ids(tx, user, oldest, (user, surplus)).map(drop)
}

/// Forgets the request ids of a user that a query finds, and counts them off. Returns how many.
pub fn forget_request_ids(
    tx: &Tx<'_>,
    user: i64,
    which: &str,
    parameters: impl rusqlite::Params,
) -> Result<usize> {
    let sql = format!("DELETE FROM requests WHERE user = ?1 AND request_id IN ({which})");
    let gone = tx.connection.prepare_cached(&sql)?.execute(parameters)?;
    tx.connection
        .prepare_cached("UPDATE users SET request_ids = request_ids - ?2 WHERE user = ?1")?
        .execute((user, gone as i64))?;
    Ok(gone)
}

/// How many are to be forgotten after one more was counted.
fn surplus(tx: &Tx<'_>, counted: &str, user: i64, allowed: u64) -> Result<Option<i64>> {
    let count: Option<i64> =
        tx.connection.prepare_cached(counted)?.query_row([user], |row| row.get(0)).optional()?;
    let surplus = count.unwrap_or(0) - i64::try_from(allowed).unwrap_or(i64::MAX);
    Ok((allowed > 0 && surplus > 0).then_some(surplus.min(FORGOTTEN)))
}
