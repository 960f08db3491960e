//! Threads that the client names: made on first use, echoed as given, and their user's alone.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use wireproof_protocol::ThreadId;
use wireproof_testkit::{TestClient, TestServer, TestUser, event};

use crate::acting::{acting, answer};

const FRAMES: [&str; 3] = ["chat", "start_agent", "create_thread"];

/// A frame that makes the thread when it is not there.
fn naming(kind: &str, thread_id: &str) -> Value {
    let mut frame = json!({ "type": kind, "thread_id": thread_id });
    match kind {
        "chat" => frame["content"] = json!("What is 2+3?"),
        "start_agent" => frame["user_request"] = json!("What is 2+3?"),
        _ => {}
    }
    frame
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

async fn unbounded() -> TestServer {
    TestServer::start_with(|config| {
        config.limits.messages_per_minute = 0;
        config.limits.other_frames_per_minute = 0;
        config.limits.concurrent_runs = 0;
    })
    .await
}

/// The names of a user's threads, by the list.
async fn names(user: &TestUser) -> Vec<String> {
    let page = user.get("/api/threads?limit=100").await.json;
    let threads = page["threads"].as_array().unwrap();
    let mut names: Vec<_> = threads.iter().map(|t| t["thread_id"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Bug: `chat` with a name that the client made was `not_found`.
#[tokio::test]
async fn the_first_use_of_a_name_makes_the_thread_and_echoes_the_name() {
    let server = unbounded().await;
    let user = server.user("ada");
    let (ada, phone) = (user.connect().await, user.connect().await);
    let made = [
        "thread_1",
        "t",
        &"é".repeat(128),
        " two  spaces ",
        "a/b?c#d%20&e=\"f\"\\",
        "../..",
        "Plans",
        "plans",
        "caf\u{e9}",
        "cafe\u{301}",
        "019A0000-0000-7003-8000-00000000000A",
        "{019a0000-0000-7003-8000-00000000000a}",
        "🧵\u{200d}\u{202e}",
        "null",
        "0",
    ];
    for (name, kind) in made.into_iter().zip(FRAMES.into_iter().cycle()) {
        let reply = ada.ask(naming(kind, name)).await;
        assert_eq!(reply.text_of("thread_id"), name, "{kind}: {}", reply.text);
        for client in [&ada, &phone] {
            client.expect(event("thread_created").field("thread_id", name)).await;
        }
        if kind != "create_thread" {
            let run = reply.text_of("run_id").parse().unwrap();
            phone.expect_run_completed(run).await;
        }
        let shown = ada.ask(json!({ "type": "switch_thread", "thread_id": name })).await;
        assert_eq!(shown.text_of("thread_id"), name);
        let path = format!("/api/threads/{}", encoded(name));
        let reply = user.get(&path).await;
        assert_eq!((reply.status, &reply.json["thread_id"]), (200, &json!(name)), "{path}");
        let sent = user.post(&format!("{path}/messages"), json!({ "content": "What is 1+1?" })).await;
        assert_eq!((sent.status, &sent.json["thread_id"]), (202, &json!(name)), "{path}");
        let run = sent.json["run_id"].as_str().unwrap();
        ada.expect_run_completed(run.parse().unwrap()).await;
        assert_eq!(user.get(&format!("/api/runs/{run}")).await.json["thread_id"], name);
        let page = ada.ask(json!({ "type": "get_thread_history", "thread_id": name })).await;
        assert_eq!(page.text_of("thread_id"), name);
        let messages = page["messages"].as_array().unwrap();
        assert!(messages.len() >= 2 && messages.iter().all(|message| message["thread_id"] == name));
    }
    let mut wanted: Vec<String> = made.iter().map(|name| (*name).to_owned()).collect();
    wanted.sort();
    assert!(phone.events().iter().all(|event| made.contains(&event.thread_id.as_str())));
    assert_eq!(names(&user).await, wanted, "one thread each, none joined with another");
    ada.assert_exactly_once();
}

/// Bug: a client of the first version may spell the UUID of a thread in capitals; after an upgrade its reads were refused,
/// and its messages went into a second thread.
#[tokio::test]
async fn a_uuid_in_another_spelling_names_the_thread_unless_a_thread_has_it_for_a_name() {
    let server = unbounded().await;
    let user = server.user("ada");
    let (ada, eve) = (user.connect().await, server.user("eve").connect().await);
    let run = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
    let name = run.thread_id.as_str();
    let spellings = [
        name.to_uppercase(),
        format!("{{{name}}}"),
        name.replace('-', ""),
        format!("urn:uuid:{}", name.to_uppercase()),
    ];
    for spelt in &spellings {
        for kind in ["switch_thread", "get_thread_history"] {
            let shown = ada.ask(json!({ "type": kind, "thread_id": spelt })).await;
            assert_eq!(shown.text_of("thread_id"), name, "{kind} {spelt}");
            assert!(shown["messages"].as_array().unwrap().iter().all(|message| message["thread_id"] == name));
        }
        for kind in FRAMES {
            let reply = ada.ask(naming(kind, spelt)).await;
            assert_eq!(reply.text_of("thread_id"), name, "{kind} {spelt}: {}", reply.text);
            if kind != "create_thread" {
                ada.expect_run_completed(reply.text_of("run_id").parse().unwrap()).await;
            }
        }
        let renamed = json!({ "type": "rename_thread", "thread_id": spelt, "title": spelt });
        assert_eq!(ada.ask(renamed).await.text_of("thread_id"), name);
        let path = format!("/api/threads/{}", encoded(spelt));
        let page = user.get(&format!("{path}/messages?offset=0")).await;
        assert_eq!((page.status, &page.json["messages"][0]["thread_id"]), (200, &json!(name)), "{path}");
        let sent = user.post(&format!("{path}/messages"), json!({ "content": "What is 1+1?" })).await;
        assert_eq!((sent.status, &sent.json["thread_id"]), (202, &json!(name)), "{path}");
        let run = sent.json["run_id"].as_str().unwrap();
        ada.expect_run_completed(run.parse().unwrap()).await;
        let foreign = eve.ask(json!({ "type": "switch_thread", "thread_id": spelt })).await;
        assert_eq!(foreign["error_code"], "not_found");
    }
    assert_eq!(names(&user).await, [name]);
    assert!(ada.events().iter().all(|event| event.thread_id == run.thread_id));
    let gone = ada.ask(json!({ "type": "delete_thread", "thread_id": spellings[0] })).await;
    assert_eq!((gone.kind(), gone.text_of("thread_id")), ("ack", name));
    ada.expect(event("thread_deleted").field("thread_id", name)).await;

    // Now nobody has the name, so the spelling is one; and a name that a thread has exactly wins.
    let made = ada.ask(naming("create_thread", &spellings[0])).await;
    assert_eq!(made.text_of("thread_id"), spellings[0]);
    let other = ada.ask(naming("create_thread", name)).await;
    assert_eq!(other.text_of("thread_id"), name);
    for exact in [&spellings[0], name] {
        let shown = ada.ask(json!({ "type": "switch_thread", "thread_id": exact })).await;
        assert_eq!(shown.text_of("thread_id"), exact);
    }
    let shown = ada.ask(json!({ "type": "switch_thread", "thread_id": spellings[1] })).await;
    assert_eq!(shown.text_of("thread_id"), name);
    ada.assert_exactly_once();
}

/// Bug over HTTP: a thread could not be made under a name, nor by a message into it.
#[tokio::test]
async fn http_makes_threads_under_their_names_too() {
    let server = unbounded().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let sent =
        user.post("/api/threads/from%20a%2Fmessage/messages", json!({ "content": "hi", "id": "q" })).await;
    assert_eq!((sent.status, &sent.json["thread_id"]), (202, &json!("from a/message")), "{}", sent.body);
    ada.expect(event("thread_created").field("thread_id", "from a/message")).await;
    // The same request over the socket: the same answer, no second run.
    let again = json!({ "type": "chat", "content": "hi", "thread_id": "from a/message", "id": "q" });
    ada.send(again).await;
    assert_eq!(ada.expect("accepted").await["run_id"], sent.json["run_id"]);

    let body = json!({ "thread_id": "Plans", "title": "Our plans", "metadata": { "colour": "red" } });
    let made = user.post("/api/threads", body).await;
    assert_eq!((made.status, &made.json["thread_id"]), (201, &json!("Plans")), "{}", made.body);
    assert_eq!(ada.expect("thread_created").await["metadata"], json!({ "colour": "red" }));
    for bad in [json!(""), json!("a\u{0}"), json!("x".repeat(129)), json!(7)] {
        let reply = user.post("/api/threads", json!({ "thread_id": bad })).await;
        assert_eq!((reply.status, reply.error_code()), (422, "invalid_frame"), "{bad}");
    }
    for bad in ["a%00", "%0A", &"x".repeat(129)] {
        let path = format!("/api/threads/{bad}");
        let reply = user.post(&format!("{path}/messages"), json!({ "content": "hi" })).await;
        assert_eq!((reply.status, reply.error_code()), (422, "invalid_frame"), "{bad}");
        assert_eq!(user.get(&path).await.error_code(), "not_found", "{bad}");
    }
}

/// Fault: nothing said what becomes of making a thread that is there.
#[tokio::test]
async fn making_a_thread_that_is_there_changes_nothing() {
    let server = unbounded().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let made = json!({ "thread_id": "plans", "title": "Our plans", "metadata": { "a": 1 } });
    let first = user.post("/api/threads", made).await;
    ada.expect("thread_created").await;
    let again = user.post("/api/threads", json!({ "thread_id": "plans", "title": "Other" })).await;
    assert_eq!((again.status, &again.json), (200, &first.json));
    let ack = ada.ask(json!({ "type": "create_thread", "thread_id": "plans", "title": "Other" })).await;
    assert_eq!((ack.kind(), ack.text_of("thread_id")), ("ack", "plans"));
    ada.expect_none("thread_created").await;
    ada.expect_none("thread_updated").await;
    assert_eq!(user.get("/api/threads/plans").await.json, first.json);
}

/// Bug: a name is its user's alone, so the same name of another user must be another thread, also when it is the
/// id that the server made; and what is answered must not tell whether another user has a thread of that name.
#[tokio::test]
async fn the_same_name_of_another_user_is_another_thread() {
    let server = unbounded().await;
    let (user, other) = (server.user("ada"), server.user("eve"));
    let (ada, eve) = (user.connect().await, other.connect().await);
    let run = ada.chat("What is secretword 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
    let hers = ada.ask(naming("chat", "plans")).await;
    ada.expect_run_completed(hers.text_of("run_id").parse().unwrap()).await;
    let before = ada.state();
    let nobodys = ThreadId::generate();
    for kind in FRAMES {
        let mut shapes = Vec::new();
        for name in [run.thread_id.as_str(), "plans", nobodys.as_str()] {
            assert_eq!(
                eve.ask(json!({ "type": "switch_thread", "thread_id": name })).await["error_code"],
                "not_found"
            );
            let reply = eve.ask(naming(kind, name)).await;
            assert_eq!(reply.text_of("thread_id"), name);
            let created = eve.expect(event("thread_created").field("thread_id", name)).await;
            shapes.push((reply.kind().to_owned(), fields(&reply.json), fields(&created.json)));
            if kind != "create_thread" {
                eve.expect_run_completed(reply.text_of("run_id").parse().unwrap()).await;
            }
            let own = eve.ask(json!({ "type": "get_thread_history", "thread_id": name })).await;
            assert_eq!(own["total"], if kind == "create_thread" { 0 } else { 2 });
            assert_eq!(
                eve.ask(json!({ "type": "rename_thread", "thread_id": name, "title": "x" })).await.kind(),
                "ack"
            );
            assert_eq!(eve.ask(json!({ "type": "delete_thread", "thread_id": name })).await.kind(), "ack");
        }
        assert_eq!((&shapes[0], &shapes[1]), (&shapes[2], &shapes[2]), "nothing tells that it exists");
    }
    ada.barrier().await;
    assert_eq!(ada.state(), before, "the owner's threads are untouched");
    assert_eq!(user.get(&format!("/api/threads/{}", run.thread_id)).await.json["message_count"], 2);
    assert!(eve.frames().iter().all(|frame| !frame.text.contains("secretword")));
    eve.assert_exactly_once();
}

fn fields(frame: &Value) -> Vec<String> {
    frame.as_object().unwrap().keys().cloned().collect()
}

/// Fault: two devices that use a new name at once could make two threads, or one of them fail.
#[tokio::test]
async fn many_devices_that_use_a_new_name_at_once_make_one_thread() {
    let server = unbounded().await;
    let user = server.user("ada");
    let devices: Vec<TestClient> = futures_util::future::join_all((0..8).map(|_| user.connect())).await;
    for round in 0..10 {
        let name = format!("round {round}");
        let asked = devices.iter().zip(FRAMES.into_iter().cycle());
        let replies =
            futures_util::future::join_all(asked.map(|(device, kind)| device.ask(naming(kind, &name)))).await;
        assert!(replies.iter().all(|reply| reply.text_of("thread_id") == name), "{replies:?}");
    }
    server.idle().await;
    devices[0].barrier().await;
    let created = devices[0].events().iter().filter(|event| event.body.name() == "thread_created").count();
    assert_eq!((created, names(&user).await.len()), (10, 10));
    devices[0].assert_exactly_once();
}

/// Fault: a request that is sent again after its thread was deleted must not make the thread anew.
#[tokio::test]
async fn a_request_sent_again_makes_nothing() {
    let server = unbounded().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    for kind in FRAMES {
        let mut frame = naming(kind, "plans");
        frame["id"] = json!(format!("once-{kind}"));
        ada.send(&frame).await;
        let first = ada.expect(wireproof_testkit::answer_to(&format!("once-{kind}"))).await;
        server.idle().await;
        ada.ask(json!({ "type": "delete_thread", "thread_id": "plans" })).await;
        ada.send(&frame).await;
        let again = ada.expect(wireproof_testkit::answer_to(&format!("once-{kind}"))).await;
        assert_eq!(
            (&again["thread_id"], again.json.get("run_id")),
            (&first["thread_id"], first.json.get("run_id"))
        );
        assert_eq!(user.get("/api/threads/plans").await.status, 404, "{kind}");
    }
}

/// Fault: a run that goes on when its thread is deleted wrote its answer into a new thread of the same name.
#[tokio::test]
async fn a_name_is_free_after_the_deletion_and_the_old_run_stays_out() {
    let go = Arc::new(Notify::new());
    let late = go.clone();
    let agent = acting("late", move |_| {
        let late = late.clone();
        async move {
            late.notified().await;
            answer("an answer of the old thread")
        }
    });
    let server = TestServer::builder().agents([agent]).start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let mut frame = naming("chat", "plans");
    frame["agent"] = json!("late");
    let old = ada.request_run(frame).await;
    ada.expect("agent_started").await;
    ada.ask(json!({ "type": "delete_thread", "thread_id": "plans" })).await;
    ada.expect("thread_deleted").await;
    let new = ada.request_run(naming("chat", "plans")).await;
    ada.expect_run_completed(new.run_id).await;
    go.notify_one();
    let over = ada.expect_run_completed(old.run_id).await;
    assert_eq!(over.final_response(), Some("an answer of the old thread"));
    server.idle().await;
    let page = user.get("/api/threads/plans/messages").await;
    assert_eq!(page.json["total"], 2, "{}", page.body);
    assert!(!page.body.contains("old thread"), "{}", page.body);
    ada.barrier().await;
    let state = ada.state();
    let told: Vec<_> =
        state.threads[&new.thread_id].messages.iter().map(|message| &message.content).collect();
    assert!(told.len() == 2 && told.iter().all(|text| !text.contains("old thread")), "{told:?}");
    ada.assert_exactly_once();
}
