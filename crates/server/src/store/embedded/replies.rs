//! The answers of a commit to its callers, in one message to one task: to wake a task from the writer's thread is a system
//! call, and a commit has many callers.

use tokio::{runtime::Handle, sync::mpsc};

use super::writer::Job;
use crate::store::Committed;

/// A job that is durable, and what its caller is to publish.
pub type Answered = (Box<dyn Job>, Option<Committed>);

/// The way to the task.
pub struct Replies(Option<mpsc::UnboundedSender<Vec<Answered>>>);

impl Replies {
    /// By a task of the runtime that this is called in; where there is none, by whoever sends.
    pub fn here() -> Self {
        Self(Handle::try_current().ok().map(|runtime| {
            // What waits is bounded by the callers: each of them waits for one answer.
            let (replies, mut commits) = mpsc::unbounded_channel();
            runtime.spawn(async move {
                while let Some(answered) = commits.recv().await {
                    reply(answered);
                }
            });
            replies
        }))
    }

    /// Answers all of them.
    pub fn send(&self, answered: Vec<Answered>) {
        match &self.0 {
            Some(replies) => {
                // The runtime may be gone before the store is.
                if let Err(unsent) = replies.send(answered) {
                    reply(unsent.0);
                }
            }
            None => reply(answered),
        }
    }
}

fn reply(answered: Vec<Answered>) {
    answered.into_iter().for_each(|(job, committed)| job.reply(Ok(committed)));
}
