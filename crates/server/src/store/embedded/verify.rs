//! Whether the log of a store is whole: no number missing, every event its user's, every run within its rules.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use rusqlite::Connection;
use wireproof_protocol::{Event, RunId, Timestamp, UserId, UserState};

use super::{
    fold,
    log::{self, position},
};
use crate::store::{StoreError, StoredEvent};

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StoreContents {
    /// Users with a log.
    pub users: u64,
    /// Events in their logs; what retention let go does not count.
    pub events: u64,
    /// Runs whose events are there, over or not.
    pub runs: u64,
    /// Those of them that are not over.
    pub active_runs: u64,
    /// When the latest event was, in Unix seconds.
    pub latest: Option<Timestamp>,
}

/// The events that wait in the tail, by user.
type Tail = BTreeMap<i64, Vec<StoredEvent>>;

/// Reads every log from its first event to its last; says what is there, or in a sentence what is wrong. `done` hears of
/// each user that was read.
pub fn logs(connection: &Connection, mut done: impl FnMut()) -> Result<StoreContents, String> {
    let broken = |e: rusqlite::Error| e.to_string();
    let mut tail = tail(connection).map_err(|e| e.to_string())?;
    let mut users = connection.prepare("SELECT user, user_id FROM users ORDER BY user").map_err(broken)?;
    let users: Vec<(i64, String)> = users
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(broken)?;
    let (mut holds, mut rows) = (StoreContents::default(), 0);
    for (number, name) in users {
        let user_id = UserId::new(name).map_err(|_| "a user has no valid id".to_owned())?;
        let mut log = Log { user_id, state: None, first: 0, latest: None };
        rows += log.read(connection, number, tail.remove(&number).unwrap_or_default())?;
        log.fits_the_runs(connection, number)?;
        log.add_to(&mut holds);
        done();
    }
    let stored: i64 =
        connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).map_err(broken)?;
    if stored as u64 != rows || !tail.is_empty() {
        return Err("there are events of no user".to_owned());
    }
    Ok(holds)
}

fn tail(connection: &Connection) -> Result<Tail, StoreError> {
    let mut tail = Tail::new();
    let mut rows = connection.prepare("SELECT chunks FROM tail ORDER BY id")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        for (user, _, text) in fold::decode(&row.get::<_, Vec<u8>>(0)?)? {
            tail.entry(user).or_default().extend(log::split(&Bytes::copy_from_slice(text))?);
        }
    }
    Ok(tail)
}

/// One user's log, as far as it was read.
struct Log {
    user_id: UserId,
    state: Option<UserState>,
    first: u64,
    latest: Option<Timestamp>,
}

impl Log {
    /// Reads the rows of the log, then what of the tail is not among them. Returns how many rows there were.
    fn read(&mut self, connection: &Connection, number: i64, tail: Vec<StoredEvent>) -> Result<u64, String> {
        let broken = |e: rusqlite::Error| e.to_string();
        let mut statement = connection
            .prepare_cached(
                "SELECT position, first_seq, events FROM log WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
            )
            .map_err(broken)?;
        let range = (position(number, 0), position(number + 1, 0) - 1);
        let (mut rows, mut count) = (statement.query(range).map_err(broken)?, 0);
        while let Some(row) = rows.next().map_err(broken)? {
            let (end, first): (i64, i64) = (row.get(0).map_err(broken)?, row.get(1).map_err(broken)?);
            let events = log::split(&Bytes::from(row.get::<_, Vec<u8>>(2).map_err(broken)?));
            let events = events.map_err(|e| self.says(&e.to_string()))?;
            let range = (events.first().map(|event| event.first_seq), events.last().map(|event| event.seq));
            if range != (Some(first as u64), Some(log::seq_of(end))) {
                return Err(self.says(&format!("the row up to seq {} holds other events", log::seq_of(end))));
            }
            events.iter().try_for_each(|event| self.take(event))?;
            count += 1;
        }
        // A row of the tail stays until all its users are folded: some of it may be in the log already.
        let head = self.head();
        tail.iter().filter(|event| event.seq > head).try_for_each(|event| self.take(event))?;
        Ok(count)
    }

    fn take(&mut self, stored: &StoredEvent) -> Result<(), String> {
        let event: Event = serde_json::from_slice(&stored.json)
            // Where, and not what: it is what a user wrote.
            .map_err(|e| self.says(&format!("seq {} is no event (byte {})", stored.seq, e.column())))?;
        if event.user_id != self.user_id || event.range() != (stored.first_seq, stored.seq) {
            return Err(self.says(&format!("seq {} is another event", stored.seq)));
        }
        if self.state.is_none() {
            self.first = stored.first_seq;
        }
        let first = self.first;
        let state = self.state.get_or_insert_with(|| UserState::starting_at(first - 1));
        let applied = state.apply(&event);
        self.latest = Some(self.latest.map_or(event.timestamp, |latest| latest.max(event.timestamp)));
        applied.map_err(|e| self.says(&e.to_string()))
    }

    /// A run that its events end is none that its row calls active.
    fn fits_the_runs(&self, connection: &Connection, number: i64) -> Result<(), String> {
        let broken = |e: rusqlite::Error| e.to_string();
        let mut statement = connection
            .prepare_cached("SELECT run_id FROM runs WHERE user = ?1 AND outcome IS NULL")
            .map_err(broken)?;
        let active: HashSet<Vec<u8>> =
            statement.query_map([number], |row| row.get(0)).and_then(Iterator::collect).map_err(broken)?;
        let ended = self.runs().filter(|(_, over)| *over);
        match ended.map(|(run_id, _)| run_id).find(|run_id| active.contains(run_id.as_bytes().as_slice())) {
            Some(run_id) => Err(self.says(&format!("run {run_id} has ended and is called active"))),
            None => Ok(()),
        }
    }

    fn runs(&self) -> impl Iterator<Item = (RunId, bool)> + '_ {
        let runs = self.state.iter().flat_map(|state| &state.runs);
        runs.map(|(run_id, run)| (*run_id, run.outcome.is_some()))
    }

    fn head(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.seq)
    }

    fn add_to(&self, holds: &mut StoreContents) {
        if self.state.is_some() {
            holds.users += 1;
            holds.events += self.head() + 1 - self.first;
        }
        holds.runs += self.runs().count() as u64;
        holds.active_runs += self.runs().filter(|(_, over)| !over).count() as u64;
        holds.latest = match (holds.latest, self.latest) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }

    fn says(&self, what: &str) -> String {
        format!("the log of user {:?}: {what}", self.user_id.as_str())
    }
}
