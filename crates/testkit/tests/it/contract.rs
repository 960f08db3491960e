//! What the server says of itself in `/openapi.json` and `/asyncapi.json`, and whether it is so.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use http::Method;
use jsonschema::Validator;
use serde_json::{Value, json};
use wireproof_agents::Emission;
use wireproof_protocol::Position;
use wireproof_testkit::{TestServer, answer_to, error, event, frame};

use crate::acting::{acting, answer, patient};

#[tokio::test]
async fn the_documents_are_served_to_everybody_and_cached() {
    let server = TestServer::start().await;
    for (path, version) in [("/openapi.json", "openapi"), ("/asyncapi.json", "asyncapi")] {
        let reply = server.rest().get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert!(reply.json[version].as_str().unwrap().starts_with("3."), "{path}");
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
        let tag = reply.header("etag").unwrap().to_owned();
        let again = server.rest().get(path).await;
        assert_eq!((again.header("etag"), &again.body), (Some(tag.as_str()), &reply.body));
        for line in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let mut wire = crate::wire::Wire::dial(server.address()).await;
            wire.write(
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {line}\r\n\r\n").as_bytes(),
            )
            .await;
            let head = wire.head().await;
            assert_eq!((head.status, head.header("etag")), (304, Some(tag.as_str())), "{line}");
        }
        // Nothing of this server is in it.
        let (data_dir, secret) = (server.data_dir().display().to_string(), server.user("ada").token());
        assert!(!reply.body.contains(&data_dir) && !reply.body.contains(&secret));
    }
}

/// The router answers 405 with just the methods that the document has for the address.
#[tokio::test]
async fn each_address_takes_the_methods_that_are_documented() {
    let server = TestServer::start().await;
    let document = server.rest().get("/openapi.json").await.json;
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut methods: BTreeSet<_> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let reply = server.user("ada").send(Method::PUT, &path.replace("{id}", "x"), "").await;
        let allowed = reply.header("allow").unwrap_or_default();
        let allowed: BTreeSet<_> = allowed.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!((reply.status, &allowed), (405, &methods), "{path}");
    }
}

/// The messages of the document, by type and alias.
struct Messages(HashMap<String, Validator>);

impl Messages {
    fn of(document: &Value) -> Self {
        let mut validators = HashMap::new();
        for (kind, message) in document["components"]["messages"].as_object().unwrap() {
            let aliases = message["x-aliases"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in [kind.as_str()].into_iter().chain(aliases) {
                let mut schema = message["payload"].clone();
                schema["components"] = json!({ "schemas": document["components"]["schemas"] });
                validators.insert(name.to_owned(), jsonschema::validator_for(&schema).unwrap());
            }
        }
        Self(validators)
    }

    #[track_caller]
    fn check(&self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap();
        let validator = self.0.get(kind).unwrap_or_else(|| panic!("{kind} is not in /asyncapi.json"));
        if let Err(error) = validator.validate(frame) {
            panic!("{kind}: {error}: {frame}");
        }
    }
}

/// Types that no traffic of this version brings about.
const UNHEARD: [&str; 2] = ["approval_requested", "approval_resolved"];

/// What an agent can say, as the samples of the protocol have it.
fn sampled() -> impl Iterator<Item = Emission> {
    let samples = include_str!("../../../protocol/tests/it/samples/events.jsonl").lines();
    // The others are the server's to say.
    samples.filter_map(|sample| serde_json::from_str(sample).ok())
}

#[tokio::test]
async fn every_frame_on_the_wire_is_what_the_document_says() {
    let busy = acting("busy", |context| async move {
        let mut said = String::new();
        for emission in sampled() {
            if let Emission::MessageDelta { delta } = &emission {
                said += delta;
            }
            context.emit(emission).await?;
        }
        answer(&said)
    });
    let mut server = TestServer::builder().agents([busy, patient()]).start().await;
    let document = server.rest().get("/asyncapi.json").await.json;
    let (messages, mut sent) = (Messages::of(&document), BTreeSet::new());
    let user = server.user("ada");
    let ada = user.connect().await;
    let epoch = ada.frames()[0].text_of("epoch").to_owned();
    let thread = user.post("/api/threads", json!({ "metadata": { "a": 1 } })).await.json["thread_id"].clone();
    ada.send(json!({ "type": "chat", "content": "go", "agent": "busy", "id": "c" })).await;
    ada.expect(event("agent_completed")).await;
    ada.send(json!({ "type": "chat", "content": "wait", "agent": "patient", "id": "w" })).await;
    let run_id = ada.expect(answer_to("w")).await.text_of("run_id").to_owned();
    let frames = [
        json!({ "type": "ping" }),
        json!({ "type": "heartbeat" }),
        json!({ "type": "authenticate", "token": user.token() }),
        json!({ "type": "user_message", "content": "What is 1+1?", "thread_id": thread }),
        json!({ "type": "start_agent", "user_request": "What is 2/0?" }),
        json!({ "type": "cancel_run", "run_id": run_id }),
        json!({ "type": "stop_agent", "run_id": run_id }),
        json!({ "type": "approve", "approval_id": "a", "decision": "denied", "edited_arguments": [null] }),
        json!({ "type": "create_thread", "title": "t", "metadata": { "a": [1] } }),
        json!({ "type": "rename_thread", "thread_id": thread, "title": "u" }),
        json!({ "type": "switch_thread", "thread_id": thread }),
        json!({ "type": "get_thread_history", "thread_id": thread, "limit": 1, "offset": 0 }),
        json!({ "type": "typing", "thread_id": thread, "active": true }),
        json!({ "type": "delete_thread", "thread_id": thread }),
        json!({ "type": "resume", "epoch": epoch, "after": 0 }),
        json!({ "type": "resume", "epoch": "00000000000000aa", "after": 0 }),
        json!({ "type": "chat", "content": "x", "agent": "nobody" }),
    ];
    for (number, mut frame) in frames.into_iter().enumerate() {
        frame["id"] = json!(format!("n{number}"));
        messages.check(&frame);
        sent.insert(frame["type"].as_str().unwrap().to_owned());
        ada.send(frame).await;
        ada.expect(answer_to(&format!("n{number}"))).await;
    }
    ada.send_raw("{").await;
    ada.expect(error("invalid_json")).await;
    server.idle().await;
    ada.barrier().await;
    let late = user.connect_at(Position { epoch: epoch.parse().unwrap(), seq: 0 }).await;
    late.barrier().await;
    // A minute before it expires, which is in a second.
    let brief = user.open(user.connection().token(user.token_for(Duration::from_secs(61)))).await;
    brief.expect(frame("token_expiring")).await;
    server.shutdown().await;
    ada.expect(frame("go_away")).await;
    let mut received = BTreeSet::new();
    for arrival in [ada.frames(), late.frames(), brief.frames()].concat() {
        messages.check(&arrival.json);
        received.insert(arrival.kind().to_owned());
    }
    let listed = |operation: &str| -> BTreeSet<String> {
        let messages = document["operations"][operation]["messages"].as_array().unwrap();
        messages
            .iter()
            .map(|place| place["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    let unsent: Vec<_> = listed("take_ws").difference(&sent).cloned().collect();
    assert!(unsent.is_empty(), "{unsent:?}: frames of clients that were not sent");
    let unheard: Vec<_> = listed("say_ws").difference(&received).cloned().collect();
    assert_eq!(unheard, UNHEARD, "frames of servers that were not heard");
}
