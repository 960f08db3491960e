//! Agents that make exactly the load that is measured: real agents of the real server, without thought.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::json;
use wireproof_agents::{
    Agent, AgentError, Answer, Emission, RunContext, StatusUpdate, ToolCallId, ToolCompleted, ToolExecuting,
};

/// `five`: the five critical events. `burst N`: N status events at once. `pace HZ SECONDS BYTES`: status events at a rate,
/// with so much text in each.
pub struct Probe;

impl Agent for Probe {
    fn name(&self) -> &str {
        "probe"
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        Box::pin(async move {
            let words: Vec<&str> = context.content().split_whitespace().collect();
            let number =
                |index: usize| words.get(index).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
            match words.first().copied() {
                Some("burst") => {
                    for _ in 0..number(1) as u64 {
                        context.emit(status(0)).await?;
                    }
                }
                Some("pace") => pace(&context, number(1), number(2), number(3) as usize).await?,
                _ => five(&context).await?,
            }
            Ok(Answer::new("Done."))
        })
    }
}

fn status(bytes: usize) -> Emission {
    Emission::Status(StatusUpdate {
        status: "working".to_owned(),
        detail: (bytes > 0).then(|| "x".repeat(bytes)),
    })
}

async fn pace(context: &RunContext, hz: f64, seconds: f64, bytes: usize) -> Result<(), AgentError> {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / hz));
    for _ in 0..(hz * seconds) as u64 {
        ticks.tick().await;
        context.emit(status(bytes)).await?;
    }
    Ok(())
}

async fn five(context: &RunContext) -> Result<(), AgentError> {
    let tool_call_id = ToolCallId::new();
    let tool_name = "echo".to_owned();
    context.emit(Emission::Thinking { reasoning: "Echo what was said.".to_owned() }).await?;
    let parameters = json!({ "text": context.content() });
    context
        .emit(Emission::ToolExecuting(ToolExecuting {
            tool_call_id,
            tool_name: tool_name.clone(),
            parameters: parameters.clone(),
        }))
        .await?;
    context
        .emit(Emission::ToolCompleted(ToolCompleted::new(tool_call_id, tool_name, Ok(parameters), 0.01)))
        .await
}
