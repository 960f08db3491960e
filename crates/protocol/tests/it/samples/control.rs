//! Every control frame, with and without what may be absent.

use serde_json::{Map, json};
use wireproof_protocol::*;

use super::{NOW, uuid};

pub fn controls() -> Vec<Control> {
    let thread_id = || super::thread_id(1);
    let run_id = RunId::from_bytes(uuid(3, 1));
    let approval_id = ApprovalId::from_bytes(uuid(7, 1));
    let epoch = Epoch::new(0xaa);
    let agent_name = || "builtin".to_owned();
    let title = || "Sums".to_owned();
    let metadata = || json!({"colour": "green"}).as_object().cloned().unwrap();
    let thread = |metadata| Thread {
        thread_id: thread_id(),
        title: title(),
        metadata,
        created_at: NOW - 60.0,
        updated_at: NOW,
        message_count: 2,
    };
    let messages = || {
        let message = |number, role, content: &str| Message {
            message_id: MessageId::from_bytes(uuid(2, number)),
            thread_id: thread_id(),
            role,
            content: content.to_owned(),
            created_at: NOW,
            run_id: None,
            incomplete: false,
        };
        let answer =
            Message { run_id: Some(run_id), incomplete: true, ..message(2, Role::Assistant, "It i") };
        vec![message(1, Role::User, "What is 17*23?"), answer]
    };
    let welcome = |active_runs: Vec<ActiveRun>, insecure_no_auth| ControlBody::ConnectionEstablished {
        connection_id: ConnectionId::from_bytes(uuid(4, 1)),
        user_id: "alice".parse().unwrap(),
        epoch,
        seq: 41,
        resumed: !active_runs.is_empty(),
        active_runs,
        limits: Limits {
            message_bytes: 65_536,
            message_hard_bytes: 1_048_576,
            connections_per_user: 10,
            messages_per_minute: 60,
            message_burst: 20,
            other_frames_per_minute: 240,
            other_frame_burst: 60,
            bytes_per_minute: 16_777_216,
            byte_burst: 4_194_304,
            concurrent_runs: 4,
            queued_runs: 16,
            heartbeat_seconds: 25.0,
            run_seconds: 300.0,
        },
        server_time: NOW,
        features: wireproof_protocol::FEATURES.map(str::to_owned).to_vec(),
        insecure_no_auth,
    };
    let snapshot_thread = SnapshotThread {
        thread_id: thread_id(),
        title: title(),
        metadata: Map::new(),
        messages: messages(),
        truncated: false,
    };
    let running = RunSnapshot {
        run_id,
        thread_id: thread_id(),
        agent_name: agent_name(),
        run_seq: 9,
        started: true,
        message_id: Some(MessageId::from_bytes(uuid(2, 2))),
        text: "It i".to_owned(),
        step_number: 1,
        open_tool_calls: vec![OpenToolCall {
            tool_call_id: ToolCallId::from_bytes(uuid(6, 1)),
            tool_name: "calculate".to_owned(),
        }],
        open_approvals: vec![approval_id],
    };
    let queued = RunSnapshot {
        run_id: RunId::from_bytes(uuid(3, 2)),
        run_seq: 1,
        started: false,
        message_id: None,
        text: String::new(),
        step_number: 0,
        open_tool_calls: vec![],
        open_approvals: vec![],
        ..running.clone()
    };
    let limited = ErrorBody {
        retry_after_ms: Some(1_500),
        ..ErrorBody::new(ErrorCode::RateLimited, "Too many messages.").detail("limit", 60)
    };
    let snapshot =
        |reason, threads, active_runs| ControlBody::Snapshot { reason, epoch, seq: 41, threads, active_runs };

    let bodies = [
        welcome(vec![], false),
        welcome(vec![ActiveRun { run_id, thread_id: thread_id(), agent_name: agent_name() }], true),
        ControlBody::Pong { seq: 41 },
        ControlBody::HeartbeatAck { seq: 41 },
        ControlBody::Ack { thread_id: None, run_id: None, approval_id: None, outcome: None },
        ControlBody::Ack {
            thread_id: Some(thread_id()),
            run_id: Some(run_id),
            approval_id: Some(approval_id),
            outcome: Some(Outcome::Cancelled),
        },
        ControlBody::Accepted { run_id, thread_id: thread_id(), seq: 42 },
        ControlBody::ThreadData { thread: thread(Map::new()), messages: messages() },
        ControlBody::ThreadData { thread: thread(metadata()), messages: vec![] },
        ControlBody::ThreadHistory {
            thread_id: thread_id(),
            messages: messages(),
            total: 2,
            limit: 50,
            offset: 0,
        },
        snapshot(ResumeReason::TooOld, vec![snapshot_thread], vec![running, queued]),
        snapshot(ResumeReason::EpochChanged, vec![], vec![]),
        ControlBody::CaughtUp { seq: 41 },
        ControlBody::TokenExpiring { expires_at: NOW + 25.0 },
        ControlBody::GoAway { reconnect_after_ms: 1_200 },
        ControlBody::Error(ErrorBody::new(ErrorCode::NotFound, "No such thread.")),
        ControlBody::Error(limited),
    ];
    let with_ids = bodies.into_iter().enumerate().map(|(n, body)| Control {
        body,
        id: (n % 2 == 1).then(|| format!("request-{n}").parse().unwrap()),
        timestamp: NOW,
    });
    with_ids.collect()
}
