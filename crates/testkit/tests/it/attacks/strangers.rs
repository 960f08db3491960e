//! What is another user's: threads, runs, approvals, positions and request ids, by frame and by REST. It does not exist.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use wireproof_testkit::{event, frame};

use super::{
    row::{Row, Saw, asks, refused, requests, steps},
    site::Site,
};

const ABSENT: (u16, &str) = (404, "not_found");

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        asks("read another's thread", "not_found", |s| json!({ "type": "get_thread_history", "thread_id": s.thread_id })),
        asks("switch to another's thread", "not_found", |s| json!({ "type": "switch_thread", "thread_id": s.thread_id })),
        asks("rename another's thread", "not_found", |s| json!({ "type": "rename_thread", "thread_id": s.thread_id, "title": "mine" })),
        asks("delete another's thread", "not_found", |s| json!({ "type": "delete_thread", "thread_id": s.thread_id })),
        asks("type in another's thread", "not_found", |s| json!({ "type": "typing", "thread_id": s.thread_id, "active": true })),
        asks("cancel another's run", "not_found", |s| json!({ "type": "cancel_run", "run_id": s.run_id })),
        asks("answer another's approval", "not_found", |s| json!({ "type": "approve", "approval_id": s.run_id, "decision": "approved" })),
        asks("a position ahead of the own log", "cursor_ahead", |s| json!({ "type": "resume", "epoch": s.attacker_epoch(), "after": 1_000_000 })),
        requests("GET another's thread", ABSENT, |s| (Method::GET, format!("/api/threads/{}", s.thread_id), String::new())),
        requests("PATCH another's thread", ABSENT, |s| (Method::PATCH, format!("/api/threads/{}", s.thread_id), r#"{"title":"mine"}"#.into())),
        requests("DELETE another's thread", ABSENT, |s| (Method::DELETE, format!("/api/threads/{}", s.thread_id), String::new())),
        requests("GET another's messages", ABSENT, |s| (Method::GET, format!("/api/threads/{}/messages", s.thread_id), String::new())),
        requests("GET another's run", ABSENT, |s| (Method::GET, format!("/api/runs/{}", s.run_id), String::new())),
        requests("cancel another's run by REST", ABSENT, |s| (Method::POST, format!("/api/runs/{}/cancel", s.run_id), String::new())),
        steps("another's position in the handshake", refused("epoch_changed"), position),
        steps("another's request id", refused("another run"), request_id),
        steps("another's name in a frame", refused("the own log"), named),
        steps("write under the name of another's thread", refused("an own thread"), written),
    ]
}

/// A position of another's log is one of another epoch: the own state comes, and nothing of the other's.
async fn position(site: Arc<Site>) -> Vec<Saw> {
    let client = site.attacker.connect_at(site.position).await;
    let snapshot = client.expect("snapshot").await;
    let foreign =
        [&site.thread_id, &site.run_id, "my secret"].iter().any(|mark| snapshot.text.contains(*mark));
    vec![if foreign { Saw::In(snapshot.text.to_string()) } else { refused(snapshot.text_of("reason")) }]
}

/// The same id and the same body as the victim's: an own run, not the answer that the victim got.
async fn request_id(site: Arc<Site>) -> Vec<Saw> {
    let asked = json!({ "type": "chat", "content": "What is 2+2?", "id": "same" });
    let (victim, attacker) = (site.victim.connect().await, site.attacker.connect().await);
    victim.send(&asked).await;
    let theirs = victim.expect("accepted").await;
    attacker.send(&asked).await;
    let ours = attacker.expect("accepted").await;
    let same = theirs["run_id"] == ours["run_id"] || theirs["thread_id"] == ours["thread_id"];
    vec![if same { Saw::In(ours.text.to_string()) } else { refused("another run") }]
}

/// Fields that name another user change nothing: the run is the attacker's, in the attacker's log.
async fn named(site: Arc<Site>) -> Vec<Saw> {
    let client = site.attacker.connect().await;
    let mark = "an order in the name of another";
    for field in ["user_id", "sub", "user", "as", "client_id"] {
        let mut asked = json!({ "type": "chat", "content": mark });
        asked[field] = "victim".into();
        client.send(&asked).await;
        client.expect(frame("message_created").field("user_id", "attacker").field("content", mark)).await;
    }
    site.device.expect_none(frame("message_created").contains("content", mark)).await;
    vec![refused("the own log")]
}

/// A message under the name of the victim's thread goes into a thread of the writer's own, which nothing tells from any
/// other new one; `untouched` looks at the victim's.
async fn written(site: Arc<Site>) -> Vec<Saw> {
    let writer = site.server.user("writer");
    let client = writer.connect().await;
    let path = format!("/api/threads/{}", site.thread_id);
    let mut saw = Vec::new();
    for way in ["chat", "start_agent", "create_thread", "POST"] {
        match way {
            "POST" => {
                let reply = writer.post(&format!("{path}/messages"), json!({ "content": "mine" })).await;
                assert_eq!((reply.status, &reply.json["thread_id"]), (202, &json!(site.thread_id)));
            }
            kind => {
                let asked = json!({
                    "type": kind, "content": "mine", "user_request": "mine", "thread_id": site.thread_id,
                });
                assert_eq!(client.ask(asked).await["thread_id"], *site.thread_id, "{way}");
            }
        }
        client.expect(event("thread_created").field("thread_id", site.thread_id.as_str())).await;
        let messages = writer.get(&format!("{path}/messages")).await;
        saw.push(match messages.body.contains("secret") {
            true => Saw::In(messages.body.clone()),
            false => refused("an own thread"),
        });
        assert_eq!(writer.delete(&path).await.status, 204, "{way}");
        client.expect(event("thread_deleted").field("thread_id", site.thread_id.as_str())).await;
    }
    client.expect_none(frame("message_created").contains("content", "secret")).await;
    saw
}
