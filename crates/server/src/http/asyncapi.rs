//! `/asyncapi.json`: the frames of the WebSocket as AsyncAPI 3.0, built from the types of the protocol.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use wireproof_protocol::{CloseCode, SUBPROTOCOL, client_schema, server_schema};

use crate::auth::table::{self, Need};

/// The addresses of the WebSocket, with the names of their channels.
const CHANNELS: [(&str, &str); 2] = [("ws", "/ws"), ("websocket", "/websocket")];

/// The document. It says nothing of this server's settings and is the same for everybody.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

/// The messages of one direction, and the schemas that they share.
#[derive(Default)]
struct Frames {
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

fn build() -> Value {
    let (mut sent, mut received) = (Frames::default(), Frames::default());
    let mut client = json!(client_schema());
    received.schemas.extend(definitions(&mut client));
    received.add("Request", client, |kind| {
        table::of_frame(kind).and_then(|need| match need {
            Need::Permission(permission) => Some(permission.name()),
            Need::Anyone | Need::Authenticated => None,
        })
    });
    let mut server = definitions(&mut json!(server_schema()));
    for base in ["Event", "Control"] {
        let schema = server.remove(base).unwrap_or_default();
        sent.add(base, schema, |_| None);
    }
    sent.schemas.extend(server);
    let mut channels = Map::new();
    let mut operations = Map::new();
    for (name, address) in CHANNELS {
        channels.insert(name.to_owned(), channel(address, &sent, &received));
        for (verb, action, frames) in [("say", "send", &sent), ("take", "receive", &received)] {
            let place = format!("#/channels/{name}");
            let messages =
                frames.messages.keys().map(|kind| json!({ "$ref": format!("{place}/messages/{kind}") }));
            operations.insert(
                format!("{verb}_{name}"),
                json!({ "action": action, "channel": { "$ref": place }, "messages": messages.collect::<Vec<_>>() }),
            );
        }
    }
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "wireproof",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One JSON object in each text message. The server is the one that sends and receives here. \
                Unknown fields and types are passed over.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    });
    let messages: Map<String, Value> = sent.messages.into_iter().chain(received.messages).collect();
    let mut schemas: Map<String, Value> = sent.schemas;
    schemas.extend(received.schemas);
    document["components"] =
        json!({ "messages": messages, "schemas": schemas, "securitySchemes": security_schemes() });
    document
}

impl Frames {
    /// Makes a message of each variant; what all variants share becomes a schema of this name.
    fn add(&mut self, base: &str, mut schema: Value, permission: impl Fn(&str) -> Option<&'static str>) {
        let variants = schema.as_object_mut().and_then(|schema| schema.remove("oneOf"));
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
        }
        self.schemas.insert(base.to_owned(), schema);
        for mut variant in variants.as_ref().and_then(Value::as_array).into_iter().flatten().cloned() {
            let kind = &variant["properties"]["type"];
            let names: Vec<String> = match (kind["const"].as_str(), kind["enum"].as_array()) {
                (Some(name), _) => vec![name.to_owned()],
                (None, names) => {
                    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
                }
            };
            let Some((name, aliases)) = names.split_first() else { continue };
            let description = variant.as_object_mut().and_then(|variant| variant.remove("description"));
            let payload = json!({ "allOf": [{ "$ref": format!("#/components/schemas/{base}") }, variant] });
            let mut message = json!({ "name": name, "payload": payload });
            if let Some(description) = description {
                message["summary"] = description;
            }
            if !aliases.is_empty() {
                message["x-aliases"] = json!(aliases);
            }
            if let Some(permission) = permission(name) {
                message["x-permission"] = json!(permission);
            }
            self.messages.insert(name.clone(), message);
        }
    }
}

/// Takes the definitions out of a schema; every reference leads to where this document has them.
fn definitions(schema: &mut Value) -> Map<String, Value> {
    relocate(schema);
    match schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    }
}

fn relocate(schema: &mut Value) {
    match schema {
        Value::Object(words) => {
            if let Some(Value::String(target)) = words.get_mut("$ref") {
                *target = target.replace("#/$defs/", "#/components/schemas/");
            }
            words.values_mut().for_each(relocate);
        }
        Value::Array(entries) => entries.iter_mut().for_each(relocate),
        _ => {}
    }
}

fn channel(address: &str, sent: &Frames, received: &Frames) -> Value {
    let kinds = sent.messages.keys().chain(received.messages.keys());
    let messages: Map<String, Value> = kinds
        .map(|kind| (kind.clone(), json!({ "$ref": format!("#/components/messages/{kind}") })))
        .collect();
    json!({
        "address": address,
        "messages": messages,
        "bindings": { "ws": {
            "method": "GET",
            "query": { "type": "object", "properties": {
                "epoch": { "type": "string", "pattern": "^[0-9a-f]{16}$" },
                "after": { "type": "integer", "minimum": 0 },
                "ticket": { "type": "string" },
            } },
        } },
        "x-subprotocol": SUBPROTOCOL,
        "x-close-codes": closes(),
    })
}

fn closes() -> Value {
    let close = |close: &CloseCode| {
        let number = close.number();
        let reconnect = CloseCode::should_reconnect(number);
        json!({ "code": number, "reason": close.meaning(), "reconnect": reconnect })
    };
    CloseCode::ALL.iter().map(close).collect()
}

fn security_schemes() -> Value {
    json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": format!("An entry `jwt.TOKEN` beside `{SUBPROTOCOL}`, for browsers."),
        },
        "ticket": {
            "type": "httpApiKey",
            "in": "query",
            "name": "ticket",
            "description": "A ticket of POST /ws/ticket, good once.",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of the table of frames is a message, no type is in both directions, and references lead somewhere.
    #[test]
    fn the_document_holds_together() {
        let document = document();
        let messages = document["components"]["messages"].as_object().unwrap();
        for (kind, _) in table::FRAMES {
            assert!(messages.contains_key(*kind), "{kind}");
        }
        let listed: usize = ["say_ws", "take_ws"]
            .map(|name| document["operations"][name]["messages"].as_array().unwrap().len())
            .iter()
            .sum();
        assert_eq!(listed, messages.len());
        assert_eq!(messages["chat"]["x-aliases"], json!(["user_message"]));
        assert_eq!(messages["chat"]["x-permission"], "chat");
        assert!(messages["agent_completed"]["payload"]["allOf"][1]["properties"]["outcome"].is_object());
        let mut parts = vec![document];
        while let Some(part) = parts.pop() {
            if let Some(target) = part.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
            }
            match part {
                Value::Object(fields) => parts.extend(fields.values()),
                Value::Array(entries) => parts.extend(entries),
                _ => {}
            }
        }
    }
}
