//! The reading of a client's frames: every text has one outcome, a request or a named error.
//! What a field must be stands in one table; nothing that a client sent is repeated to it but its id and type.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    client_frame::{ClientFrame, MAX_HISTORY_LIMIT, MAX_TITLE, Request},
    codes::ErrorCode,
    extent::cut_chars,
    ids::{RequestId, ThreadId},
    json::{id_in, parse_json},
    position::Epoch,
    server_frame::ErrorBody,
};

/// Why a frame is refused, with the id to echo if it had a good one.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameError {
    /// The request's id.
    pub id: Option<RequestId>,
    /// The refusal.
    pub body: ErrorBody,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Filled,
    Title,
    /// A thread's name, for a thread that is made when it is not there.
    Thread,
    Epoch,
    Decision,
    Number,
    Limit,
    Flag,
    Object,
    Any,
}

struct Shape {
    names: &'static [&'static str],
    required: &'static [(&'static str, Kind)],
    optional: &'static [(&'static str, Kind)],
}

#[rustfmt::skip]
const SHAPES: [Shape; 14] = {
    use Kind::*;
    [
        Shape { names: &["ping"], required: &[], optional: &[] },
        Shape { names: &["heartbeat"], required: &[], optional: &[] },
        Shape { names: &["authenticate"], required: &[("token", Text)], optional: &[] },
        Shape { names: &["resume"], required: &[("epoch", Epoch), ("after", Number)], optional: &[] },
        Shape {
            names: &["chat", "user_message"],
            required: &[("content", Filled)],
            optional: &[("thread_id", Thread), ("agent", Text)],
        },
        Shape {
            names: &["start_agent"],
            required: &[("user_request", Filled)],
            optional: &[("agent", Text), ("thread_id", Thread)],
        },
        Shape { names: &["cancel_run", "stop_agent"], required: &[("run_id", Text)], optional: &[] },
        Shape {
            names: &["approve"],
            required: &[("approval_id", Text), ("decision", Decision)],
            optional: &[("edited_arguments", Any)],
        },
        Shape {
            names: &["create_thread"],
            required: &[],
            optional: &[("thread_id", Thread), ("title", Title), ("metadata", Object)],
        },
        Shape {
            names: &["rename_thread"],
            required: &[("thread_id", Text)],
            optional: &[("title", Title), ("metadata", Object)],
        },
        Shape { names: &["delete_thread"], required: &[("thread_id", Text)], optional: &[] },
        Shape { names: &["switch_thread"], required: &[("thread_id", Text)], optional: &[] },
        Shape {
            names: &["get_thread_history"],
            required: &[("thread_id", Text)],
            optional: &[("limit", Limit), ("offset", Number)],
        },
        Shape { names: &["typing"], required: &[("thread_id", Text), ("active", Flag)], optional: &[] },
    ]
};

/// Every name of a frame type.
pub(crate) fn names_of(kind: &str) -> &'static [&'static str] {
    SHAPES.iter().find(|shape| shape.names.contains(&kind)).map_or(&[], |shape| shape.names)
}

/// Reads one text frame of a client, or says what is wrong with it.
pub fn parse_frame(text: &str) -> Result<Request, FrameError> {
    let (value, inexact) = parse_json(text.as_bytes())
        .map_err(|sentence| refuse(id_in(text), ErrorCode::InvalidJson, sentence))?;
    let Value::Object(mut fields) = value else {
        return Err(refuse(None, ErrorCode::InvalidFrame, "A frame is a JSON object."));
    };
    lift_payload(&mut fields)?;
    let id = take_id(&mut fields)?;
    let shape = match fields.get("type") {
        None | Some(Value::Null) => return Err(missing(id, "type")),
        Some(Value::String(kind)) => match SHAPES.iter().find(|shape| shape.names.contains(&kind.as_str())) {
            Some(shape) => shape,
            None => {
                let shown = cut_chars(kind, 64);
                return Err(refuse(id, ErrorCode::UnknownType, format!("Unknown frame type {shown:?}.")));
            }
        },
        Some(_) => return Err(unfit(id, "type", "must be text")),
    };
    if let Err(error) = shape.check(&fields) {
        return Err(FrameError { id, ..error });
    }
    if let Some(sentence) = inexact {
        return Err(refuse(id, ErrorCode::InvalidJson, sentence));
    }
    match ClientFrame::deserialize(Value::Object(fields)) {
        Ok(frame) => Ok(Request { id, frame }),
        Err(_) => Err(refuse(id, ErrorCode::InvalidFrame, "The frame is not what its type asks for.")),
    }
}

impl Shape {
    fn check(&self, fields: &Map<String, Value>) -> Result<(), FrameError> {
        let present = |name: &str| fields.get(name).filter(|value| !value.is_null());
        if let Some((name, _)) = self.required.iter().find(|(name, _)| present(name).is_none()) {
            return Err(missing(None, name));
        }
        for (name, kind) in self.required.iter().chain(self.optional) {
            if let Some(why) = present(name).and_then(|value| kind.objection(value)) {
                return Err(unfit(None, name, why));
            }
        }
        Ok(())
    }
}

impl Kind {
    /// What is wrong with a value, if something is.
    fn objection(self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        let (good, why) = match self {
            Kind::Text => (text.is_some(), "must be text"),
            Kind::Filled => (text.is_some_and(|text| !text.trim().is_empty()), "must be text, not empty"),
            Kind::Title => (
                text.is_some_and(|text| text.chars().count() <= MAX_TITLE),
                "must be text of at most 200 characters",
            ),
            Kind::Thread => (
                text.is_some_and(|text| ThreadId::new(text).is_ok()),
                "must be text of 1 to 128 characters without control characters",
            ),
            Kind::Epoch => (
                text.is_some_and(|text| text.parse::<Epoch>().is_ok()),
                "must be text of 16 lower-case hex digits",
            ),
            Kind::Decision => {
                (matches!(text, Some("approved" | "denied")), "must be \"approved\" or \"denied\"")
            }
            Kind::Number => (value.is_u64(), "must be a whole number from 0"),
            Kind::Limit => (
                value.as_u64().is_some_and(|limit| (1..=MAX_HISTORY_LIMIT).contains(&limit)),
                "must be a whole number from 1 to 100",
            ),
            Kind::Flag => (value.is_boolean(), "must be true or false"),
            Kind::Object => (value.is_object(), "must be an object"),
            Kind::Any => (true, ""),
        };
        (!good).then_some(why)
    }
}

/// Fields under `payload` count as if they stood at the top; the top wins where both have one. `null` is no field.
fn lift_payload(fields: &mut Map<String, Value>) -> Result<(), FrameError> {
    match fields.remove("payload") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(payload)) => {
            for (name, value) in payload {
                if name != "type" && fields.get(&name).is_none_or(Value::is_null) {
                    fields.insert(name, value);
                }
            }
            Ok(())
        }
        Some(_) => Err(unfit(take_id(fields)?, "payload", "must be an object")),
    }
}

fn take_id(fields: &mut Map<String, Value>) -> Result<Option<RequestId>, FrameError> {
    match fields.remove("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match RequestId::new(&text) {
            Ok(id) => Ok(Some(id)),
            Err(e) => Err(unfit(None, "id", &e.to_string())),
        },
        Some(_) => Err(unfit(None, "id", "must be text")),
    }
}

fn refuse(id: Option<RequestId>, code: ErrorCode, sentence: impl Into<String>) -> FrameError {
    FrameError { id, body: ErrorBody::new(code, sentence) }
}

fn missing(id: Option<RequestId>, field: &str) -> FrameError {
    let body = ErrorBody::new(ErrorCode::MissingField, format!("The field {field:?} is missing."))
        .detail("field", field);
    FrameError { id, body }
}

fn unfit(id: Option<RequestId>, field: &str, why: &str) -> FrameError {
    let body =
        ErrorBody::new(ErrorCode::InvalidFrame, format!("The field {field:?} {why}.")).detail("field", field);
    FrameError { id, body }
}
