//! The state in place of a replay that cannot be served: threads, their latest messages, and the runs that go on.

use std::{borrow::Cow, collections::HashMap};

use wireproof_protocol::{
    ControlBody, Event, OpenToolCall, ResumeReason, RunId, RunRules, RunSnapshot, SnapshotThread, UserId,
};

use crate::store::{RunRecord, Store, StoreError, StoredEvent};

/// Messages of a thread in a snapshot.
const MESSAGES: u64 = 50;
/// How often a snapshot is tried again when the tail is folded meanwhile.
const TRIES: usize = 10;
/// Threads in a snapshot, those that changed last; the others are a request away.
const THREADS: u64 = 200;
/// Bytes of messages' text in a snapshot, those of the threads that changed last first.
const TEXT_BYTES: usize = 1 << 20;
/// Bytes of the log read at a time.
const PAGE_BYTES: usize = 256 << 10;

/// The user's state at the head, and the head's number.
pub async fn take(
    store: &dyn Store,
    user_id: &UserId,
    reason: ResumeReason,
) -> Result<(ControlBody, u64), StoreError> {
    let epoch = store.head(user_id).await?.epoch;
    for _ in 0..TRIES {
        let records = store.records(user_id, THREADS, MESSAGES, TEXT_BYTES).await?;
        let active_runs = active_runs(store, user_id, records.active_runs, records.seq).await?;
        let Some(active_runs) = active_runs else { continue };
        let threads = records.threads.into_iter().map(|(thread, messages)| SnapshotThread {
            thread_id: thread.thread_id,
            title: thread.title,
            metadata: thread.metadata,
            truncated: thread.message_count > messages.len() as u64,
            messages,
        });
        let threads = threads.collect();
        let body = ControlBody::Snapshot { reason, epoch, seq: records.seq, threads, active_runs };
        return Ok((body, records.seq));
    }
    Err(StoreError::Backend("no moment could be read whole".to_owned()))
}

/// The runs at a number; `None` when deltas on both sides of it were put together meanwhile.
async fn active_runs(
    store: &dyn Store,
    user_id: &UserId,
    records: Vec<RunRecord>,
    seq: u64,
) -> Result<Option<Vec<RunSnapshot>>, StoreError> {
    let Some(histories) = Histories::read(store, user_id, &records, seq).await? else { return Ok(None) };
    let mut histories = histories.runs;
    let runs = records.into_iter().filter_map(|record| {
        let history = histories.remove(&record.run_id)?;
        // One run with a broken log must not make the user's snapshot fail.
        if let Some(error) = &history.broken {
            tracing::error!(run_id = %record.run_id, %error, "a run is left out of a snapshot");
            return None;
        }
        Some(history.snapshot(record))
    });
    Ok(Some(runs.collect()))
}

/// What the log says of some runs of one user, read in one go.
struct Histories {
    runs: HashMap<RunId, RunHistory>,
    /// True when an event stands on both sides of the number up to which was read.
    straddled: bool,
}

/// The part of an event that names its run.
#[derive(serde::Deserialize)]
struct Whose<'a> {
    #[serde(borrow, default)]
    run_id: Option<Cow<'a, str>>,
}

impl Histories {
    /// Reads the log up to a number, once for all runs, with its parsing off the async threads. `None` when an event
    /// stands on both sides of the number.
    async fn read(
        store: &dyn Store,
        user_id: &UserId,
        runs: &[RunRecord],
        up_to: u64,
    ) -> Result<Option<Self>, StoreError> {
        let new = runs.iter().map(|run| (run.run_id, RunHistory::default())).collect();
        let mut histories = Self { runs: new, straddled: false };
        let Some(first) = runs.iter().map(|run| run.first_seq).min() else { return Ok(Some(histories)) };
        let mut after = first.saturating_sub(1);
        while after < up_to {
            let page = store.read(user_id, after, PAGE_BYTES).await?;
            let Some(last) = page.events.last().map(|stored| stored.seq) else { break };
            let (complete, events) = (page.complete, page.events);
            let taking = tokio::task::spawn_blocking(move || {
                events.iter().for_each(|stored| histories.take(stored, up_to));
                histories
            });
            histories = taking.await.map_err(|e| StoreError::Backend(e.to_string()))?;
            after = last;
            if complete {
                break;
            }
        }
        Ok((!histories.straddled).then_some(histories))
    }

    fn take(&mut self, stored: &StoredEvent, up_to: u64) {
        if stored.seq > up_to {
            self.straddled |= stored.first_seq <= up_to;
            return;
        }
        let whose = serde_json::from_slice::<Whose<'_>>(&stored.json).ok().and_then(|event| event.run_id);
        let run_id = whose.and_then(|run_id| run_id.parse().ok());
        let Some((run_id, history)) = run_id.and_then(|id| Some((id, self.runs.get_mut(&id)?))) else {
            return;
        };
        if history.broken.is_none() {
            history.broken = history.take(run_id, &stored.json).err();
        }
    }
}

/// The events of a run in the log cannot be parsed, or break the rules of a run: no other event can follow them.
#[derive(Debug, thiserror::Error)]
#[error("the log of run {run_id} is broken: {reason}")]
pub struct BrokenLog {
    run_id: RunId,
    reason: String,
}

/// What the log says of one run.
#[derive(Default)]
pub struct RunHistory {
    /// Where the run stands.
    pub rules: RunRules,
    step_number: u32,
    broken: Option<BrokenLog>,
}

impl RunHistory {
    /// Reads a run's events from the log, up to a number.
    pub async fn read(
        store: &dyn Store,
        run: &RunRecord,
        up_to: u64,
    ) -> Result<Result<Self, BrokenLog>, StoreError> {
        let histories = Histories::read(store, &run.user_id, std::slice::from_ref(run), up_to).await?;
        let history = histories.and_then(|mut histories| histories.runs.remove(&run.run_id));
        let mut history =
            history.ok_or_else(|| StoreError::Backend("the log did not hold still".to_owned()))?;
        Ok(history.broken.take().map_or(Ok(history), Err))
    }

    fn take(&mut self, run_id: RunId, json: &[u8]) -> Result<(), BrokenLog> {
        let broken = |e: &dyn std::fmt::Display| BrokenLog { run_id, reason: e.to_string() };
        let event: Event = serde_json::from_slice(json).map_err(|e| broken(&e))?;
        let Some(part) = event.run.as_ref().filter(|part| part.run_id == run_id) else { return Ok(()) };
        self.rules.apply(part.first_run_seq, part.run_seq, &event.body).map_err(|e| broken(&e))?;
        if let wireproof_protocol::EventBody::AgentThinking { step_number, .. } = event.body {
            self.step_number = step_number;
        }
        Ok(())
    }

    fn snapshot(&self, record: RunRecord) -> RunSnapshot {
        let (message_id, text) = self.rules.text();
        let open_tool_calls = self.rules.open_tools();
        RunSnapshot {
            run_id: record.run_id,
            thread_id: record.thread_id,
            agent_name: record.agent_name,
            run_seq: self.rules.run_seq(),
            started: self.rules.is_running(),
            message_id,
            text: text.to_owned(),
            step_number: self.step_number,
            open_tool_calls: open_tool_calls
                .map(|(tool_call_id, name)| OpenToolCall { tool_call_id, tool_name: name.to_owned() })
                .collect(),
            open_approvals: self.rules.open_approvals().map(|(approval_id, _)| approval_id).collect(),
        }
    }
}
