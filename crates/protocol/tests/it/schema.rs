//! The JSON Schemas in docs are those of the types, allow what is sent and refuse what is broken.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    malformed::rows,
    samples::{controls, events, requests},
    schema_check::{check, client, server},
};

#[test]
fn each_schema_is_generated() {
    for (name, schema) in [("client", client()), ("server", server())] {
        let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
        let path = format!("docs/schema/{name}.json");
        wireproof_generated::file(env!("CARGO_PKG_NAME"), &path, |_| text.clone());
    }
}

#[test]
fn every_sample_is_allowed() {
    for request in requests() {
        assert_eq!(check(client(), &json!(request)), Ok(()), "{}", json!(request));
    }
    let frames = events().into_iter().map(|event| json!(event));
    for frame in frames.chain(controls().into_iter().map(|control| json!(control))) {
        assert_eq!(check(server(), &frame), Ok(()), "{frame}");
    }
}

fn types_of(variants: &Value) -> BTreeSet<&str> {
    let kinds = variants.as_array().unwrap().iter().map(|variant| &variant["properties"]["type"]);
    kinds.flat_map(|kind| [kind["const"].as_str(), kind["enum"][0].as_str()]).flatten().collect()
}

#[test]
fn every_type_has_a_sample() {
    let samples = [json!(requests()), json!(events()), json!(controls())];
    let variants =
        [&client()["oneOf"], &server()["$defs"]["Event"]["oneOf"], &server()["$defs"]["Control"]["oneOf"]];
    for (samples, variants) in samples.iter().zip(variants) {
        let sampled = samples.as_array().unwrap().iter().map(|sample| sample["type"].as_str().unwrap());
        assert_eq!(sampled.collect::<BTreeSet<_>>(), types_of(variants));
    }
}

#[test]
fn aliases_are_allowed() {
    for frame in
        [json!({"type": "user_message", "content": "hi"}), json!({"type": "stop_agent", "run_id": "r"})]
    {
        assert_eq!(check(client(), &frame), Ok(()), "{frame}");
    }
}

/// Frames with a payload are left out, for the schema shows the flat shape, and so are a whole float as an integer,
/// numbers that are not kept exactly, and depth, which JSON Schema allows.
#[test]
fn malformed_frames_are_refused() {
    let beyond_schema = [
        "a float as after",
        "an exponent as after",
        "after of 2^64",
        "a number beyond 64 bits",
        "a fraction with more digits than are kept",
        "a frame nested 101 deep",
    ];
    let rows = rows().into_iter().filter(|row| !beyond_schema.contains(&row.name.as_str()));
    for row in rows {
        match serde_json::from_str::<Value>(&row.text) {
            Ok(frame) if frame.get("payload").is_none() => {
                assert!(check(client(), &frame).is_err(), "{}", row.name);
            }
            _ => {}
        }
    }
}

#[test]
fn broken_frames_of_a_server_are_refused() {
    let samples = json!([events(), controls()]);
    let frames = samples.as_array().unwrap().iter().flat_map(|frames| frames.as_array().unwrap());
    let optional = [
        "id",
        "first_seq",
        "first_run_seq",
        "metadata",
        "result",
        "error",
        "detail",
        "message_id",
        "final_response",
        "run_id",
        "approval_id",
        "thread_id",
        "outcome",
        "features",
        "insecure_no_auth",
        "retry_after_ms",
        "details",
    ];
    for frame in frames {
        for name in frame.as_object().unwrap().keys() {
            let mut broken = frame.clone();
            broken[name] = json!([null]);
            let anything = ["result", "parameters", "schema"].contains(&name.as_str());
            assert!(anything || check(server(), &broken).is_err(), "{broken}");
            broken.as_object_mut().unwrap().remove(name);
            let of_a_run = frame.get("run_seq").is_some() && name == "run_id";
            if of_a_run || !optional.contains(&name.as_str()) {
                assert!(check(server(), &broken).is_err(), "without {name}: {broken}");
            }
        }
    }
}
