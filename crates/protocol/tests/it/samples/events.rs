//! Every event, with and without what may be absent, and a merged one.

use serde_json::{Map, json};
use wireproof_protocol::*;

use super::{NOW, thread_id, uuid};

pub fn events() -> Vec<Event> {
    let title = || "Sums".to_owned();
    let metadata = || json!({"colour": "green"}).as_object().cloned().unwrap();
    let message_id = MessageId::from_bytes(uuid(2, 2));
    let tool_call_id = ToolCallId::from_bytes(uuid(6, 1));
    let failed_call_id = ToolCallId::from_bytes(uuid(6, 2));
    let approval_id = ApprovalId::from_bytes(uuid(7, 1));
    let tool_name = || "calculate".to_owned();
    let mut events = Vec::new();
    let mut thread = |body| events.push(event(events.len() as u64 + 1, None, body));

    thread(EventBody::ThreadCreated { title: title(), metadata: Map::new() });
    thread(EventBody::ThreadUpdated { title: title(), metadata: metadata() });
    thread(EventBody::MessageCreated {
        message_id: MessageId::from_bytes(uuid(2, 1)),
        role: Role::User,
        content: "What is 17*23?".to_owned(),
    });
    let mut run_seq = 0;
    let mut run = |body| {
        run_seq += 1;
        events.push(event(events.len() as u64 + 1, Some(run_seq), body));
    };
    run(EventBody::StatusUpdate(StatusUpdate { status: "queued".to_owned(), detail: None }));
    run(EventBody::AgentStarted { message: "Working on it.".to_owned() });
    run(EventBody::ThinkingDelta { message_id, delta: "A product".to_owned() });
    run(EventBody::AgentThinking { reasoning: "A product: calculate it.".to_owned(), step_number: 1 });
    run(EventBody::ToolArgumentsDelta(ToolArgumentsDelta {
        tool_call_id,
        delta: "{\"expression\":".to_owned(),
    }));
    run(EventBody::ApprovalRequested {
        approval_id,
        tool_call_id,
        schema: json!({"type": "object"}),
        expires_at: NOW + 60.0,
    });
    run(EventBody::ApprovalResolved { approval_id, tool_call_id, decision: Decision::Approved });
    run(EventBody::ToolExecuting(ToolExecuting {
        tool_call_id,
        tool_name: tool_name(),
        parameters: json!({"expression": "17*23"}),
    }));
    run(EventBody::ToolExecuting(ToolExecuting {
        tool_call_id: failed_call_id,
        tool_name: tool_name(),
        parameters: json!(null),
    }));
    run(EventBody::ToolCompleted(ToolCompleted {
        tool_call_id,
        tool_name: tool_name(),
        result: Some(json!(null)),
        error: None,
        duration_ms: 0.25,
    }));
    run(EventBody::ToolCompleted(ToolCompleted {
        tool_call_id: failed_call_id,
        tool_name: tool_name(),
        result: None,
        error: Some(ToolError { code: "no_expression".to_owned(), message: "Nothing to do.".to_owned() }),
        duration_ms: 1.0,
    }));
    run(EventBody::StatusUpdate(StatusUpdate {
        status: "retrying".to_owned(),
        detail: Some("The model was busy.".to_owned()),
    }));
    run(EventBody::MessageDelta { message_id, delta: "It is ".to_owned() });
    run(EventBody::MessageDelta { message_id, delta: "391.".to_owned() });
    run(EventBody::AgentCompleted {
        outcome: Outcome::Success,
        message_id: Some(message_id),
        final_response: Some("It is 391.".to_owned()),
        error: None,
        usage: Usage { input_tokens: 12, output_tokens: 5, total_tokens: 17, estimated: true },
        duration_ms: 12.5,
    });
    let mut merged =
        event(19, Some(15), EventBody::MessageDelta { message_id, delta: "All of it".to_owned() });
    merged.first_seq = Some(17);
    merged.run.as_mut().unwrap().first_run_seq = Some(13);
    events.push(merged);
    let failed = EventBody::AgentCompleted {
        outcome: Outcome::Failed,
        message_id: None,
        final_response: None,
        error: Some(RunError { code: "agent_failed".to_owned(), message: "It did not work.".to_owned() }),
        usage: Usage::default(),
        duration_ms: 3.0,
    };
    events.push(event(20, Some(16), failed));
    events.push(event(21, None, EventBody::ThreadDeleted { title: title(), metadata: Map::new() }));
    events
}

fn event(seq: u64, run_seq: Option<u64>, body: EventBody) -> Event {
    Event {
        seq,
        first_seq: None,
        event_id: EventId::from_bytes(uuid(5, seq as u8)),
        user_id: "alice".parse().unwrap(),
        thread_id: thread_id(1),
        timestamp: NOW,
        run: run_seq.map(|run_seq| RunPart {
            run_id: RunId::from_bytes(uuid(3, 1)),
            run_seq,
            first_run_seq: None,
            agent_name: "builtin".to_owned(),
        }),
        body,
    }
}
