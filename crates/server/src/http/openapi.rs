//! `/openapi.json`: what HTTP can do, as OpenAPI 3.1, built from one table of routes and from the types themselves.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use wireproof_protocol::ThreadId;

use crate::auth::table::{self, Need};

mod answers;
mod bodies;
mod metadata;
mod routes;
mod schemas;

pub use metadata::Metadata;
use routes::{ROUTES, Route};
use schemas::Schemas;

/// The document. It says nothing of this server's settings and is the same for everybody.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "wireproof",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "HTTP beside the WebSocket, whose frames are in /asyncapi.json. Unknown fields are passed \
                over in both directions; `null` in a body means that the field is not there.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": routes::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

/// What the table of permissions asks for a route.
fn need(route: &Route) -> Need {
    table::of_route(route.method, route.path).unwrap_or(Need::Authenticated)
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let need = need(route);
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": responses(route, need, schemas),
    });
    match need {
        Need::Anyone => operation["security"] = json!([]),
        Need::Authenticated => operation["security"] = json!([{ "bearer": [] }]),
        Need::Permission(permission) => {
            operation["security"] = json!([{ "bearer": [] }]);
            operation["description"] = json!(format!("Needs the permission `{}`.", permission.name()));
            operation["x-permission"] = json!(permission.name());
        }
    }
    let mut parameters = Vec::new();
    if let Some((_, name)) = route.path.split_once('{') {
        let name = name.split('}').next().unwrap_or_default();
        let schema = match route.path.starts_with("/api/threads/") {
            true => thread_name(),
            false => json!({ "type": "string", "minLength": 1 }),
        };
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    for (name, description, schema) in route.query {
        let schema = schema();
        parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(body) = &route.body {
        let schema = (body.schema)(schemas);
        operation["requestBody"] =
            json!({ "required": body.required, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// What the name of a thread must be.
fn thread_name() -> Value {
    let mut schema = json!(schemars::schema_for!(ThreadId));
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|name, _| ["type", "minLength", "maxLength", "pattern"].contains(&name.as_str()));
    }
    schema
}

/// The answers of the route's own, and the refusals that follow from what it is.
fn responses(route: &Route, need: Need, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for answer in route.answers {
        let mut response = json!({ "description": answer.description });
        if let Some((kinds, schema)) = answer.content {
            let schema = schema(schemas);
            let content = kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema })));
            response["content"] = content.collect();
        }
        if answer.status == 429 || answer.status == 503 {
            response["headers"] = retry_after();
        }
        responses.insert(answer.status.to_string(), response);
    }
    for (status, description) in refusals(route, need) {
        let refusal = responses.entry(status.to_string()).or_insert_with(|| {
            let schema = schemas.control("error");
            json!({ "description": description, "content": { "application/json": { "schema": schema } } })
        });
        if status == 429 || status == 503 {
            refusal["headers"] = retry_after();
        }
        if status == 401 && need != Need::Anyone {
            let schema = json!({ "type": "string", "const": "Bearer" });
            refusal["headers"] = json!({ "WWW-Authenticate": { "schema": schema, "required": true } });
        }
    }
    Value::Object(responses)
}

fn retry_after() -> Value {
    let schema = json!({ "type": "integer", "minimum": 1 });
    json!({ "Retry-After": { "description": "Seconds to wait.", "schema": schema, "required": true } })
}

fn refusals(route: &Route, need: Need) -> Vec<(u16, &'static str)> {
    let mut refusals = vec![
        (400, "The request does not name one host, or its body is not JSON."),
        (403, "The web page that asks may not speak to this server, or the principal may not do this."),
        (415, "The body has a Content-Encoding."),
        (431, "The head of the request is too large."),
    ];
    if need != Need::Anyone {
        refusals.extend([
            (401, "There is no token, or it is not good."),
            (429, "Too many requests, or too many bytes, in too short a time."),
            (500, "Something went wrong inside."),
            (503, "The server is going away."),
        ]);
    }
    if route.path.contains('{') {
        refusals.push((404, "There is no such thing, or it is another user's."));
    }
    if !route.query.is_empty() {
        refusals.push((422, "A parameter cannot be used."));
    }
    if route.body.is_some() {
        refusals.extend([
            (408, "The body did not come in time."),
            (413, "The body is too large."),
            (422, "The body is no object, or a field is missing or cannot be used."),
            (429, "Too many requests, or too many bytes, in too short a time."),
            (500, "Something went wrong inside."),
            (503, "The server is going away."),
        ]);
    }
    refusals
}

#[cfg(test)]
mod tests;
