//! A layer around a good store that keeps or gives back something wrong.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;
use wireproof_protocol::{
    ControlBody, Event, EventBody, EventId, Message, MessageId, Outcome, Position, RunId, Thread, ThreadId,
    Usage, UserId,
};
use wireproof_server::store::{
    Answer, FinishRun, Lease, LeaseTerm, OpenedLog, Page, RequestKey, RunRecord, StartRun, Started, Store,
    StoreError, Written, layer::Layer,
};

mod known;

use known::Known;

/// Between a look at something and what is done after it.
const PAUSE: Duration = Duration::from_millis(2);
/// How much later the answer to a request is kept.
const KEPT_LATE: Duration = Duration::from_millis(50);

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The head of a log is not read while a run of its user goes on.
    BlocksReads,
    /// Who looks at a run while its end is stored has it end once more, as cancelled.
    EndsTwice,
    /// The answer to a request is kept 50 ms after its run.
    KeepsRequestsLate,
    /// The answers to requests are found by their id alone, whoever asks.
    SharesRequests,
    /// A thread is shown to whoever knows its name.
    ShowsForeignThreads,
    /// A message goes into the thread of its name also when that is another user's.
    WritesForeignThreads,
    /// Who has no log is taken for the user who wrote last.
    TakesForAnother,
    /// What is appended to one log is appended to all.
    OneLog,
}

/// A layer with a fault.
pub struct FaultyStore {
    fault: StoreFault,
    known: Known,
}

impl FaultyStore {
    /// A layer with this fault.
    pub fn new(fault: StoreFault) -> Self {
        Self { fault, known: Known::default() }
    }

    /// The user in whose place a user without a log is served: the one who wrote last.
    async fn another(&self, store: &Arc<dyn Store>, user_id: &UserId) -> Result<UserId, StoreError> {
        let is_new = store.head(user_id).await?.seq == 0;
        let last = self.known.lock().last_writer.clone().filter(|_| is_new);
        Ok(last.unwrap_or_else(|| user_id.clone()))
    }

    /// The owner of a thread that is not the user's.
    fn owner(&self, user_id: &UserId, thread_id: &ThreadId) -> Option<UserId> {
        self.known.lock().owners.get(thread_id).filter(|owner| *owner != user_id).cloned()
    }

    /// The answer that the id of a request got before, whoever asked.
    fn shared_answer(&self, request: &RequestKey) -> Result<Option<ControlBody>, StoreError> {
        match self.known.lock().answers.get(&request.id) {
            Some((digest, _)) if *digest != request.digest => Err(StoreError::IdReused),
            found => Ok(found.map(|(_, answer)| answer.clone())),
        }
    }

    /// Appends the events to the logs of all other users.
    async fn append_to_others(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        events: &[Event],
    ) -> Result<(), StoreError> {
        if self.fault != StoreFault::OneLog {
            return Ok(());
        }
        let others: Vec<UserId> =
            self.known.lock().users.iter().filter(|other| *other != user_id).cloned().collect();
        for other in &others {
            // Nobody is told: what others read next shows it.
            let _ = store.append_events(other, None, Arc::new(events.to_vec())).await?;
        }
        Ok(())
    }

    /// Stores a message in the thread of another user, in a run of that user that nobody drives.
    async fn write_to(
        &self,
        store: &Arc<dyn Store>,
        owner: UserId,
        run: &StartRun,
        term: LeaseTerm,
    ) -> Result<(), StoreError> {
        let (message_id, run_id) = (MessageId::new(), RunId::new());
        let run = StartRun { user_id: owner, request: None, message_id, run_id, end: None, ..run.clone() };
        store.start_run(Arc::new(run), term).await.map(drop)
    }

    /// Keeps the answer to a request in the way of the fault.
    fn remember_run(
        &self,
        store: &Arc<dyn Store>,
        run: &StartRun,
        request: Option<RequestKey>,
        started: &Started,
    ) {
        let Some(request) = request else { return };
        let (run_id, user_id, now) = (run.run_id, run.user_id.clone(), run.now);
        let answer = ControlBody::Accepted { run_id, thread_id: started.thread_id.clone(), seq: started.seq };
        match self.fault {
            StoreFault::SharesRequests => {
                self.known.lock().answers.insert(request.id, (request.digest, answer));
            }
            StoreFault::KeepsRequestsLate => {
                let store = store.clone();
                tokio::spawn(async move {
                    sleep(KEPT_LATE).await;
                    store.remember(&user_id, request, answer, now).await
                });
            }
            _ => {}
        }
    }
}

/// The end of a run with one more behind it, which says that the run was cancelled.
fn ended_twice(finish: &FinishRun) -> FinishRun {
    let mut finish = finish.clone();
    let Some(mut again) = finish.events.last().cloned() else { return finish };
    again.event_id = EventId::new();
    if let Some(run) = &mut again.run {
        run.run_seq += 1;
    }
    again.body = EventBody::AgentCompleted {
        outcome: Outcome::Cancelled,
        message_id: None,
        final_response: None,
        error: None,
        usage: Usage::default(),
        duration_ms: 0.0,
    };
    finish.events.push(again);
    finish
}

#[async_trait]
impl Layer for FaultyStore {
    async fn open(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        position: Option<Position>,
        max_bytes: usize,
    ) -> Result<OpenedLog, StoreError> {
        let head = self.head(store, user_id).await?;
        let whose = match self.fault {
            StoreFault::TakesForAnother => self.another(store, user_id).await?,
            _ => user_id.clone(),
        };
        let active_runs = store.active_runs(Some(user_id)).await?;
        Ok(OpenedLog { head, active_runs, ..store.open(&whose, position, max_bytes).await? })
    }

    async fn head(&self, store: &Arc<dyn Store>, user_id: &UserId) -> Result<Position, StoreError> {
        self.known.lock().users.insert(user_id.clone());
        match self.fault {
            StoreFault::TakesForAnother => store.head(&self.another(store, user_id).await?).await,
            StoreFault::BlocksReads => {
                while !store.active_runs(Some(user_id)).await?.is_empty() {
                    sleep(PAUSE).await;
                }
                store.head(user_id).await
            }
            _ => store.head(user_id).await,
        }
    }

    async fn read(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        match self.fault {
            StoreFault::TakesForAnother => {
                store.read(&self.another(store, user_id).await?, after, max_bytes).await
            }
            _ => store.read(user_id, after, max_bytes).await,
        }
    }

    async fn start_run(
        &self,
        store: &Arc<dyn Store>,
        run: Arc<StartRun>,
        term: LeaseTerm,
    ) -> Result<Written<Answer<Started>>, StoreError> {
        let (asked, mut run) = (run.request.clone(), StartRun::clone(&run));
        match self.fault {
            // The end comes by its own call, in the way of the fault.
            StoreFault::OneLog | StoreFault::EndsTwice => run.end = None,
            StoreFault::KeepsRequestsLate => run.request = None,
            StoreFault::SharesRequests => {
                let before = asked.as_ref().map(|request| self.shared_answer(request)).transpose()?.flatten();
                if let Some(answer) = before {
                    return Ok(Written { value: Answer::Repeated(Box::new(answer)), committed: None });
                }
                run.request = None;
            }
            StoreFault::WritesForeignThreads => {
                let owner = self.owner(&run.user_id, &run.thread_id);
                if let Some(owner) = owner {
                    self.write_to(store, owner, &run, term).await?;
                }
            }
            _ => {}
        }
        let written = store.start_run(Arc::new(run.clone()), term).await?;
        if let Answer::Done(started) | Answer::Unchanged(started) = &written.value {
            self.known.lock().started(&run.user_id, &started.thread_id);
            self.remember_run(store, &run, asked, started);
        }
        Ok(written)
    }

    async fn append_events(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        lease: Option<Lease>,
        events: Arc<Vec<Event>>,
    ) -> Result<Written<u64>, StoreError> {
        let written = store.append_events(user_id, lease, events.clone()).await?;
        self.append_to_others(store, user_id, &events).await?;
        Ok(written)
    }

    async fn finish_run(
        &self,
        store: &Arc<dyn Store>,
        mut finish: Arc<FinishRun>,
    ) -> Result<Written<u64>, StoreError> {
        let run_id = finish.lease.run_id;
        if self.fault == StoreFault::EndsTwice && finish.outcome != Outcome::Cancelled {
            self.known.lock().ending.insert(run_id, false);
            sleep(PAUSE).await;
            if self.known.lock().ending.remove(&run_id) == Some(true) {
                finish = Arc::new(ended_twice(&finish));
            }
        }
        let written = store.finish_run(finish.clone()).await?;
        self.append_to_others(store, &finish.user_id, &finish.events).await?;
        Ok(written)
    }

    async fn answered(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        request: &RequestKey,
    ) -> Result<Option<ControlBody>, StoreError> {
        match self.fault {
            StoreFault::SharesRequests => self.shared_answer(request),
            _ => store.answered(user_id, request).await,
        }
    }

    async fn thread(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        thread_id: &ThreadId,
    ) -> Result<Thread, StoreError> {
        let owner = self.owner(user_id, thread_id).filter(|_| self.fault == StoreFault::ShowsForeignThreads);
        store.thread(owner.as_ref().unwrap_or(user_id), thread_id).await
    }

    async fn messages(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        thread_id: &ThreadId,
        limit: u64,
        offset: Option<u64>,
    ) -> Result<(Vec<Message>, u64, u64), StoreError> {
        let owner = self.owner(user_id, thread_id).filter(|_| self.fault == StoreFault::ShowsForeignThreads);
        store.messages(owner.as_ref().unwrap_or(user_id), thread_id, limit, offset).await
    }

    async fn run(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        run_id: RunId,
    ) -> Result<RunRecord, StoreError> {
        self.known.lock().ending.entry(run_id).and_modify(|looked_at| *looked_at = true);
        store.run(user_id, run_id).await
    }
}
