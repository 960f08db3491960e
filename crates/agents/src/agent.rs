//! What an agent is to the server: something that runs with a context and reports what it does.
//! It never sees a socket, a store or another user; `agent_started` and `agent_completed` are the server's to say.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{RunId, ThreadId, ToolCallId, Usage, UserId};

use crate::EmissionSender;

/// What an agent reports while it works, in the order of its saying.
#[derive(Debug, Clone, PartialEq)]
pub enum Emission {
    /// One step of thought per turn; `reasoning` is never empty.
    Thinking {
        /// What the agent is about to do and why.
        reasoning: String,
    },
    /// A piece of reasoning as it comes.
    ThinkingDelta {
        /// The piece.
        delta: String,
    },
    /// A piece of the answer as it comes.
    MessageDelta {
        /// The piece.
        delta: String,
    },
    /// A piece of a tool's arguments as they come.
    ToolArgumentsDelta {
        /// Whose arguments.
        tool_call_id: ToolCallId,
        /// The piece.
        delta: String,
    },
    /// A tool starts.
    ToolExecuting {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool's name.
        tool_name: String,
        /// The tool's parameters, an object.
        parameters: Value,
    },
    /// A tool ended, well or badly.
    ToolCompleted {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool's name.
        tool_name: String,
        /// Its result or its failure.
        result: Result<Value, ToolFailure>,
        /// How long it took, in milliseconds.
        duration_ms: f64,
    },
    /// A change of the run's state that a user should see, such as a retry.
    Status {
        /// A word for programs.
        status: String,
        /// A sentence for people.
        detail: Option<String>,
    },
}

/// Why a tool failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ToolFailure {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl ToolFailure {
    /// A failure from its code and its sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// How a run went well.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The whole answer: equal to the message deltas put together, if there were any.
    pub final_response: String,
    /// What it cost.
    pub usage: Usage,
}

/// Why a run went badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The run was cancelled and the agent stopped.
    #[error("the run was cancelled")]
    Cancelled,
    /// The agent could not finish.
    #[error("{message}")]
    Failed {
        /// A word for programs.
        code: String,
        /// A sentence for people; no cause, path or secret.
        message: String,
    },
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

/// Searches the messages of the run's own user: text and most hits in, newest hits out. Bound to the user by the server.
pub type SearchThreads =
    Arc<dyn Fn(String, usize) -> BoxFuture<'static, Result<Vec<ThreadHit>, ToolFailure>> + Send + Sync>;

/// What a run may know and do: one user, one thread, one run.
#[derive(Clone)]
pub struct RunContext {
    /// Whose run it is.
    pub user_id: UserId,
    /// The thread it answers in.
    pub thread_id: ThreadId,
    /// The run.
    pub run_id: RunId,
    /// What the user asked.
    pub content: String,
    /// Cancelled when the user, a deadline or a drain wants the run to end; an agent then returns soon.
    pub cancelled: CancellationToken,
    /// Search in the user's own threads.
    pub search_threads: SearchThreads,
    /// Where emissions go.
    pub emissions: EmissionSender,
}

impl RunContext {
    /// Reports an emission; waits while the store is behind. Errs with `Cancelled` when the run is over for the server.
    pub async fn emit(&self, emission: Emission) -> Result<(), AgentError> {
        self.emissions.send(emission).await
    }
}

/// Something that answers a user's message.
pub trait Agent: Send + Sync + 'static {
    /// The name that events carry and that a client asks for.
    fn name(&self) -> &str;

    /// The sentence that `agent_started` carries.
    fn greeting(&self) -> String {
        format!("{} is working on your message.", self.name())
    }

    /// The names of the tools it may call, as far as they are known beforehand.
    fn tools(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs to the end; emissions come before the return of the answer.
    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>>;
}
