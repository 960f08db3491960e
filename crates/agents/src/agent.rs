//! What an agent is to the server: something that runs with a context and reports what it does.
//! It never sees a socket, a store or another user; `agent_started` and `agent_completed` are the server's to say.

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use wireproof_protocol::{EventBody, MessageId};
// What an emission holds.
pub use wireproof_protocol::{
    StatusUpdate, ToolArgumentsDelta, ToolCallId, ToolCompleted, ToolError, ToolExecuting,
};

use crate::RunContext;

/// What an agent reports while it works, in the order of its saying. It can be read from the JSON of the event that it
/// becomes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Emission {
    /// One step of thought per turn; `reasoning` is never empty.
    #[serde(rename = "agent_thinking")]
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
    ToolArgumentsDelta(ToolArgumentsDelta),
    /// A tool starts; its parameters are an object.
    ToolExecuting(ToolExecuting),
    /// A tool ended, with a result or an error.
    ToolCompleted(ToolCompleted),
    /// A change of the run's state that a user should see, such as a retry.
    #[serde(rename = "status_update")]
    Status(StatusUpdate),
}

/// A part of an emission that may be large.
#[derive(Debug)]
pub enum EmissionPart<'a> {
    /// The name of a tool.
    ToolName(&'a str),
    /// A word for programs.
    Word(&'a str),
    /// A text for people.
    Text(&'a str),
    /// The parameters or the result of a tool, which may be cut.
    Value(&'a mut Value),
    /// The error of a tool, which may be cut.
    Error(&'a mut ToolError),
}

impl Emission {
    /// The parts that may be large: a bound on emissions is a bound on these.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = EmissionPart<'_>> {
        use EmissionPart::*;
        let parts = match self {
            Self::Thinking { reasoning: text }
            | Self::ThinkingDelta { delta: text }
            | Self::MessageDelta { delta: text } => [Some(Text(text)), None, None],
            Self::ToolArgumentsDelta(piece) => [Some(Text(&piece.delta)), None, None],
            Self::ToolExecuting(call) => {
                [Some(ToolName(&call.tool_name)), Some(Value(&mut call.parameters)), None]
            }
            Self::ToolCompleted(call) => [
                Some(ToolName(&call.tool_name)),
                call.result.as_mut().map(Value),
                call.error.as_mut().map(Error),
            ],
            Self::Status(update) => [Some(Word(&update.status)), update.detail.as_deref().map(Text), None],
        };
        parts.into_iter().flatten()
    }

    /// The event that it becomes in a run: the server knows the id of the answer and the number of the step.
    pub fn into_body(self, message_id: MessageId, step_number: u32) -> EventBody {
        match self {
            Self::Thinking { reasoning } => EventBody::AgentThinking { reasoning, step_number },
            Self::ThinkingDelta { delta } => EventBody::ThinkingDelta { message_id, delta },
            Self::MessageDelta { delta } => EventBody::MessageDelta { message_id, delta },
            Self::ToolArgumentsDelta(piece) => EventBody::ToolArgumentsDelta(piece),
            Self::ToolExecuting(call) => EventBody::ToolExecuting(call),
            Self::ToolCompleted(call) => EventBody::ToolCompleted(call),
            Self::Status(update) => EventBody::StatusUpdate(update),
        }
    }
}

/// How a run went well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The whole answer: equal to the message deltas put together, if there were any.
    pub final_response: String,
}

impl Answer {
    /// An answer with this text. What it cost is told by [`RunContext::add_usage`].
    pub fn new(final_response: impl Into<String>) -> Self {
        Self { final_response: final_response.into() }
    }
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

impl AgentError {
    /// A failure: a word for programs, and a sentence for people that holds no cause, path or secret.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), message: message.into() }
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

    /// True when the run of a message has no effect but its emissions, and little work. It may begin before the message is stored,
    /// and is thrown away when the message is refused or was answered before: not for an agent that costs money or acts
    /// outside.
    fn may_begin_early(&self, _content: &str) -> bool {
        false
    }

    /// Runs to the end; emissions come before the return of the answer.
    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>>;
}
