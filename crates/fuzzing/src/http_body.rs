//! Bodies of HTTP: any bytes of any kind on every route that takes some, answered as the server's own document says.

use serde_json::Value;

use crate::rig::{Reply, with};

const ROUTES: [(&str, &str); 3] =
    [("POST", "/api/threads"), ("PATCH", "/api/threads/{id}"), ("POST", "/api/threads/{id}/messages")];

const KINDS: [&str; 5] = [
    "Content-Type: application/json\r\n",
    "",
    "Content-Type: text/plain; charset=utf-16\r\n",
    "Content-Type: application/json; charset=\"\r\n",
    "Content-Type: multipart/form-data\r\nContent-Encoding: gzip\r\n",
];

/// The first byte chooses the route, the second the content type; the rest is the body.
pub fn http_body(bytes: &[u8]) {
    let [route, kind, body @ ..] = bytes else { return };
    let (method, template) = ROUTES[usize::from(*route) % ROUTES.len()];
    let lines = KINDS[usize::from(*kind) % KINDS.len()];
    with(|rig| {
        let path = template.replace("{id}", &rig.thread_id);
        let reply = rig.request(method, &path, lines, body);
        if lines.contains("Content-Encoding") {
            return assert_eq!(reply.status, 415, "{}", reply.body);
        }
        judge(method, template, body, &reply);
    });
}

fn judge(method: &str, template: &str, body: &[u8], reply: &Reply) {
    let shown = || format!("{method} {template} {:?}: {}", String::from_utf8_lossy(body), reply.body);
    assert!(reply.status < 500, "{} for {}", reply.status, shown());
    assert!(reply.head.contains("content-type: application/json"), "{}", shown());
    if reply.status >= 400 {
        let error = reply.json["error"].as_str();
        assert!(error.is_some_and(|error| !error.is_empty() && error.len() < 400), "{}", shown());
        assert_eq!(reply.json["error"], reply.json["message"]);
        assert!(reply.json["error_code"].is_string() && reply.json["retryable"].is_boolean());
    }
    let sent = if body.is_empty() { b"{}" } else { body };
    match serde_json::from_slice::<Value>(sent) {
        Err(_) => assert!(matches!(reply.status, 400 | 413), "{}", shown()),
        Ok(Value::Object(fields)) => assert!(reply.status != 400, "{fields:?} is JSON, but {}", shown()),
        Ok(_) => assert_eq!(reply.status, 422, "{}", shown()),
    }
    if reply.status < 300 {
        let sent: Value = serde_json::from_slice(sent).unwrap();
        accepted(template, &sent, &reply.json, &shown());
    }
}

fn accepted(template: &str, sent: &Value, answer: &Value, shown: &str) {
    if template.ends_with("messages") {
        let content = sent["content"].as_str().expect("an accepted message has text");
        assert!(!content.trim().is_empty() && content.len() <= 64 << 10, "{shown}");
        return assert_eq!(answer["type"], "accepted");
    }
    match sent["title"].as_str() {
        Some(title) if !title.trim().is_empty() => {
            assert!(title.chars().count() <= 200 && answer["title"] == title, "{shown}");
        }
        Some(_) => assert_eq!(answer["title"], "New thread", "{shown}"),
        None => assert!(sent["title"].is_null() && answer["title"].is_string(), "{shown}"),
    }
    match &sent["metadata"] {
        Value::Object(metadata) if metadata.is_empty() => {
            assert!(answer.get("metadata").is_none(), "{shown}")
        }
        Value::Object(_) => assert_eq!(answer["metadata"], sent["metadata"], "{shown}"),
        other => assert!(other.is_null(), "{shown}"),
    }
}
