//! Checks every answer against what `/openapi.json` says of its route.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Method, header};
use jsonschema::Validator;
use serde_json::{Value, json};
use wireproof_server::openapi_document;

use super::Reply;

/// Says what of an answer the document does not have. Addresses and methods that it does not know are not its matter.
pub(super) fn check(asked: &(Method, String), reply: &Reply) -> Result<(), String> {
    let (method, path) = asked;
    let Some((template, item)) = route(path) else { return Ok(()) };
    let Some(operation) = item.get(method.as_str().to_ascii_lowercase()) else { return Ok(()) };
    let place = format!("{method} {template} answered {}", reply.status);
    let Some(answer) = operation["responses"].get(reply.status.to_string()) else {
        return Err(format!("{place}, which /openapi.json does not have: {}", reply.body));
    };
    for name in answer["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        if !reply.headers.contains_key(name) {
            return Err(format!("{place} without the header {name}"));
        }
    }
    let Some(content) = answer.get("content") else { return Ok(()) };
    let kind =
        reply.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let Some(media) = content.get(kind) else {
        return Err(format!("{place} as {kind:?}, which /openapi.json does not have"));
    };
    if kind != "application/json" {
        return Ok(());
    }
    let schema = &media["schema"];
    if let Err(error) = validator(schema).validate(&reply.json) {
        return Err(format!("{place}, but {error}: {}", reply.body));
    }
    let known = properties(schema);
    let fields = reply.json.as_object().into_iter().flat_map(|fields| fields.keys());
    match fields.into_iter().find(|name| known.is_some_and(|known| known.get(*name).is_none())) {
        Some(name) => Err(format!("{place} with {name:?}, which /openapi.json does not have")),
        None => Ok(()),
    }
}

/// The route that an address is of; one with fewer parameters goes first.
fn route(path: &str) -> Option<(&'static str, &'static Value)> {
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let fits = |(wanted, given): (&&str, &&str)| {
            wanted == given || (wanted.starts_with('{') && !given.is_empty())
        };
        wanted.len() == given.len() && wanted.iter().zip(&given).all(fits)
    };
    let paths = openapi_document()["paths"].as_object()?;
    let found = paths.iter().filter(|(template, _)| fits(template));
    found
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}

/// What a schema names, if it is one with properties of its own only.
fn properties(schema: &Value) -> Option<&'static Value> {
    let target = schema["$ref"].as_str()?.strip_prefix('#')?;
    let schema = openapi_document().pointer(target)?;
    schema
        .get("properties")
        .filter(|_| ["oneOf", "anyOf", "allOf", "$ref"].iter().all(|word| schema.get(word).is_none()))
}

/// Made once for each schema of the document.
fn validator(schema: &Value) -> Arc<Validator> {
    static MADE: Mutex<Option<HashMap<String, Arc<Validator>>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_default();
    let make = || {
        let mut whole = schema.clone();
        whole["components"] = json!({ "schemas": openapi_document()["components"]["schemas"] });
        let made = jsonschema::validator_for(&whole);
        Arc::new(made.unwrap_or_else(|error| panic!("/openapi.json has a schema that is none: {error}")))
    };
    made.entry(schema.to_string()).or_insert_with(make).clone()
}
