//! Threads and their messages: what a user may do with them, and the events that tell all the user's devices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{
    ControlBody, ErrorBody, ErrorCode, MAX_METADATA_DEPTH, Message, Thread, ThreadId, UserId, depth,
};

use crate::{
    delivery::Publisher,
    error::Refusal,
    store::{
        Answer, RequestKey, STORE_PATIENCE, Store, StoreError, ThreadChange, Window, Written, in_time,
        while_away,
    },
};

/// Most rows of a page.
const MOST: u64 = 100;
/// Title of a thread that was given none.
const UNTITLED: &str = "New thread";
/// Most bytes of metadata, as JSON.
const METADATA_BYTES: usize = 16 << 10;

/// A user's threads.
pub struct Threads {
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    /// How long a change waits for a store that is away, unless the server drains.
    store_wait: Duration,
    draining: CancellationToken,
}

/// Messages of a thread and where they stand in it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// How many the thread has.
    pub total: u64,
    /// How many a page holds.
    pub limit: u64,
    /// How many stand before the page.
    pub offset: u64,
}

fn not_found(error: StoreError) -> Refusal {
    match error {
        StoreError::NotFound => Refusal::new(ErrorCode::NotFound, "There is no such thread."),
        other => other.into(),
    }
}

/// The answer to a change of a thread.
pub fn changed(thread_id: ThreadId) -> ControlBody {
    ControlBody::Ack { thread_id: Some(thread_id), run_id: None, approval_id: None, outcome: None }
}

/// The thread that a text names; a text that no thread can have as its name names nothing.
pub fn thread_id(text: &str) -> Result<ThreadId, Refusal> {
    text.parse().map_err(|_| not_found(StoreError::NotFound))
}

/// The name of a thread that is made when it is not there.
pub fn new_thread_id(text: &str) -> Result<ThreadId, Refusal> {
    text.parse().map_err(|e| {
        let sentence = format!("The name of a thread {e}.");
        ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", "thread_id").into()
    })
}

impl Threads {
    /// The threads in a store; the events of changes are published.
    pub fn new(
        store: Arc<dyn Store>,
        publisher: Arc<Publisher>,
        store_wait: Duration,
        draining: CancellationToken,
    ) -> Self {
        Self { store, publisher, store_wait, draining }
    }

    /// Creates, changes or deletes; `Repeated` is the answer that the same request got before. Waits for a store that is
    /// away, and goes on when the caller goes away.
    pub async fn change(
        &self,
        user_id: &UserId,
        request: Option<RequestKey>,
        change: ThreadChange,
    ) -> Result<Answer<Thread>, Refusal> {
        let (title, metadata) = match &change {
            ThreadChange::Create { title, metadata, .. } => (Some(title), Some(metadata)),
            ThreadChange::Update { title, metadata, .. } => (title.as_ref(), metadata.as_ref()),
            ThreadChange::Delete { .. } => (None, None),
        };
        check(title, metadata)?;
        let (store, user_id) = (self.store.clone(), user_id.clone());
        let (wait, stop, now) = (self.store_wait, self.draining.clone(), crate::clock::unix_now());
        let write = async move {
            let tries = AtomicUsize::new(0);
            let call = || {
                tries.fetch_add(1, Relaxed);
                store.change_thread(&user_id, request.clone(), change.clone(), now)
            };
            match (while_away(wait, &stop, call).await, change) {
                // An earlier try deleted it, and the answer was lost.
                (Err(StoreError::NotFound), ThreadChange::Delete { thread_id }) if tries.into_inner() > 1 => {
                    Ok(Written { value: Answer::Repeated(Box::new(changed(thread_id))), committed: None })
                }
                (answer, _) => answer,
            }
        };
        in_time(wait + STORE_PATIENCE, self.publisher.carry_out(write)).await.map_err(not_found)
    }

    /// A new thread's change, with a title in any case.
    pub fn creation(
        thread_id: Option<ThreadId>,
        title: Option<String>,
        metadata: Option<Map<String, Value>>,
    ) -> ThreadChange {
        let title = title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| UNTITLED.to_owned());
        // A store that is asked again has to find what it made before.
        let thread_id = Some(thread_id.unwrap_or_else(ThreadId::generate));
        ThreadChange::Create { thread_id, title, metadata: metadata.unwrap_or_default() }
    }

    /// A page of the user's threads, latest change first, and how many there are. Limit 20 when absent, at most 100.
    pub async fn list(
        &self,
        user_id: &UserId,
        limit: Option<u64>,
        offset: Option<u64>,
    ) -> Result<(Vec<Thread>, u64, Window), Refusal> {
        let window = Window {
            limit: limit.unwrap_or(20).clamp(1, MOST),
            offset: offset.unwrap_or(0).min(i64::MAX as u64),
        };
        let (threads, total) = self.store.threads(user_id, window).await?;
        Ok((threads, total, window))
    }

    /// One thread of the user.
    pub async fn get(&self, user_id: &UserId, thread_id: &ThreadId) -> Result<Thread, Refusal> {
        self.store.thread(user_id, thread_id).await.map_err(not_found)
    }

    /// A page of a thread's messages; the latest when no offset is given. Limit 50 when absent, at most 100.
    pub async fn messages(
        &self,
        user_id: &UserId,
        thread_id: &ThreadId,
        limit: Option<u64>,
        offset: Option<u64>,
    ) -> Result<HistoryPage, Refusal> {
        let limit = limit.unwrap_or(50).clamp(1, MOST);
        let (messages, total, offset) =
            self.store.messages(user_id, thread_id, limit, offset).await.map_err(not_found)?;
        Ok(HistoryPage { messages, total, limit, offset })
    }

    /// A thread with its latest messages, as `thread_data`.
    pub async fn show(&self, user_id: &UserId, thread_id: &ThreadId) -> Result<ControlBody, Refusal> {
        let thread = self.get(user_id, thread_id).await?;
        let page = self.messages(user_id, thread_id, None, None).await?;
        Ok(ControlBody::ThreadData { thread, messages: page.messages })
    }
}

fn check(title: Option<&String>, metadata: Option<&Map<String, Value>>) -> Result<(), Refusal> {
    let refuse = |sentence: &str| Err(Refusal::new(ErrorCode::InvalidFrame, sentence));
    if let Some(title) = title {
        if title.trim().is_empty() {
            return refuse("A title needs text.");
        }
        if title.chars().count() > 200 {
            return refuse("A title has at most 200 characters.");
        }
    }
    let size = metadata.map_or(0, |metadata| serde_json::to_vec(metadata).map_or(0, |json| json.len()));
    if size > METADATA_BYTES {
        return refuse("Metadata has at most 16 KiB.");
    }
    let deep = metadata.map_or(0, |metadata| 1 + metadata.values().map(depth).max().unwrap_or(0));
    if deep > MAX_METADATA_DEPTH {
        let sentence = format!("Metadata is nested at most {MAX_METADATA_DEPTH} deep.");
        let body = ErrorBody::new(ErrorCode::InvalidFrame, sentence).detail("field", "metadata");
        return Err(body.detail("limit", MAX_METADATA_DEPTH).into());
    }
    Ok(())
}
