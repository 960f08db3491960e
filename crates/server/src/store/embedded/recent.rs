//! What the latest commits appended, in memory as it stands in the tail, and the heads of users that were here
//! lately.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use wireproof_protocol::UserId;

use crate::store::{Committed, Page, StoredEvent};

/// Users whose heads are kept in memory; past it the memory starts anew.
const HEADS: usize = 200_000;

/// Neighbouring events of one user that stand in the tail.
pub struct Chunk {
    /// The user's number in the store.
    pub user: i64,
    /// The row of the tail that it stands in.
    pub row: i64,
    /// When they were committed, in Unix seconds.
    pub created_at: f64,
    /// The events.
    pub events: Arc<[StoredEvent]>,
}

#[derive(Default)]
struct State {
    heads: HashMap<UserId, u64>,
    /// How often the memory of the heads started anew.
    anew: u64,
    tail: HashMap<UserId, Vec<Chunk>>,
    /// The users of the tail, the one with the oldest chunk first.
    order: VecDeque<UserId>,
    bytes: usize,
}

impl State {
    fn bound_heads(&mut self) {
        if self.heads.len() > HEADS {
            self.anew += 1;
            self.heads.retain(|user_id, _| self.tail.contains_key(user_id));
        }
    }
}

/// The tail and the heads, shared by the writer and the readers.
#[derive(Default)]
pub struct Recent(RwLock<State>);

impl Recent {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a user's log ends, if the user wrote or was read lately.
    pub fn head(&self, user_id: &UserId) -> Option<u64> {
        self.state().heads.get(user_id).copied()
    }

    /// How often heads were forgotten: to be asked before a head is read that is to be kept.
    pub fn anew(&self) -> u64 {
        self.state().anew
    }

    /// Keeps a head that was read from the log, unless a commit told of a later one, or may have and was forgotten.
    pub fn keep(&self, user_id: &UserId, seq: u64, anew: u64) {
        let mut state = self.state_mut();
        if state.anew == anew {
            state.heads.entry(user_id.clone()).or_insert(seq);
            state.bound_heads();
        }
    }

    /// Takes what a commit made durable, each with the user's number, and the row of the tail where it stands.
    pub fn add<'a>(&self, committed: impl Iterator<Item = (i64, &'a Committed)>, row: i64, created_at: f64) {
        let mut state = self.state_mut();
        let State { heads, tail, order, bytes, .. } = &mut *state;
        for (user, committed) in committed {
            let Some(events) = &committed.events else { continue };
            *bytes += committed.bytes;
            let chunks = tail.entry(committed.user_id.clone()).or_default();
            if chunks.is_empty() {
                order.push_back(committed.user_id.clone());
            }
            chunks.push(Chunk { user, row, created_at, events: events.clone() });
            heads.insert(committed.user_id.clone(), committed.seq);
        }
        state.bound_heads();
    }

    /// Bytes of events in the tail.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Users that have events in the tail.
    pub fn users(&self) -> usize {
        self.state().order.len()
    }

    /// Calls `each` with the chunks of the `most` users whose events are oldest.
    pub fn oldest<E>(&self, most: usize, mut each: impl FnMut(&[Chunk]) -> Result<(), E>) -> Result<(), E> {
        let state = self.state();
        state.order.iter().take(most).filter_map(|user_id| state.tail.get(user_id)).try_for_each(|c| each(c))
    }

    /// The first row of the tail that is needed once the `folded` oldest users are folded.
    pub fn first_row_after(&self, folded: usize) -> Option<i64> {
        let state = self.state();
        let next = state.order.get(folded).and_then(|user_id| state.tail.get(user_id));
        next.and_then(|chunks| chunks.first()).map(|chunk| chunk.row)
    }

    /// Forgets the chunks of the `most` oldest users, which stand in the log now.
    pub fn folded(&self, most: usize) {
        let mut state = self.state_mut();
        let State { tail, order, bytes, .. } = &mut *state;
        for user_id in order.drain(..most.min(order.len())) {
            let chunks = tail.remove(&user_id).unwrap_or_default();
            *bytes -= chunks.iter().map(|chunk| size(&chunk.events)).sum::<usize>();
        }
    }

    /// Events after a number, when the tail has the next one or the user has no more.
    pub fn read(&self, user_id: &UserId, after: u64, max_bytes: usize) -> Option<Page> {
        let state = self.state();
        if state.heads.get(user_id) == Some(&after) {
            return Some(Page { events: Vec::new(), complete: true });
        }
        let chunks = state.tail.get(user_id)?;
        let first = chunks.first()?.events.first()?;
        if first.first_seq > after + 1 {
            return None;
        }
        let mut page = Page { events: Vec::new(), complete: true };
        let mut bytes = 0;
        for event in after_in(chunks, after) {
            if bytes >= max_bytes {
                page.complete = false;
                break;
            }
            bytes += event.json.len();
            page.events.push(event.clone());
        }
        Some(page)
    }

    /// Puts the tail's events behind a page of the log; false when some are in neither, and the log must be read again.
    /// A page that is full already stays as it is, and says that there is more.
    pub fn complete(&self, user_id: &UserId, after: u64, max_bytes: usize, page: &mut Page) -> bool {
        let state = self.state();
        let mut bytes: usize = page.events.iter().map(|event| event.json.len()).sum();
        let mut last = page.events.last().map_or(after, |event| event.seq);
        for event in after_in(state.tail.get(user_id).map_or(&[], Vec::as_slice), last) {
            if event.first_seq != last + 1 {
                return false;
            }
            if bytes >= max_bytes {
                page.complete = false;
                return true;
            }
            bytes += event.json.len();
            last = event.seq;
            page.events.push(event.clone());
        }
        state.heads.get(user_id).is_none_or(|head| last >= *head)
    }
}

fn after_in(chunks: &[Chunk], after: u64) -> impl Iterator<Item = &StoredEvent> {
    chunks.iter().flat_map(|chunk| chunk.events.iter()).filter(move |event| event.seq > after)
}

fn size(events: &[StoredEvent]) -> usize {
    events.iter().map(|event| event.json.len()).sum()
}
