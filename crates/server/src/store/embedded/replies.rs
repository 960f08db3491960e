//! The answers of a commit to its callers, in one message to one task of their runtime: to wake a task from the writer's
//! thread is a system call, and a commit has many callers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::{
    runtime::{Handle, Id},
    sync::mpsc,
};

use super::writer::Job;
use crate::store::Committed;

/// A job that is durable, and what its caller is to publish.
type Answered = (Box<dyn Job>, Option<Committed>);

/// The way to the task that answers the callers of one runtime. What waits in it is bounded: each caller waits for one answer.
pub type Replies = mpsc::UnboundedSender<Vec<Answered>>;

/// The tasks that answer, one for each runtime that callers are in: it runs for as long as they do.
#[derive(Default)]
pub struct ReplyTasks(Mutex<HashMap<Id, Replies>>);

impl ReplyTasks {
    /// The task of the runtime that this is called in; none outside of one.
    pub fn here(&self) -> Option<Replies> {
        let runtime = Handle::try_current().ok()?;
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replies) = tasks.get(&runtime.id()).filter(|replies| !replies.is_closed()) {
            return Some(replies.clone());
        }
        tasks.retain(|_, replies| !replies.is_closed());
        let (replies, mut commits) = mpsc::unbounded_channel();
        runtime.spawn(async move {
            while let Some(answered) = commits.recv().await {
                reply(answered);
            }
        });
        tasks.insert(runtime.id(), replies.clone());
        Some(replies)
    }
}

/// Answers the callers of a commit, in its order for those of one runtime.
pub fn send(answered: impl Iterator<Item = Answered>) {
    let mut runtimes: Vec<(Option<Replies>, Vec<Answered>)> = Vec::new();
    for (job, committed) in answered {
        let same = |there: &Option<Replies>| match (there, job.replies()) {
            (Some(there), Some(here)) => there.same_channel(here),
            (there, here) => there.is_none() && here.is_none(),
        };
        match runtimes.iter_mut().find(|(there, _)| same(there)) {
            Some((_, answered)) => answered.push((job, committed)),
            None => runtimes.push((job.replies().cloned(), vec![(job, committed)])),
        }
    }
    for (replies, answered) in runtimes {
        match replies {
            // A runtime that is shut down answers nobody.
            Some(replies) => replies.send(answered).unwrap_or_else(|unsent| reply(unsent.0)),
            None => reply(answered),
        }
    }
}

fn reply(answered: Vec<Answered>) {
    answered.into_iter().for_each(|(job, committed)| job.reply(Ok(committed)));
}
