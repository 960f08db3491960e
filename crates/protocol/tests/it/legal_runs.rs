//! Legal runs, made by walking what a run may do next: parallel tools, deltas, approvals, all three ends.

use proptest::prelude::*;
use serde_json::{Value, json};
use wireproof_protocol::*;

use crate::samples::uuid;

/// What an agent would like to do next; what it may not do just then is passed over.
#[derive(Debug, Clone)]
enum Wish {
    Think(String),
    ThinkAloud(String),
    Say(String),
    Status(&'static str),
    PrepareTool(String),
    CallTool,
    EndTool(u8, bool),
    Ask,
    Answer(u8, Decision),
}

fn wish() -> impl Strategy<Value = Wish> {
    let decision = prop::sample::select(vec![Decision::Approved, Decision::Denied, Decision::Expired]);
    prop_oneof![
        2 => "[a-z]{1,6}".prop_map(Wish::Think),
        3 => "[a-zé𝄞]{0,3}".prop_map(Wish::ThinkAloud),
        4 => "[a-zé𝄞 ]{0,3}".prop_map(Wish::Say),
        1 => prop::sample::select(vec!["retrying", "queued", "waiting"]).prop_map(Wish::Status),
        2 => "[a-zé]{0,3}".prop_map(Wish::PrepareTool),
        3 => Just(Wish::CallTool),
        2 => any::<(u8, bool)>().prop_map(|(which, good)| Wish::EndTool(which, good)),
        1 => Just(Wish::Ask),
        1 => (any::<u8>(), decision).prop_map(|(which, decision)| Wish::Answer(which, decision)),
    ]
}

/// The events of one legal run; `number` keeps its ids apart from those of other runs.
pub fn legal_run(number: u8) -> impl Strategy<Value = Vec<EventBody>> {
    let outcome = prop::sample::select(vec![Outcome::Success, Outcome::Failed, Outcome::Cancelled]);
    let queued = 0_usize..3;
    let wishes = prop::collection::vec(wish(), 0..14);
    (queued, wishes, outcome)
        .prop_map(move |(queued, wishes, outcome)| Walk::new(number).all(queued, wishes, outcome))
}

struct Walk {
    number: u8,
    events: Vec<EventBody>,
    steps: u32,
    next_tool: u8,
    next_approval: u8,
    open_tools: Vec<u8>,
    open_approvals: Vec<u8>,
    text: String,
}

impl Walk {
    fn new(number: u8) -> Self {
        Self {
            number,
            events: Vec::new(),
            steps: 0,
            next_tool: 0,
            next_approval: 0,
            open_tools: Vec::new(),
            open_approvals: Vec::new(),
            text: String::new(),
        }
    }

    fn all(mut self, queued: usize, wishes: Vec<Wish>, outcome: Outcome) -> Vec<EventBody> {
        for _ in 0..queued {
            self.events
                .push(EventBody::StatusUpdate(StatusUpdate { status: "queued".to_owned(), detail: None }));
        }
        self.events.push(EventBody::AgentStarted { message: "Working on it.".to_owned() });
        for wish in wishes {
            self.follow(wish);
        }
        while !self.open_approvals.is_empty() {
            self.follow(Wish::Answer(0, Decision::Expired));
        }
        while !self.open_tools.is_empty() {
            self.follow(Wish::EndTool(0, false));
        }
        let success = outcome == Outcome::Success;
        self.events.push(EventBody::AgentCompleted {
            outcome,
            message_id: success.then(|| self.message_id()),
            final_response: success.then(|| self.text.clone()),
            error: (outcome == Outcome::Failed)
                .then(|| RunError { code: "agent_failed".to_owned(), message: "It failed.".to_owned() }),
            usage: Usage::default(),
            duration_ms: 1.5,
        });
        self.events
    }

    fn message_id(&self) -> MessageId {
        MessageId::from_bytes(uuid(2, self.number))
    }

    fn tool(&self, which: u8) -> ToolCallId {
        ToolCallId::from_bytes(uuid(6, self.number * 32 + which))
    }

    fn approval(&self, which: u8) -> ApprovalId {
        ApprovalId::from_bytes(uuid(7, self.number * 32 + which))
    }

    fn follow(&mut self, wish: Wish) {
        let message_id = self.message_id();
        let event = match wish {
            Wish::Think(reasoning) => {
                self.steps += 1;
                EventBody::AgentThinking { reasoning, step_number: self.steps }
            }
            Wish::ThinkAloud(delta) => EventBody::ThinkingDelta { message_id, delta },
            Wish::Say(delta) => {
                self.text.push_str(&delta);
                EventBody::MessageDelta { message_id, delta }
            }
            Wish::Status(status) => {
                EventBody::StatusUpdate(StatusUpdate { status: status.to_owned(), detail: None })
            }
            Wish::PrepareTool(delta) => EventBody::ToolArgumentsDelta(ToolArgumentsDelta {
                tool_call_id: self.tool(self.next_tool),
                delta,
            }),
            Wish::CallTool => {
                let which = self.next_tool;
                self.next_tool += 1;
                self.open_tools.push(which);
                EventBody::ToolExecuting(ToolExecuting {
                    tool_call_id: self.tool(which),
                    tool_name: format!("tool_{}", which % 2),
                    parameters: json!({"which": which}),
                })
            }
            Wish::EndTool(..) if self.open_tools.is_empty() => return,
            Wish::EndTool(which, good) => {
                let which = self.open_tools.remove(usize::from(which) % self.open_tools.len());
                EventBody::ToolCompleted(ToolCompleted {
                    tool_call_id: self.tool(which),
                    tool_name: format!("tool_{}", which % 2),
                    result: good.then_some(Value::Null),
                    error: (!good)
                        .then(|| ToolError { code: "bad".to_owned(), message: "It is bad.".to_owned() }),
                    duration_ms: 0.5,
                })
            }
            Wish::Ask => {
                let which = self.next_approval;
                self.next_approval += 1;
                self.open_approvals.push(which);
                EventBody::ApprovalRequested {
                    approval_id: self.approval(which),
                    tool_call_id: self.tool(self.next_tool),
                    schema: json!({"type": "object"}),
                    expires_at: 1.0,
                }
            }
            Wish::Answer(..) if self.open_approvals.is_empty() => return,
            Wish::Answer(which, decision) => {
                let which = self.open_approvals.remove(usize::from(which) % self.open_approvals.len());
                EventBody::ApprovalResolved {
                    approval_id: self.approval(which),
                    tool_call_id: self.tool(self.next_tool),
                    decision,
                }
            }
        };
        self.events.push(event);
    }
}
