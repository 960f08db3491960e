//! One run: think, call the tools at once, answer. Every tool that started is reported as ended, also on cancel.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Tools,
    answer::{self, Part},
    link::{Link, bounded, unavailable},
    plan::{self, Plan, PlanStep},
    tools::{compute, search_threads::ThreadSearch},
};
use crate::{AgentError, Answer, Emission, RunContext, ToolCallId, ToolCompleted, ToolError, ToolExecuting};

/// What a step came to.
pub(super) type ToolResult = Result<Value, ToolError>;

/// Runs a message from plan to answer.
pub(super) async fn run(tools: Arc<Tools>, context: RunContext) -> Result<Answer, AgentError> {
    let plan = think(&tools, &context).await?;
    emit(&context, Emission::Thinking { reasoning: plan.reasoning() }).await?;
    let outcomes = follow(&tools, &context, &plan).await?;
    if plan.fails {
        return Err(AgentError::failed("failed_on_purpose", "The message asked for a failure."));
    }
    let mut final_response = String::new();
    for part in answer::compose(&plan, &outcomes) {
        say(&context, part, &mut final_response).await?;
    }
    Ok(Answer::new(final_response))
}

/// Plans, when it is the user's turn.
async fn think(tools: &Tools, context: &RunContext) -> Result<Plan, AgentError> {
    let planned = async {
        let _turn = tools.turns.of(context.user_id()).await;
        let content = context.content().to_owned();
        tools.workers.run(content.len(), move || plan::plan(&content)).await
    };
    tokio::select! {
        biased;
        () = context.cancelled().cancelled() => Err(AgentError::Cancelled),
        plan = planned => plan.ok_or_else(|| AgentError::failed("internal", "The message could not be planned.")),
    }
}

/// Emits unless the run is cancelled, also while the receiver is behind.
async fn emit(context: &RunContext, emission: Emission) -> Result<(), AgentError> {
    tokio::select! {
        biased;
        () = context.cancelled().cancelled() => Err(AgentError::Cancelled),
        sent = context.emit(emission) => sent,
    }
}

/// Calls all tools of the plan at once; gives the outcomes in the plan's order.
async fn follow(tools: &Tools, context: &RunContext, plan: &Plan) -> Result<Vec<ToolResult>, AgentError> {
    let mut calls = FuturesUnordered::new();
    let mut begun = Ok(());
    for (place, step) in plan.steps.iter().enumerate() {
        let tool_call_id = ToolCallId::new();
        let (tool_name, parameters) = (step.tool.to_owned(), Value::Object(step.parameters.clone()));
        begun = emit(context, Emission::ToolExecuting(ToolExecuting { tool_call_id, tool_name, parameters }))
            .await;
        if begun.is_err() {
            break;
        }
        let started = Instant::now();
        calls.push(async move { (place, tool_call_id, call(tools, context, step).await, started.elapsed()) });
    }
    let mut outcomes = vec![Err(cancelled()); plan.steps.len()];
    while let Some((place, tool_call_id, outcome, took)) = calls.next().await {
        outcomes[place] = outcome.clone();
        let tool_name = plan.steps[place].tool.to_owned();
        let duration_ms = took.as_secs_f64() * 1_000.0;
        // Past a cancel too: who heard that a tool started shall hear that it ended.
        context
            .emit(Emission::ToolCompleted(ToolCompleted::new(tool_call_id, tool_name, outcome, duration_ms)))
            .await?;
    }
    begun?;
    if context.cancelled().is_cancelled() { Err(AgentError::Cancelled) } else { Ok(outcomes) }
}

async fn call(tools: &Tools, context: &RunContext, step: &PlanStep) -> ToolResult {
    let arguments = step.parameters.clone();
    // A timer is no work; everything else a user has done one after the other.
    let _turn = match step.tool {
        "timer" => None,
        _ => tokio::select! {
            turn = tools.turns.of(context.user_id()) => Some(turn),
            () = context.cancelled().cancelled() => return Err(cancelled()),
        },
    };
    let (deadline, cancelled) = (tools.deadline, context.cancelled());
    match step.tool {
        "search_threads" => {
            let link = Link::open(ThreadSearch::new(context)).await?;
            link.call(step.tool, arguments, deadline, cancelled).await
        }
        "timer" => tools.link().await?.call(step.tool, arguments, deadline, cancelled).await,
        // What only computes is called: the way through MCP costs more than the work.
        name => {
            let computed = async {
                compute(&tools.workers, name, Some(arguments)).await.unwrap_or_else(|| Err(unavailable()))
            };
            bounded(computed, deadline, cancelled).await
        }
    }
}

fn cancelled() -> ToolError {
    ToolError::new("cancelled", "The run was cancelled.")
}

/// Streams a part of the answer in small pieces, at its pace if it has one.
async fn say(context: &RunContext, part: Part, said: &mut String) -> Result<(), AgentError> {
    match part {
        Part::Text(text) => {
            for delta in text.split_inclusive([' ', '\n']) {
                said.push_str(delta);
                emit(context, Emission::MessageDelta { delta: delta.to_owned() }).await?;
            }
        }
        Part::Paced { pieces, interval_ms } => {
            // A pace of zero has no ticks; everything else is told on time, and late ticks do not bunch up.
            let mut ticks = interval(Duration::from_millis(interval_ms.max(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for delta in pieces {
                if interval_ms > 0 {
                    tokio::select! {
                        _ = ticks.tick() => {}
                        () = context.cancelled().cancelled() => return Err(AgentError::Cancelled),
                    }
                }
                said.push_str(&delta);
                emit(context, Emission::MessageDelta { delta }).await?;
            }
        }
    }
    Ok(())
}
