//! What the events say of a thread and its messages.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    event::{EventBody, Outcome, Role},
    ids::MessageId,
    records::{RunSnapshot, SnapshotThread},
};

/// A thread as its events tell it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ThreadState {
    /// Its title, if an event told it.
    pub title: Option<String>,
    /// Its metadata.
    pub metadata: Map<String, Value>,
    /// Its messages in order.
    pub messages: Vec<MessageState>,
}

/// A message as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageState {
    /// The message.
    pub message_id: MessageId,
    /// Who wrote it.
    pub role: Role,
    /// Its text so far.
    pub content: String,
    /// False while it is being written, and for good when its run failed or was cancelled.
    pub complete: bool,
}

impl ThreadState {
    pub(super) fn from_snapshot(thread: &SnapshotThread) -> Self {
        let messages = thread.messages.iter().map(|message| MessageState {
            message_id: message.message_id,
            role: message.role,
            content: message.content.clone(),
            complete: !message.incomplete,
        });
        Self {
            title: Some(thread.title.clone()),
            metadata: thread.metadata.clone(),
            messages: messages.collect(),
        }
    }

    /// The answer of a run that is not over, as a snapshot has it.
    pub(super) fn continue_answer(&mut self, run: &RunSnapshot) {
        if let Some(message_id) = run.message_id
            && !run.text.is_empty()
        {
            let answer = self.answer(message_id);
            answer.content.clone_from(&run.text);
            answer.complete = false;
        }
    }

    pub(super) fn tell(&mut self, body: &EventBody) {
        match body {
            EventBody::ThreadCreated { title, metadata } | EventBody::ThreadUpdated { title, metadata } => {
                self.title = Some(title.clone());
                self.metadata.clone_from(metadata);
            }
            EventBody::MessageCreated { message_id, role, content } => self.messages.push(MessageState {
                message_id: *message_id,
                role: *role,
                content: content.clone(),
                complete: true,
            }),
            EventBody::MessageDelta { message_id, delta } => self.answer(*message_id).content.push_str(delta),
            EventBody::AgentCompleted {
                outcome: Outcome::Success,
                message_id: Some(message_id),
                final_response: Some(text),
                ..
            } => {
                let message = self.answer(*message_id);
                message.content.clone_from(text);
                message.complete = true;
            }
            _ => {}
        }
    }

    fn answer(&mut self, message_id: MessageId) -> &mut MessageState {
        let index = match self.messages.iter().rposition(|message| message.message_id == message_id) {
            Some(index) => index,
            None => {
                self.messages.push(MessageState {
                    message_id,
                    role: Role::Assistant,
                    content: String::new(),
                    complete: false,
                });
                self.messages.len() - 1
            }
        };
        &mut self.messages[index]
    }
}
