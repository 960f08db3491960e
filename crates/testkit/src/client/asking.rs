//! What a client says: frames good and bad, requests with their answers, and messages to agents.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use wireproof_protocol::{ControlBody, RunId, ThreadId};

use super::TestClient;
use crate::{arrival::Arrival, expect::Unmet, line::Order, matcher::answer_to};

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
        let text = text.into();
        self.collector.note(|history| history.sent(text.clone()));
        let (done, sent) = oneshot::channel();
        self.order(Order::Text(text, done)).await;
        // Dropped when the connection ended first: the history tells.
        let _ = sent.await;
    }

    /// Sends a binary frame.
    pub async fn send_binary(&self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.collector.note(|history| history.sent(format!("{} binary bytes", bytes.len())));
        let (done, sent) = oneshot::channel();
        self.order(Order::Binary(bytes, done)).await;
        let _ = sent.await;
    }

    pub(super) async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            let history = self.collector.history();
            panic!("{}", Unmet::wrong(&self.name, "the connection is over, nothing can be sent", &history));
        }
    }

    /// Sends a frame under a new id and waits for its one answer, good or bad.
    pub async fn ask(&self, frame: impl Serialize) -> Arc<Arrival> {
        let mut frame = serde_json::to_value(&frame).unwrap_or(Value::Null);
        let id = format!("kit-{}", uuid::Uuid::now_v7());
        frame["id"] = Value::String(id.clone());
        self.send(&frame).await;
        self.expect(answer_to(&id)).await
    }

    /// Says something to the server's first agent in a new thread; panics unless it is accepted.
    pub async fn chat(&self, content: &str) -> Accepted {
        self.request_run(json!({ "type": "chat", "content": content })).await
    }

    /// Says something to an agent in a new thread; panics unless it is accepted.
    pub async fn chat_with(&self, agent: &str, content: &str) -> Accepted {
        self.request_run(json!({ "type": "chat", "content": content, "agent": agent })).await
    }

    /// Sends a request for a run; panics unless it is accepted.
    pub async fn request_run(&self, frame: Value) -> Accepted {
        let answer = self.ask(frame).await;
        match answer.control().map(|control| &control.body) {
            Some(ControlBody::Accepted { run_id, thread_id, seq }) => {
                Accepted { run_id: *run_id, thread_id: thread_id.clone(), seq: *seq }
            }
            _ => panic!("{}: no run was accepted: {}", self.name, answer.text),
        }
    }
}
