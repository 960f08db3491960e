//! What a client says: frames good and bad, requests with their answers, and messages to agents.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use wireproof_protocol::{ControlBody, RunId, ThreadId};

use super::TestClient;
use crate::{expect::Unmet, matcher::answer_to, received::ReceivedFrame, recording::NotSent};

/// What `accepted` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The run.
    pub run_id: RunId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The number of the first event that the request caused.
    pub seq: u64,
}

impl TestClient {
    /// Sends a frame: a `ClientFrame`, a `Request`, or any JSON value.
    pub async fn send(&self, frame: impl Serialize) {
        match serde_json::to_string(&frame) {
            Ok(text) => self.send_raw(text).await,
            Err(error) => panic!("{}: the frame cannot be JSON: {error}", self.name),
        }
    }

    /// Sends any text. Panics when the connection is over; one that breaks meanwhile shows in what follows.
    pub async fn send_raw(&self, text: impl Into<String>) {
        self.try_send_raw(text).await.unwrap_or_else(|unmet| panic!("{unmet}"));
    }

    /// The same with the failure as an error.
    pub async fn try_send_raw(&self, text: impl Into<String>) -> Result<(), Unmet> {
        let text = text.into();
        self.record().change(|history| history.sent(text.clone()));
        let sent = self.connection.send_text(text).await;
        self.begun(sent)
    }

    /// Sends a binary frame. Panics when the connection is over.
    pub async fn send_binary(&self, bytes: impl Into<Vec<u8>>) {
        self.try_send_binary(bytes).await.unwrap_or_else(|unmet| panic!("{unmet}"));
    }

    /// The same with the failure as an error.
    pub async fn try_send_binary(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Unmet> {
        let bytes = bytes.into();
        self.record().change(|history| history.sent(format!("{} binary bytes", bytes.len())));
        let sent = self.connection.send_binary(bytes).await;
        self.begun(sent)
    }

    /// An error when the connection was over before; one that was lost meanwhile shows in the history.
    pub(super) fn begun(&self, sent: Result<(), NotSent>) -> Result<(), Unmet> {
        match sent {
            Err(NotSent::Over) => {
                let why = "the connection is over, nothing can be sent";
                Err(Unmet::wrong(&self.name, why, &self.history()))
            }
            Ok(()) | Err(NotSent::Lost) => Ok(()),
        }
    }

    /// Sends a frame under a new id and waits for its one answer, good or bad.
    pub async fn ask(&self, frame: impl Serialize) -> Arc<ReceivedFrame> {
        self.try_ask(frame).await.unwrap_or_else(|unmet| panic!("{unmet}"))
    }

    /// The same with the failure as an error.
    pub async fn try_ask(&self, frame: impl Serialize) -> Result<Arc<ReceivedFrame>, Unmet> {
        let mut frame = serde_json::to_value(&frame).unwrap_or(Value::Null);
        let id = format!("kit-{}", uuid::Uuid::now_v7());
        frame["id"] = Value::String(id.clone());
        self.try_send_raw(frame.to_string()).await?;
        self.try_expect(answer_to(&id), self.deadline).await
    }

    /// Says something to the server's first agent in a new thread; panics unless it is accepted.
    pub async fn chat(&self, content: &str) -> Accepted {
        self.request_run(json!({ "type": "chat", "content": content })).await
    }

    /// Says something to an agent in a new thread; panics unless it is accepted.
    pub async fn chat_with(&self, agent: &str, content: &str) -> Accepted {
        self.request_run(json!({ "type": "chat", "content": content, "agent": agent })).await
    }

    /// Says something to an agent in a thread, which is made if there is none of that name; panics unless it is accepted.
    pub async fn chat_in(&self, thread_id: &ThreadId, agent: &str, content: &str) -> Accepted {
        let frame = json!({ "type": "chat", "content": content, "agent": agent, "thread_id": thread_id });
        self.request_run(frame).await
    }

    /// Sends a request for a run; panics unless it is accepted.
    pub async fn request_run(&self, frame: Value) -> Accepted {
        self.try_request_run(frame).await.unwrap_or_else(|unmet| panic!("{unmet}"))
    }

    /// The same with the failure as an error.
    pub async fn try_request_run(&self, frame: Value) -> Result<Accepted, Unmet> {
        let answer = self.try_ask(frame).await?;
        match answer.control().map(|control| &control.body) {
            Some(ControlBody::Accepted { run_id, thread_id, seq }) => {
                Ok(Accepted { run_id: *run_id, thread_id: thread_id.clone(), seq: *seq })
            }
            _ => {
                let what = format!("no run was accepted: {}", answer.text);
                Err(Unmet::wrong(&self.name, what, &self.history()))
            }
        }
    }
}
