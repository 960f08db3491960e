//! The context of a run: what its agent may know, read, report and cost. Bound to one user, one thread and one run by who
//! makes it; an agent names none of them.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
// What a context holds.
pub use wireproof_protocol::{MessageId, Role, RunId, ThreadId, Usage, UserId};

use crate::{AgentError, Emission, EmissionSender, ToolError};

/// One message of the run's thread.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryMessage {
    /// The message.
    pub message_id: MessageId,
    /// Who wrote it.
    pub role: Role,
    /// Its whole text.
    pub content: String,
    /// True for the partial answer of a run that failed or was cancelled.
    pub incomplete: bool,
}

/// One message of the user's own threads that fits a search.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ThreadHit {
    /// The thread it stands in.
    pub thread_id: ThreadId,
    /// The thread's title.
    pub title: String,
    /// `user` or `assistant`.
    pub role: String,
    /// The piece of text around the hit.
    pub excerpt: String,
    /// When it was written, in Unix seconds.
    pub created_at: f64,
}

/// Reads what the run's thread has before the run's own message: at most so many messages in, the latest of them out,
/// oldest first.
pub type ReadEarlier =
    Arc<dyn Fn(usize) -> BoxFuture<'static, Result<Vec<HistoryMessage>, AgentError>> + Send + Sync>;

/// Searches the messages of the run's own user: text and most hits in, newest hits out.
pub type SearchThreads =
    Arc<dyn Fn(String, usize) -> BoxFuture<'static, Result<Vec<ThreadHit>, ToolError>> + Send + Sync>;

/// What a run has cost so far; clones count together.
#[derive(Debug, Clone, Default)]
pub struct RunUsage(Arc<Mutex<Usage>>);

impl RunUsage {
    /// Adds to it.
    pub fn add(&self, more: Usage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += more;
    }

    /// All that was added.
    pub fn total(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run may know and do: one user, one thread, one run. Clones are the same run.
#[derive(Clone)]
pub struct RunContext {
    user_id: UserId,
    thread_id: ThreadId,
    run_id: RunId,
    message_id: MessageId,
    content: String,
    emissions: EmissionSender,
    cancelled: CancellationToken,
    usage: RunUsage,
    earlier: ReadEarlier,
    pub(crate) search: SearchThreads,
}

/// What an agent does with its run.
impl RunContext {
    /// Whose run it is.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The thread it answers in.
    pub fn thread_id(&self) -> &ThreadId {
        &self.thread_id
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// What the user asked: the text of the run's own message.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Cancelled when the user, a deadline or a drain wants the run to end; an agent then returns soon.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Reports an emission; waits while the store is behind. Errs with `Cancelled` when the run is over for the server.
    pub async fn emit(&self, emission: Emission) -> Result<(), AgentError> {
        self.emissions.send(emission).await
    }

    /// The thread so far: its latest messages, oldest first, at most `limit`. The run's own message is always there and
    /// always last; what came into the thread after it is left out. Each text is whole.
    ///
    /// The server gives at most 100 messages and 1 MiB of text, whatever the limit. The run's own message stands alone
    /// when the thread is deleted, and when more than 100 messages or 1 MiB of text came after it. Waits until the run is
    /// stored. Errs with the code `internal` when the messages cannot be read.
    pub async fn history(&self, limit: usize) -> Result<Vec<HistoryMessage>, AgentError> {
        let mut messages = match limit.saturating_sub(1) {
            0 => Vec::new(),
            earlier => (self.earlier)(earlier).await?,
        };
        messages.push(HistoryMessage {
            message_id: self.message_id,
            role: Role::User,
            content: self.content.clone(),
            incomplete: false,
        });
        Ok(messages)
    }

    /// The latest messages in all threads of the run's user that hold a text, at most `limit` and at most 50. Waits until
    /// the run is stored, so the run's own message may be among them. Errs with the code `internal`.
    pub async fn search_threads(
        &self,
        text: impl Into<String>,
        limit: usize,
    ) -> Result<Vec<ThreadHit>, ToolError> {
        (self.search)(text.into(), limit).await
    }

    /// Adds to what the run has cost. `agent_completed` tells the sum, however the run ends.
    pub fn add_usage(&self, usage: Usage) {
        self.usage.add(usage);
    }
}

/// How a server, or the test of an agent, makes one.
impl RunContext {
    /// The context of a run that answers `content`. Until it is given more, its thread has nothing before its own message,
    /// a search finds nothing, and nobody cancels it.
    pub fn new(
        user_id: UserId,
        thread_id: ThreadId,
        run_id: RunId,
        content: impl Into<String>,
        emissions: EmissionSender,
    ) -> Self {
        Self {
            user_id,
            thread_id,
            run_id,
            message_id: MessageId::new(),
            content: content.into(),
            emissions,
            cancelled: CancellationToken::new(),
            usage: RunUsage::default(),
            earlier: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
            search: Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
        }
    }

    /// The same run, cancelled with this token.
    pub fn with_cancelled(self, cancelled: CancellationToken) -> Self {
        Self { cancelled, ..self }
    }

    /// The same run, whose own message has this id, with what its thread has before that.
    pub fn with_history(self, message_id: MessageId, earlier: ReadEarlier) -> Self {
        Self { message_id, earlier, ..self }
    }

    /// The same run with a search in its user's threads.
    pub fn with_search(self, search: SearchThreads) -> Self {
        Self { search, ..self }
    }

    /// The same run, whose cost is counted here.
    pub fn with_usage(self, usage: RunUsage) -> Self {
        Self { usage, ..self }
    }

    /// The same run as if this had been asked.
    pub fn with_content(self, content: impl Into<String>) -> Self {
        Self { content: content.into(), ..self }
    }

    /// The same run, which reports here.
    pub fn with_emissions(self, emissions: EmissionSender) -> Self {
        Self { emissions, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(content: &str) -> RunContext {
        let (emissions, _) = crate::emissions(1, 1);
        let user_id = UserId::new("ada").unwrap();
        RunContext::new(user_id, ThreadId::generate(), RunId::new(), content, emissions)
    }

    #[tokio::test]
    async fn the_own_message_is_last_and_counts() {
        let earlier: ReadEarlier = Arc::new(|most| {
            let message = |number| HistoryMessage {
                message_id: MessageId::new(),
                role: Role::Assistant,
                content: format!("{number}"),
                incomplete: true,
            };
            Box::pin(async move { Ok((0..most).map(message).collect()) })
        });
        let message_id = MessageId::new();
        let context = asking("two").with_history(message_id, earlier);
        for (limit, length) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
            let history = context.history(limit).await.unwrap();
            let own =
                HistoryMessage { message_id, role: Role::User, content: "two".to_owned(), incomplete: false };
            assert_eq!((history.len(), history.last()), (length, Some(&own)), "limit {limit}");
        }
    }

    #[test]
    fn what_clones_cost_is_added_up_and_never_overflows() {
        let usage = RunUsage::default();
        let context = asking("one").with_usage(usage.clone());
        let cost = |input_tokens, output_tokens, total_tokens, estimated| Usage {
            input_tokens,
            output_tokens,
            total_tokens,
            estimated,
        };
        context.add_usage(cost(1, 2, 3, false));
        context.clone().add_usage(cost(10, 20, 30, true));
        context.add_usage(cost(0, 0, 0, false));
        assert_eq!(usage.total(), cost(11, 22, 33, true));
        context.add_usage(cost(u64::MAX, 0, u64::MAX, false));
        assert_eq!(usage.total(), cost(u64::MAX, 22, u64::MAX, true));
    }
}
