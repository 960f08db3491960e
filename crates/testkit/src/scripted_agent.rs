//! An agent that follows the script of a test: a real agent in the real server, for failures that a good agent never has.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::sleep;
use wireproof_agents::{
    Agent, AgentError, Answer, Emission, RunContext, StatusUpdate, ToolCallId, ToolCompleted, ToolError,
    ToolExecuting, Usage,
};

/// What an agent does, step by step: to be given to [`crate::Builder::agent`] and asked for with
/// [`crate::TestClient::chat_with`]. Without an end of its own it answers with what it said.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use wireproof_testkit::ScriptedAgent;
///
/// let flaky = ScriptedAgent::named("flaky").thinks("Let me look.").tool_fails("search", "no_index", "The index is away.");
/// let silent = ScriptedAgent::named("silent").says("Well, ").hangs();
/// let slow = ScriptedAgent::named("slow").waits(Duration::from_millis(50)).says("Done.");
/// let loud = ScriptedAgent::named("loud").says(&"x".repeat(1 << 20)).times(100);
/// ```
#[derive(Debug, Clone)]
pub struct ScriptedAgent {
    name: String,
    /// What it does, and how many times; shared by its runs, for it may be large.
    steps: Arc<Vec<(Does, usize)>>,
}

#[derive(Debug, Clone)]
enum Does {
    Emit(Emission),
    Tool { name: String, parameters: Value, result: Result<Value, ToolError> },
    Wait(Duration),
    Cost(Usage),
    Answer(String),
    Flood(Emission),
    Fail { code: String, message: String },
    Panic(String),
    Hang,
}

impl ScriptedAgent {
    /// An agent of this name that does nothing yet.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), steps: Arc::default() }
    }

    fn then(mut self, step: Does) -> Self {
        Arc::make_mut(&mut self.steps).push((step, 1));
        self
    }

    /// Thinks this.
    pub fn thinks(self, reasoning: &str) -> Self {
        self.then(Does::Emit(Emission::Thinking { reasoning: reasoning.to_owned() }))
    }

    /// Says a piece of the answer.
    pub fn says(self, piece: &str) -> Self {
        self.then(Does::Emit(Emission::MessageDelta { delta: piece.to_owned() }))
    }

    /// Tells its state.
    pub fn tells(self, status: &str) -> Self {
        self.then(Does::Emit(Emission::Status(StatusUpdate { status: status.to_owned(), detail: None })))
    }

    /// Reports anything that an agent can report, of any size.
    pub fn emits(self, emission: Emission) -> Self {
        self.then(Does::Emit(emission))
    }

    /// Does what it did last so many times in all, each tool call as a new one.
    pub fn times(mut self, times: usize) -> Self {
        if let Some((_, last)) = Arc::make_mut(&mut self.steps).last_mut() {
            *last = times;
        }
        self
    }

    /// Calls a tool, which gives this.
    pub fn tool(self, name: &str, parameters: Value, result: impl Into<Value>) -> Self {
        self.then(Does::Tool { name: name.to_owned(), parameters, result: Ok(result.into()) })
    }

    /// Calls a tool, which fails.
    pub fn tool_fails(self, name: &str, code: &str, message: &str) -> Self {
        let result = Err(ToolError::new(code, message));
        self.then(Does::Tool { name: name.to_owned(), parameters: json!({}), result })
    }

    /// Takes its time, or less when the run is to end.
    pub fn waits(self, time: Duration) -> Self {
        self.then(Does::Wait(time))
    }

    /// Costs this, on top of what it has cost.
    pub fn costs(self, usage: Usage) -> Self {
        self.then(Does::Cost(usage))
    }

    /// Ends with this answer, whatever it said before.
    pub fn answers(self, text: &str) -> Self {
        self.then(Does::Answer(text.to_owned()))
    }

    /// Reports the same thing as fast as it can, past a cancel too, until nobody hears it any more.
    pub fn floods(self, emission: Emission) -> Self {
        self.then(Does::Flood(emission))
    }

    /// Gives up.
    pub fn fails(self, code: &str, message: &str) -> Self {
        self.then(Does::Fail { code: code.to_owned(), message: message.to_owned() })
    }

    /// Panics, with words that no client may see.
    pub fn panics(self, words: &str) -> Self {
        self.then(Does::Panic(words.to_owned()))
    }

    /// Does nothing more for ever, and hears no cancel.
    pub fn hangs(self) -> Self {
        self.then(Does::Hang)
    }

    async fn perform(self, context: RunContext) -> Result<Answer, AgentError> {
        let mut said = String::new();
        let steps = self.steps.iter().flat_map(|(step, times)| std::iter::repeat_n(step, *times));
        for step in steps {
            match step.clone() {
                Does::Emit(emission) => {
                    if let Emission::MessageDelta { delta } = &emission {
                        said.push_str(delta);
                    }
                    context.emit(emission).await?;
                }
                Does::Tool { name, parameters, result } => call(&context, name, parameters, result).await?,
                Does::Wait(time) => tokio::select! {
                    () = sleep(time) => {}
                    () = context.cancelled().cancelled() => return Err(AgentError::Cancelled),
                },
                Does::Cost(usage) => context.add_usage(usage),
                Does::Answer(final_response) => return Ok(Answer::new(final_response)),
                Does::Flood(emission) => loop {
                    context.emit(emission.clone()).await?;
                },
                Does::Fail { code, message } => return Err(AgentError::Failed { code, message }),
                Does::Panic(words) => panic!("{words}"),
                Does::Hang => std::future::pending().await,
            }
        }
        Ok(Answer::new(said))
    }
}

async fn call(
    context: &RunContext,
    tool_name: String,
    parameters: Value,
    result: Result<Value, ToolError>,
) -> Result<(), AgentError> {
    let tool_call_id = ToolCallId::new();
    let executing =
        Emission::ToolExecuting(ToolExecuting { tool_call_id, tool_name: tool_name.clone(), parameters });
    context.emit(executing).await?;
    context.emit(Emission::ToolCompleted(ToolCompleted::new(tool_call_id, tool_name, result, 0.0))).await
}

impl Agent for ScriptedAgent {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        Box::pin(self.clone().perform(context))
    }
}
