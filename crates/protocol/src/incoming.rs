//! The reading of a server's frames, as a client does it.

use serde::{Deserialize, de::Error as _};
use serde_json::Value;

use crate::{
    event::{Event, EventBody},
    server_frame::{Control, ControlBody},
};

/// One frame of a server, read by a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A stored event.
    Event(Box<Event>),
    /// A control frame.
    Control(Box<Control>),
    /// A type this client does not know: to be passed over. An event counts all the same, see [`event_range`].
    Unknown(Value),
}

/// The numbers that a frame of an unknown type stands for in the log, first and last, if it is a stored event: only
/// those have an `event_id`.
pub fn event_range(frame: &Value) -> Option<(u64, u64)> {
    frame.get("event_id")?;
    let seq = frame.get("seq")?.as_u64()?;
    Some((frame.get("first_seq").and_then(Value::as_u64).unwrap_or(seq), seq))
}

/// Why a frame of a server cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// It is not JSON, or not what its type asks for.
    #[error("a frame of the server cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads one text frame of a server.
pub fn parse_incoming(text: &str) -> Result<Incoming, IncomingError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    let head: Head<'_> = serde_json::from_str(text)?;
    if EventBody::NAMES.contains(&head.kind.as_ref()) {
        let event: Event = serde_json::from_str(text)?;
        if event.run.is_none() && event.body.is_of_a_run() {
            return Err(serde_json::Error::custom("an event of a run lacks run_id").into());
        }
        return Ok(Incoming::Event(Box::new(event)));
    }
    if ControlBody::NAMES.contains(&head.kind.as_ref()) {
        return Ok(Incoming::Control(serde_json::from_str(text)?));
    }
    Ok(Incoming::Unknown(serde_json::from_str(text)?))
}
