//! What the events say of a run and its calls of tools.

use serde::Serialize;
use serde_json::Value;

use crate::{
    event::{Event, EventBody, Outcome, RunPart},
    ids::{ThreadId, ToolCallId},
    records::RunSnapshot,
    run::{RunRules, RunViolation},
};

/// A run as its events tell it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunView {
    /// The thread it answers in.
    pub thread_id: Option<ThreadId>,
    /// True once that thread was deleted.
    #[serde(skip)]
    pub thread_deleted: bool,
    /// The agent.
    pub agent_name: String,
    /// The last status while waiting.
    pub status: Option<String>,
    /// Each turn's thought.
    pub reasoning: Vec<String>,
    /// The reasoning that came in pieces.
    pub thinking: String,
    /// The calls of tools, in order of their beginning.
    pub tools: Vec<ToolView>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The rules' own view.
    #[serde(skip)]
    pub rules: RunRules,
}

/// A call of a tool as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolView {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The tool.
    pub tool_name: String,
    /// Its arguments as they came in pieces.
    pub arguments: String,
    /// What it worked on, once it began.
    pub parameters: Option<Value>,
    /// What came of it: `Ok` a result, `Err` code and sentence.
    pub result: Option<Result<Value, (String, String)>>,
}

impl RunView {
    pub(super) fn from_snapshot(run: &RunSnapshot) -> Self {
        let mut view = Self {
            thread_id: Some(run.thread_id.clone()),
            agent_name: run.agent_name.clone(),
            rules: RunRules::from_snapshot(run),
            ..Self::default()
        };
        for call in &run.open_tool_calls {
            view.tool(call.tool_call_id).tool_name.clone_from(&call.tool_name);
        }
        view
    }

    pub(super) fn take(&mut self, part: &RunPart, event: &Event) -> Result<(), RunViolation> {
        self.rules.apply(part.first_run_seq, part.run_seq, &event.body)?;
        self.thread_id = Some(event.thread_id.clone());
        self.agent_name.clone_from(&part.agent_name);
        self.tell(&event.body);
        Ok(())
    }

    fn tell(&mut self, body: &EventBody) {
        match body {
            EventBody::StatusUpdate(update) => self.status = Some(update.status.clone()),
            EventBody::AgentStarted { .. } => self.status = None,
            EventBody::AgentThinking { reasoning, .. } => self.reasoning.push(reasoning.clone()),
            EventBody::ThinkingDelta { delta, .. } => self.thinking.push_str(delta),
            EventBody::ToolArgumentsDelta(piece) => {
                self.tool(piece.tool_call_id).arguments.push_str(&piece.delta);
            }
            EventBody::ToolExecuting(call) => {
                let tool = self.tool(call.tool_call_id);
                tool.tool_name.clone_from(&call.tool_name);
                tool.parameters = Some(call.parameters.clone());
            }
            EventBody::ToolCompleted(call) => {
                self.tool(call.tool_call_id).result = match (&call.result, &call.error) {
                    (_, Some(error)) => Some(Err((error.code.clone(), error.message.clone()))),
                    (result, None) => result.clone().map(Ok),
                };
            }
            EventBody::AgentCompleted { outcome, .. } => self.outcome = Some(*outcome),
            _ => {}
        }
    }

    fn tool(&mut self, tool_call_id: ToolCallId) -> &mut ToolView {
        let index = match self.tools.iter().position(|tool| tool.tool_call_id == tool_call_id) {
            Some(index) => index,
            None => {
                self.tools.push(ToolView {
                    tool_call_id,
                    tool_name: String::new(),
                    arguments: String::new(),
                    parameters: None,
                    result: None,
                });
                self.tools.len() - 1
            }
        };
        &mut self.tools[index]
    }
}
