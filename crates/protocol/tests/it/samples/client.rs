//! Every frame that a client may send, with and without what may be absent.

use serde_json::json;
use wireproof_protocol::{ClientFrame, Request, Retitle};

pub fn requests() -> Vec<Request> {
    let text = |text: &str| text.to_owned();
    let thread = || "thread-1".parse().unwrap();
    let metadata = json!({"colour": "green"}).as_object().cloned();
    let frames = [
        ClientFrame::Ping,
        ClientFrame::Heartbeat,
        ClientFrame::Authenticate { token: text("head.claims.signature") },
        ClientFrame::Resume { epoch: text("00000000000000aa"), after: 41 },
        ClientFrame::Chat { content: text("What is 17*23?"), thread_id: None, agent: None },
        ClientFrame::Chat {
            content: text("And 17*24, \"please\"? ✓"),
            thread_id: Some(thread()),
            agent: Some(text("builtin")),
        },
        ClientFrame::StartAgent { user_request: text("Add 1 and 2."), agent: None, thread_id: None },
        ClientFrame::StartAgent {
            user_request: text("Add 1 and 2."),
            agent: Some(text("builtin")),
            thread_id: Some(thread()),
        },
        ClientFrame::CancelRun { run_id: text("run-1") },
        ClientFrame::Approve {
            approval_id: text("approval-1"),
            decision: text("denied"),
            edited_arguments: None,
        },
        ClientFrame::Approve {
            approval_id: text("approval-1"),
            decision: text("approved"),
            edited_arguments: Some(json!({"to": "me"})),
        },
        ClientFrame::CreateThread { thread_id: None, retitle: Retitle::default() },
        ClientFrame::CreateThread {
            thread_id: Some(thread()),
            retitle: Retitle { title: Some(text("Sums")), metadata: metadata.clone() },
        },
        ClientFrame::RenameThread {
            thread_id: text("thread-1"),
            retitle: Retitle { title: Some(text("Products")), metadata },
        },
        ClientFrame::DeleteThread { thread_id: text("thread-1") },
        ClientFrame::SwitchThread { thread_id: text("thread-1") },
        ClientFrame::GetThreadHistory { thread_id: text("thread-1"), limit: None, offset: None },
        ClientFrame::GetThreadHistory { thread_id: text("thread-1"), limit: Some(100), offset: Some(50) },
        ClientFrame::Typing { thread_id: text("thread-1"), active: true },
    ];
    let with_ids = frames.into_iter().enumerate().map(|(n, frame)| Request {
        id: (n % 2 == 0).then(|| format!("request-{n}").parse().unwrap()),
        frame,
    });
    with_ids.collect()
}
