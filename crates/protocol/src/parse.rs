//! The reading of a client's frames: every text has one outcome, a request or a named error.
//! What a field must be stands with the frame; nothing that a client sent is repeated to it but its id and type.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    client_frame::{ClientFrame, Request, SHAPES, shape},
    codes::ErrorCode,
    extent::cut_chars,
    ids::RequestId,
    json::{id_in, parse_json},
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
    if let Err(body) = shape.check(&fields) {
        return Err(FrameError { id, body });
    }
    if let Some(sentence) = inexact {
        return Err(refuse(id, ErrorCode::InvalidJson, sentence));
    }
    match ClientFrame::deserialize(Value::Object(fields)) {
        Ok(frame) => Ok(Request { id, frame }),
        Err(_) => Err(refuse(id, ErrorCode::InvalidFrame, "The frame is not what its type asks for.")),
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
    FrameError { id, body: shape::missing(field) }
}

fn unfit(id: Option<RequestId>, field: &str, why: &str) -> FrameError {
    FrameError { id, body: shape::unfit(field, why) }
}
