//! The state in place of a replay that cannot be served: threads, their latest messages, and the runs that go on.

use wireproof_protocol::{
    ControlBody, Event, OpenToolCall, ResumeReason, RunId, RunRules, RunSnapshot, SnapshotThread, UserId,
};

use crate::store::{RunRecord, Store, StoreError};

/// Messages of a thread in a snapshot.
const MESSAGES: u64 = 50;
/// How often a snapshot is tried while the tail is folded under its eyes.
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
        let Some(active_runs) = active_runs(store, records.active_runs, records.seq).await else { continue };
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
async fn active_runs(store: &dyn Store, records: Vec<RunRecord>, seq: u64) -> Option<Vec<RunSnapshot>> {
    let mut runs = Vec::with_capacity(records.len());
    for record in records {
        match RunHistory::read(store, &record, seq).await {
            Ok(history) if history.straddled => return None,
            Ok(history) => runs.push(history.snapshot(record)),
            // One run whose log is broken must not keep its user out.
            Err(e) => tracing::error!(run_id = %record.run_id, error = %e, "a run is left out of a snapshot"),
        }
    }
    Some(runs)
}

/// What the log says of one run.
pub struct RunHistory {
    /// Where the run stands.
    pub rules: RunRules,
    step_number: u32,
    /// True when an event of the run stands on both sides of the number up to which was read.
    straddled: bool,
}

impl RunHistory {
    /// Reads a run's events from the log, up to a number.
    pub async fn read(store: &dyn Store, run: &RunRecord, up_to: u64) -> Result<Self, StoreError> {
        let mut history = Self { rules: RunRules::new(), step_number: 0, straddled: false };
        let mut after = run.first_seq.saturating_sub(1);
        while after < up_to {
            let page = store.read(&run.user_id, after, PAGE_BYTES).await?;
            for stored in &page.events {
                history.straddled |= stored.first_seq <= up_to && stored.seq > up_to;
                if stored.seq <= up_to {
                    history.take(run.run_id, &stored.json)?;
                }
                after = stored.seq;
            }
            if page.complete {
                break;
            }
        }
        Ok(history)
    }

    fn take(&mut self, run_id: RunId, json: &[u8]) -> Result<(), StoreError> {
        let broken = |e: &dyn std::fmt::Display| {
            StoreError::Backend(format!("the log of run {run_id} is broken: {e}"))
        };
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
