//! Agents of the tests' own: real ones, that do on purpose what an agent must not, or what no rule would plan.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use wireproof_agents::{
    Agent, AgentError, Answer, Emission, RunContext, ToolCompleted, ToolError, ToolExecuting,
};
use wireproof_protocol::ToolCallId;
use wireproof_testkit::TestServer;

type Act = Arc<dyn Fn(RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> + Send + Sync>;

/// An agent that does what its closure says.
pub struct Acting {
    name: &'static str,
    may_begin_early: bool,
    act: Act,
}

impl Agent for Acting {
    fn name(&self) -> &str {
        self.name
    }

    fn may_begin_early(&self, _content: &str) -> bool {
        self.may_begin_early
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        (self.act)(context)
    }
}

/// An agent with a name and what it does.
pub fn acting<F>(name: &'static str, act: impl Fn(RunContext) -> F + Send + Sync + 'static) -> Arc<dyn Agent>
where
    F: Future<Output = Result<Answer, AgentError>> + Send + 'static,
{
    Arc::new(new(name, false, act))
}

/// The same, which may begin before its message is stored.
pub fn early<F>(name: &'static str, act: impl Fn(RunContext) -> F + Send + Sync + 'static) -> Arc<dyn Agent>
where
    F: Future<Output = Result<Answer, AgentError>> + Send + 'static,
{
    Arc::new(new(name, true, act))
}

fn new<F>(
    name: &'static str,
    may_begin_early: bool,
    act: impl Fn(RunContext) -> F + Send + Sync + 'static,
) -> Acting
where
    F: Future<Output = Result<Answer, AgentError>> + Send + 'static,
{
    Acting { name, may_begin_early, act: Arc::new(move |context| Box::pin(act(context))) }
}

/// An agent that waits until its run is to end, and then ends at once.
pub fn patient() -> Arc<dyn Agent> {
    acting("patient", |context| async move {
        context.cancelled().cancelled().await;
        Err(AgentError::Cancelled)
    })
}

/// The answer with this text.
pub fn answer(text: &str) -> Result<Answer, AgentError> {
    Ok(Answer::new(text))
}

pub fn delta(text: &str) -> Emission {
    Emission::MessageDelta { delta: text.to_owned() }
}

pub fn thinking(text: &str) -> Emission {
    Emission::Thinking { reasoning: text.to_owned() }
}

pub fn executing(tool_call_id: ToolCallId, name: &str) -> Emission {
    Emission::ToolExecuting(ToolExecuting { tool_call_id, tool_name: name.to_owned(), parameters: json!({}) })
}

pub fn completed(tool_call_id: ToolCallId, name: &str) -> Emission {
    completed_with(tool_call_id, name, Ok(json!("done")))
}

pub fn completed_with(tool_call_id: ToolCallId, name: &str, result: Result<Value, ToolError>) -> Emission {
    Emission::ToolCompleted(ToolCompleted::new(tool_call_id, name, result, 1.0))
}

/// Waits; an agent's work takes time, and this is what a test's agent has in place of work.
pub async fn work(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Transactions of the server's store so far.
pub async fn commits(server: &TestServer) -> u64 {
    let text = server.rest().get("/metrics").await.body;
    let line = text.lines().find(|line| line.starts_with("wireproof_commit_jobs_count"));
    line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
}
