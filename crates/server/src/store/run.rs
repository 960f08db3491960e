//! Runs as the store knows them: what starts one, what ends one, and its record.

use std::sync::Arc;

use wireproof_protocol::{
    ErrorCode, Event, EventBody, MessageId, Outcome, RunError, RunId, ThreadId, Timestamp, UserId,
};

use super::{Lease, QuotaUse, RequestKey};

/// A new run, with the message that asks for it.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// Whose run.
    pub user_id: UserId,
    /// The request, if it has an id.
    pub request: Option<RequestKey>,
    /// The user's thread, made when there is none of that name. The store may know it by another spelling; a UUID as
    /// [`ThreadId::generate`] writes it and a name that is none stay as they are.
    pub thread_id: ThreadId,
    /// The title of a thread that is made.
    pub title: String,
    /// The message's id.
    pub message_id: MessageId,
    /// The message's text.
    pub content: String,
    /// The run.
    pub run_id: RunId,
    /// The agent.
    pub agent_name: String,
    /// The run's first event: queued or started.
    pub first: EventBody,
    /// The end of a run that is over already: stored with the start, or not at all. Its lease is ignored, and its events are
    /// of the thread that is named above.
    pub end: Option<Arc<FinishRun>>,
    /// Now, in Unix seconds.
    pub now: Timestamp,
}

/// A run that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The number of the first event that the request caused.
    pub seq: u64,
    /// The fencing number of the run's lease.
    pub lease: u64,
    /// The end is stored too.
    pub ended: bool,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct FinishRun {
    /// Whose run.
    pub user_id: UserId,
    /// The run, and the right to write of it.
    pub lease: Lease,
    /// What is still to append; the last is `agent_completed`.
    pub events: Vec<Event>,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer, whole or partial, if there is one.
    pub answer: Option<(MessageId, String)>,
    /// Now, in Unix seconds.
    pub now: Timestamp,
}

impl FinishRun {
    /// The same end without the answer, which a quota has no room for: a run that would have succeeded has failed.
    pub fn without_answer(&self, full: QuotaUse) -> Self {
        let mut finish = Self { answer: None, ..self.clone() };
        let Some(EventBody::AgentCompleted { outcome, final_response, error, .. }) =
            finish.events.last_mut().map(|event| &mut event.body)
        else {
            return finish;
        };
        if *outcome == Outcome::Success {
            (*outcome, finish.outcome) = (Outcome::Failed, Outcome::Failed);
            *final_response = None;
            let code = ErrorCode::QuotaExceeded.as_str().to_owned();
            *error = Some(RunError { code, message: full.to_string() });
        }
        finish
    }
}

/// A run as the store knows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// Whose run.
    #[serde(skip)]
    pub user_id: UserId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The agent.
    pub agent_name: String,
    /// The number of its first event.
    pub first_seq: u64,
    /// The number of its last event, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// How it ended, once it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it was asked for, in Unix seconds.
    pub created_at: Timestamp,
    /// When it ended, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}
