//! JSON Schema of the wire, generated from the types, with what the types cannot say.

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    client_frame::Request,
    event::{Event, THREAD_EVENTS},
    parse::names_of,
    server_frame::Control,
};

/// A server's frame of either kind.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum ServerMessage {
    Event(Box<Event>),
    Control(Box<Control>),
}

/// The schema of every frame that a client may send, with its fields at the top.
pub fn client_schema() -> Schema {
    let mut schema = schema_of::<Request>("A frame from a client to a wireproof server");
    each_variant(schema.get_mut("oneOf"), |kind, variant| {
        let names = names_of(kind);
        if names.len() > 1 {
            variant["properties"]["type"] = json!({"type": "string", "enum": names});
        }
    });
    schema
}

/// The schema of every frame that a server sends.
pub fn server_schema() -> Schema {
    let mut schema = schema_of::<ServerMessage>("A frame from a wireproof server to a client");
    each_variant(schema.pointer_mut("/$defs/Event/oneOf"), |kind, variant| {
        if !THREAD_EVENTS.contains(&kind)
            && let Some(required) = variant["required"].as_array_mut()
        {
            required.extend(["run_id", "run_seq", "agent_name"].map(Value::from));
        }
    });
    RecursiveTransform(absent_instead_of_null).transform(&mut schema);
    schema
}

fn schema_of<T: JsonSchema>(title: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.remove("description");
    schema
}

fn each_variant(variants: Option<&mut Value>, mut change: impl FnMut(&str, &mut Value)) {
    for variant in variants.and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = variant["properties"]["type"]["const"].as_str().map(str::to_owned);
        if let Some(kind) = kind {
            change(&kind, variant);
        }
    }
}

/// Takes `null` out of a schema: a server leaves out what is not there, but the types would allow `null` too.
pub fn absent_instead_of_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (name, value) in only {
                schema.insert(name, value);
            }
        }
    }
}
