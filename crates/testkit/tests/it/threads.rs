//! Threads and their messages over the socket and over REST: one truth, told to all devices of their user and to no
//! one else.

use serde_json::{Value, json};
use wireproof_protocol::ThreadId;
use wireproof_testkit::{TestServer, event, matching};

#[tokio::test]
async fn a_thread_lives_over_the_socket_and_all_devices_hear_of_it() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let (phone, laptop) = (user.connect().await, user.connect().await);
    let metadata = json!({ "color": "red", "deep": { "list": [1, 2.5, null, "ü"] } });
    let ack = phone.ask(json!({ "type": "create_thread", "title": "plans", "metadata": metadata })).await;
    let thread_id = ack["thread_id"].clone();
    assert_eq!((ack.kind(), ack.json.get("run_id")), ("ack", None));
    for client in [&phone, &laptop] {
        let created = client.expect(event("thread_created").field("thread_id", thread_id.clone())).await;
        assert_eq!((created.text_of("title"), &created["metadata"]), ("plans", &metadata));
        assert_eq!(created.json.get("run_id"), None);
    }
    laptop.ask(json!({ "type": "rename_thread", "thread_id": thread_id, "title": "our plans" })).await;
    for client in [&phone, &laptop] {
        let updated = client.expect("thread_updated").await;
        assert_eq!((updated.text_of("title"), &updated["metadata"]), ("our plans", &metadata));
    }
    laptop.ask(json!({ "type": "rename_thread", "thread_id": thread_id, "metadata": {} })).await;
    let updated = phone.expect("thread_updated").await;
    assert_eq!(
        (updated.text_of("title"), updated.json.get("metadata")),
        ("our plans", None),
        "empty is absent"
    );
    let chat = json!({ "type": "chat", "content": "What is 2+3?", "thread_id": thread_id });
    let run = phone.request_run(chat).await;
    assert_eq!(run.thread_id.to_string(), thread_id);
    let run = phone.expect_run_completed(run.run_id).await;
    let data = laptop.ask(json!({ "type": "switch_thread", "thread_id": thread_id })).await;
    assert_eq!(
        (data.kind(), data.text_of("title"), &data["message_count"]),
        ("thread_data", "our plans", &json!(2))
    );
    let messages = data["messages"].as_array().unwrap();
    assert_eq!((&messages[0]["role"], &messages[0]["content"]), (&json!("user"), &json!("What is 2+3?")));
    assert_eq!(
        (&messages[1]["role"], messages[1]["content"].as_str()),
        (&json!("assistant"), run.final_response())
    );
    assert_eq!(messages[1]["run_id"], run.run_id.to_string());
    let typing = phone.ask(json!({ "type": "typing", "thread_id": thread_id, "active": true })).await;
    assert_eq!(typing.kind(), "ack");
    phone.ask(json!({ "type": "delete_thread", "thread_id": thread_id })).await;
    for client in [&phone, &laptop] {
        client.expect(event("thread_deleted").field("thread_id", thread_id.clone())).await;
        client.barrier().await;
        assert!(client.state().threads.is_empty());
        client.assert_exactly_once();
    }
    for frame in [
        json!({ "type": "switch_thread", "thread_id": thread_id }),
        json!({ "type": "delete_thread", "thread_id": thread_id }),
    ] {
        assert_eq!(phone.ask(frame).await["error_code"], "not_found");
    }
}

#[tokio::test]
async fn a_thread_lives_over_rest_with_the_same_events() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let client = user.connect().await;
    let created = user.post("/api/threads", json!({ "title": "plans", "metadata": { "n": 1 } })).await;
    assert_eq!(created.status, 201);
    let id = created.json["thread_id"].as_str().unwrap().to_owned();
    let path = format!("/api/threads/{id}");
    let names: Vec<_> = created.json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["created_at", "message_count", "metadata", "thread_id", "title", "updated_at"]);
    assert_eq!(user.get(&path).await.json, created.json);
    let updated = user.patch(&path, json!({ "title": "our plans" })).await;
    assert_eq!((updated.status, &updated.json["metadata"]), (200, &json!({ "n": 1 })));
    assert!(updated.json["updated_at"].as_f64() >= created.json["updated_at"].as_f64());
    let accepted = user.post(&format!("{path}/messages"), json!({ "content": "What is 2+3?" })).await;
    assert_eq!((accepted.status, &accepted.json["thread_id"]), (202, &json!(id)));
    client.expect(event("agent_completed").field("run_id", accepted.json["run_id"].clone())).await;
    let run = user.get(&format!("/api/runs/{}", accepted.json["run_id"].as_str().unwrap())).await;
    assert_eq!(
        (run.status, &run.json["outcome"], &run.json["thread_id"]),
        (200, &json!("success"), &json!(id))
    );
    let history = user.get(&format!("{path}/messages")).await;
    assert_eq!((history.status, &history.json["total"]), (200, &json!(2)));
    let message = &history.json["messages"][1];
    assert_eq!((&message["thread_id"], message.get("incomplete")), (&json!(id), None));
    let deleted = user.delete(&path).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(user.get(&path).await.status, 404);
    assert_eq!(user.get(&format!("{path}/messages")).await.error_code(), "not_found");
    client.barrier().await;
    let kinds: Vec<_> = client.events().iter().map(|event| event.body.name()).collect();
    let of_the_thread: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("thread_")).collect();
    assert_eq!(of_the_thread, [&"thread_created", &"thread_updated", &"thread_deleted"]);
    client.assert_exactly_once();
}

#[tokio::test]
async fn another_users_thread_is_not_found_by_any_frame_or_route_that_reads_or_changes() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let (user, thief) = (server.user("ada"), server.user("eve"));
    let (ada, eve) = (user.connect().await, thief.connect().await);
    let run = ada.chat("What is secretword 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
    let before = ada.state();
    let existing = run.thread_id.to_string();
    for id in [existing.as_str(), &ThreadId::generate().to_string(), "nonsense", ""] {
        for frame in [
            json!({ "type": "switch_thread", "thread_id": id }),
            json!({ "type": "get_thread_history", "thread_id": id }),
            json!({ "type": "rename_thread", "thread_id": id, "title": "mine" }),
            json!({ "type": "delete_thread", "thread_id": id }),
            json!({ "type": "typing", "thread_id": id, "active": true }),
            json!({ "type": "approve", "approval_id": id, "decision": "approved" }),
        ] {
            let refused = eve.ask(&frame).await;
            assert_eq!(refused["error_code"], "not_found", "{frame}");
            let what = if frame["type"] == "approve" { "open approval" } else { "thread" };
            assert_eq!(refused["message"], format!("There is no such {what}."), "{frame}");
        }
        if id.is_empty() {
            continue;
        }
        let path = format!("/api/threads/{id}");
        let replies = [
            thief.get(&path).await,
            thief.patch(&path, json!({ "title": "mine" })).await,
            thief.delete(&path).await,
            thief.get(&format!("{path}/messages")).await,
        ];
        for reply in replies {
            assert_eq!((reply.status, reply.error_code()), (404, "not_found"), "{}", reply.body);
        }
    }
    assert_eq!(thief.get("/api/threads").await.json["total"], 0);
    let search = eve.chat("search my threads for secretword").await;
    let found = eve.expect_run_completed(search.run_id).await;
    assert!(found.final_response().unwrap().contains("nothing about"), "{found:?}");
    ada.barrier().await;
    assert_eq!(ada.state(), before);
    eve.expect_none(matching("a word of ada's answer", |arrival| arrival.text.contains("2+3"))).await;
    server.idle().await;
}

#[tokio::test]
async fn lists_and_histories_come_in_pages() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let user = server.user("ada");
    let ada = user.connect().await;
    for number in 0..25 {
        user.post("/api/threads", json!({ "title": format!("thread {number}") })).await;
    }
    let titles = |page: &Value| -> Vec<String> {
        let threads = page["threads"].as_array().unwrap();
        threads.iter().map(|thread| thread["title"].as_str().unwrap().to_owned()).collect()
    };
    let first = user.get("/api/threads").await.json;
    assert_eq!((&first["total"], &first["limit"], &first["offset"]), (&json!(25), &json!(20), &json!(0)));
    assert_eq!(titles(&first)[..2], ["thread 24", "thread 23"], "the latest change first");
    let mut all = Vec::new();
    for offset in (0..30).step_by(7) {
        let page = user.get(&format!("/api/threads?limit=7&offset={offset}")).await.json;
        assert_eq!(page["total"], 25);
        all.extend(titles(&page));
    }
    let expected: Vec<_> = (0..25).rev().map(|number| format!("thread {number}")).collect();
    assert_eq!(all, expected);
    let most = user.get("/api/threads?limit=100000&offset=0").await.json;
    assert_eq!((&most["limit"], titles(&most).len()), (&json!(100), 25));
    assert_eq!(titles(&user.get("/api/threads?offset=18446744073709551615").await.json).len(), 0);
    let mut thread_id = Value::Null;
    for number in 0..7 {
        let chat =
            json!({ "type": "chat", "content": format!("What is {number}+0?"), "thread_id": thread_id });
        let run = ada.request_run(chat).await;
        ada.expect_run_completed(run.run_id).await;
        thread_id = json!(run.thread_id);
    }
    let contents = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
    };
    let path = format!("/api/threads/{}/messages", thread_id.as_str().unwrap());
    let whole = user.get(&path).await.json;
    assert_eq!((&whole["total"], contents(&whole).len(), &whole["offset"]), (&json!(14), 14, &json!(0)));
    let mut over_rest = Vec::new();
    let mut over_socket = Vec::new();
    for offset in (0..18).step_by(4) {
        over_rest.extend(contents(&user.get(&format!("{path}?limit=4&offset={offset}")).await.json));
        let frame =
            json!({ "type": "get_thread_history", "thread_id": thread_id, "limit": 4, "offset": offset });
        let page = ada.ask(frame).await;
        assert_eq!((page.kind(), &page["total"], &page["limit"]), ("thread_history", &json!(14), &json!(4)));
        assert_eq!(page["offset"], offset);
        over_socket.extend(contents(&page.json));
    }
    assert_eq!((&over_rest, &over_socket), (&contents(&whole), &contents(&whole)));
    let latest = user.get(&format!("{path}?limit=3")).await.json;
    assert_eq!((contents(&latest), &latest["offset"]), (contents(&whole)[11..].to_vec(), &json!(11)));
}

/// A thread that is deleted while a run answers in it: the run ends, and brings nothing back.
#[tokio::test]
async fn a_thread_deleted_under_its_run_stays_deleted() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let run = ada.chat("What is 2+3, and count from 1 to 20.").await;
    ada.expect("message_delta").await;
    ada.ask(json!({ "type": "delete_thread", "thread_id": run.thread_id })).await;
    let run = ada.expect_run_completed(run.run_id).await;
    assert!(run.outcome().is_some());
    server.idle().await;
    ada.barrier().await;
    assert!(ada.state().threads.is_empty());
    assert_eq!(user.get("/api/threads").await.json["total"], 0);
    ada.assert_exactly_once();
    let after = ada.chat("What is 2+4?").await;
    ada.expect_run_completed(after.run_id).await;
}

#[tokio::test]
async fn titles_and_metadata_have_bounds_and_keep_their_text() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    for title in
        ["ü".repeat(200), "\u{0}\u{7}\"\\ \u{2028}".to_owned(), "<script>".to_owned(), " x ".to_owned()]
    {
        let created = user.post("/api/threads", json!({ "title": title })).await;
        assert_eq!((created.status, &created.json["title"]), (201, &json!(title)));
        ada.expect(event("thread_created").field("title", title)).await;
    }
    for (body, field) in [
        (json!({ "title": "x".repeat(201) }), "title"),
        (json!({ "title": 7 }), "title"),
        (json!({ "metadata": "text" }), "metadata"),
        (json!({ "metadata": { "big": "x".repeat(17_000) } }), "metadata"),
    ] {
        let reply = user.post("/api/threads", body.clone()).await;
        assert_eq!((reply.status, reply.error_code()), (422, "invalid_frame"), "{field}: {}", reply.body);
        let mut frame = body;
        frame["type"] = json!("create_thread");
        assert_eq!(ada.ask(frame).await["error_code"], "invalid_frame", "{field}");
    }
    let untitled = ada.ask(json!({ "type": "create_thread" })).await;
    let created = ada.expect(event("thread_created").field("thread_id", untitled["thread_id"].clone())).await;
    assert!(!created.text_of("title").is_empty());
    ada.expect_none("thread_created").await;
}
