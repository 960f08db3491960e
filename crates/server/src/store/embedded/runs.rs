//! Runs: their rows, from the message that asks for them to their one end.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Map;
use wireproof_protocol::{
    ControlBody, Event, EventBody, MessageId, Outcome, Role, RunId, RunPart, Timestamp, UserId,
};

use super::{
    leases::{self, Leased},
    log,
    quota::{self, UsageChange},
    records::{
        Result, answered, event, find_thread, insert_message, json, known_user, new_thread, remember,
        thread_name,
    },
    writer::{Tx, UserEntry},
};
use crate::store::{Answer, FinishRun, Lease, LeaseTerm, QuotaUse, RunRecord, StartRun, Started, StoreError};

/// Stores a message and its run, with the events of both.
pub fn start_run(tx: &mut Tx<'_>, run: &StartRun, term: LeaseTerm) -> Result<Answer<Started>> {
    let entry = tx.user(&run.user_id)?;
    if let Some(started) = tx.leases.get(run.run_id).and_then(|leased| leased.started.clone()) {
        tx.again(&entry, &run.user_id);
        return Ok(Answer::Done(started));
    }
    if run.end.is_some()
        && let Some(started) = ended_before(tx.connection, run.run_id)?
    {
        tx.again(&entry, &run.user_id);
        return Ok(Answer::Done(started));
    }
    if let Some(answer) = answered(tx.connection, entry.number, run.request.as_ref())? {
        return Ok(Answer::Repeated(Box::new(answer)));
    }
    log::check_room(entry.seq)?;
    let message = UsageChange::message(&run.content);
    let mut events = Vec::with_capacity(3);
    let asked_for = &run.thread_id;
    let (thread, thread_id) = match find_thread(tx.connection, entry.number, asked_for)? {
        Some((thread, thread_id)) => {
            quota::check_thread(tx, thread)?;
            quota::check(tx, entry.number, message)?;
            (thread, thread_id)
        }
        None => {
            quota::check(tx, entry.number, UsageChange::thread(&json(&Map::new())?) + message)?;
            let (thread, event) =
                new_thread(tx, &entry, &run.user_id, asked_for, &run.title, &Map::new(), run.now)?;
            events.push(event);
            (thread, asked_for.clone())
        }
    };
    let role = Role::User;
    insert_message(tx, thread, run.message_id, role, &run.content, run.now, Some(run.run_id), false)?;
    let body = EventBody::MessageCreated { message_id: run.message_id, role, content: run.content.clone() };
    events.push(event(&run.user_id, &thread_id, run.now, body));
    let part =
        RunPart { run_id: run.run_id, run_seq: 1, first_run_seq: None, agent_name: run.agent_name.clone() };
    events.push(Event { run: Some(part), ..event(&run.user_id, &thread_id, run.now, run.first.clone()) });
    // The run's first event is the last of these.
    let (seq, first) = tx.append(&entry, &run.user_id, &events)?;
    // What was said under another name of the thread comes by a call of its own.
    let end = run.end.as_ref().filter(|_| thread_id == *asked_for);
    let ended = match end {
        Some(end) => room_for_answer(tx, &entry, thread, end)?
            .ok()
            .map(|answer| append_end(tx, &entry, thread, end, answer, &end.events).map(|last| (end, last)))
            .transpose()?,
        None => None,
    };
    tx.connection
        .prepare_cached(
            "INSERT INTO runs
             (run_id, user, thread, thread_id, agent_name, first_seq, created_at, outcome, last_seq, ended_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            run.run_id.as_bytes(),
            entry.number,
            thread,
            thread_id.as_str(),
            &run.agent_name,
            first as i64,
            run.now,
            ended.map(|(end, _)| end.outcome as i64),
            ended.map(|(_, last)| last as i64),
            ended.map(|(end, _)| end.now),
        ))?;
    let answer = ControlBody::Accepted { run_id: run.run_id, thread_id: thread_id.clone(), seq };
    remember(tx, entry.number, run.request.as_ref(), &answer, run.now)?;
    let started = Started { thread_id, seq, lease: 1, ended: ended.is_some() };
    if started.ended {
        quota::add_run(tx, entry.number)?;
    } else {
        let leased = Leased { term, number: started.lease, last: None, started: Some(started.clone()) };
        tx.leases.set(run.run_id, Some(leased));
    }
    Ok(Answer::Done(started))
}

/// What the start of a run answered that was stored with its end: nothing of that is in memory. Errs when the run is stored and
/// another node's.
fn ended_before(connection: &Connection, run_id: RunId) -> Result<Option<Started>> {
    let stored = connection
        .prepare_cached(
            "SELECT runs.thread_id, first_seq, threads.created_at = runs.created_at, outcome IS NOT NULL
             FROM runs LEFT JOIN threads USING (thread) WHERE run_id = ?1",
        )?
        .query_row([run_id.as_bytes()], |row| {
            let (first_seq, made_thread): (i64, Option<bool>) = (row.get(1)?, row.get(2)?);
            // Before the run's first event came its message, and before that its thread if the run made it.
            let seq = first_seq as u64 - 1 - u64::from(made_thread == Some(true));
            Ok(Started { thread_id: thread_name(row, 0)?, seq, lease: 1, ended: row.get(3)? })
        })
        .optional()?;
    match stored {
        Some(started) if !started.ended => Err(StoreError::LeaseLost),
        stored => Ok(stored),
    }
}

/// Appends events; those of a leased run that are stored already are passed over.
pub fn append(tx: &mut Tx<'_>, user_id: &UserId, lease: Option<Lease>, events: &[Event]) -> Result<u64> {
    let entry = tx.user(user_id)?;
    let events = match lease {
        Some(lease) => leases::news(events, tx.leases.check(lease)?.last),
        None => events,
    };
    if events.is_empty() {
        tx.again(&entry, user_id);
        return Ok(entry.seq);
    }
    log::check_room(entry.seq)?;
    let (_, last) = tx.append(&entry, user_id, events)?;
    if let Some(lease) = lease {
        tx.leases.written(lease, events);
    }
    Ok(last)
}

/// Leases to a node at most so many of the runs that nobody leases and that it does not drive.
pub fn take_over(
    tx: &mut Tx<'_>,
    term: LeaseTerm,
    driven: &HashSet<RunId>,
    now: Timestamp,
    most: usize,
) -> Result<Vec<(RunRecord, Lease)>> {
    if tx.leases.complete && !tx.leases.has_over(now) {
        return Ok(Vec::new());
    }
    let leases = &tx.leases;
    let is_over = |run_id| leases.get(run_id).is_none_or(|leased| leased.term.until <= now);
    let free = |run_id| is_over(run_id) && !driven.contains(&run_id);
    let records = active_runs_where(tx.connection, None, free, most)?;
    tx.leases.complete |= records.len() < most;
    let mut taken = Vec::with_capacity(records.len());
    for record in records {
        let run_id = record.run_id;
        let number = tx.leases.get(run_id).map_or(0, |leased| leased.number) + 1;
        tx.leases.set(run_id, Some(Leased { term, number, last: None, started: None }));
        taken.push((record, Lease { run_id, number }));
    }
    Ok(taken)
}

/// Appends a run's last events, its answer and its end. A run that is over stays as it is.
pub fn finish_run(tx: &mut Tx<'_>, finish: &FinishRun) -> Result<u64> {
    let (entry, run_id) = (tx.user(&finish.user_id)?, finish.lease.run_id);
    let (ended, thread): (Option<(f64, i64)>, i64) = tx
        .connection
        .prepare_cached("SELECT ended_at, last_seq, thread FROM runs WHERE run_id = ?1 AND user = ?2")?
        .query_row((run_id.as_bytes(), entry.number), |row| {
            let ended: Option<f64> = row.get(0)?;
            Ok((ended.zip(row.get(1)?), row.get(2)?))
        })?;
    if let Some((ended_at, last)) = ended {
        // The same end, which was stored and not answered.
        if ended_at != finish.now {
            return Err(StoreError::NotFound);
        }
        tx.again(&entry, &finish.user_id);
        return Ok(last as u64);
    }
    // Of an append that committed and was not answered, the finish brings the events again.
    let last = tx.leases.check(finish.lease)?.last;
    let answer = room_for_answer(tx, &entry, thread, finish)?.map_err(|full| quota::refused(tx, full))?;
    let last = append_end(tx, &entry, thread, finish, answer, leases::news(&finish.events, last))?;
    tx.connection
        .prepare_cached("UPDATE runs SET outcome = ?2, last_seq = ?3, ended_at = ?4 WHERE run_id = ?1")?
        .execute((run_id.as_bytes(), finish.outcome as i64, last as i64, finish.now))?;
    quota::add_run(tx, entry.number)?;
    tx.leases.set(run_id, None);
    Ok(last)
}

/// The answer that is to be kept, or the quota that has no room for it.
fn room_for_answer<'a>(
    tx: &Tx<'_>,
    entry: &UserEntry,
    thread: i64,
    finish: &'a FinishRun,
) -> Result<std::result::Result<Option<&'a (MessageId, String)>, QuotaUse>> {
    let Some(answer) = &finish.answer else { return Ok(Ok(None)) };
    let full = match quota::full_thread(tx, thread) {
        // The thread was deleted while the run went on; one that has its name now is another.
        Err(StoreError::NotFound) => return Ok(Ok(None)),
        full => full?,
    };
    let full = match full {
        None => quota::full(tx, entry.number, UsageChange::message(&answer.1))?,
        full => full,
    };
    Ok(full.map_or(Ok(Some(answer)), Err))
}

/// Appends the last events of a run and its answer.
fn append_end(
    tx: &mut Tx<'_>,
    entry: &UserEntry,
    thread: i64,
    finish: &FinishRun,
    answer: Option<&(MessageId, String)>,
    events: &[Event],
) -> Result<u64> {
    let (_, last) = tx.append(entry, &finish.user_id, events)?;
    if let Some((message_id, text)) = answer {
        let (incomplete, run_id) = (finish.outcome != Outcome::Success, Some(finish.lease.run_id));
        insert_message(tx, thread, *message_id, Role::Assistant, text, finish.now, run_id, incomplete)?;
    }
    Ok(last)
}

const RUN_COLUMNS: &str =
    "run_id, user_id, thread_id, agent_name, first_seq, last_seq, outcome, created_at, ended_at";

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let outcome = row.get::<_, Option<i64>>(6)?.map(|number| match number {
        n if n == Outcome::Success as i64 => Outcome::Success,
        n if n == Outcome::Cancelled as i64 => Outcome::Cancelled,
        _ => Outcome::Failed,
    });
    let user_id: String = row.get(1)?;
    let user_id = UserId::new(user_id).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(e))
    })?;
    Ok(RunRecord {
        run_id: RunId::from_bytes(row.get(0)?),
        user_id,
        thread_id: thread_name(row, 2)?,
        agent_name: row.get(3)?,
        first_seq: row.get::<_, i64>(4)? as u64,
        last_seq: row.get::<_, Option<i64>>(5)?.map(|seq| seq as u64),
        outcome,
        created_at: row.get(7)?,
        ended_at: row.get(8)?,
    })
}

/// One run of a user.
pub fn run(connection: &Connection, user_id: &UserId, run_id: RunId) -> Result<RunRecord> {
    let user = known_user(connection, user_id)?;
    let sql =
        format!("SELECT {RUN_COLUMNS} FROM runs JOIN users USING (user) WHERE run_id = ?1 AND user = ?2");
    Ok(connection.prepare_cached(&sql)?.query_row((run_id.as_bytes(), user), run_row)?)
}

/// The runs that are not over: of one user, or of all.
pub fn active_runs(connection: &Connection, user_id: Option<&UserId>) -> Result<Vec<RunRecord>> {
    active_runs_where(connection, user_id, |_| true, usize::MAX)
}

/// At most so many of the runs that are not over and are picked.
fn active_runs_where(
    connection: &Connection,
    user_id: Option<&UserId>,
    mut picked: impl FnMut(RunId) -> bool,
    most: usize,
) -> Result<Vec<RunRecord>> {
    let user = match user_id {
        None => None,
        Some(user_id) => match log::user_number(connection, user_id)? {
            Some(user) => Some(user),
            None => return Ok(Vec::new()),
        },
    };
    let filter = if user.is_some() { "user = ?1 AND" } else { "?1 IS NULL AND" };
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM runs JOIN users USING (user) WHERE {filter} outcome IS NULL ORDER BY run_id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([user], run_row)?;
    let rows = rows.filter(|row| row.as_ref().map_or(true, |run| picked(run.run_id)));
    Ok(rows.take(most).collect::<rusqlite::Result<_>>()?)
}
