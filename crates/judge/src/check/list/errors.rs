//! What becomes of frames that a server cannot make sense of: each is answered, and nothing else happens.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod answered;
mod error_content;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "errors.invalid_json",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "invalid_json_ignored",
        "A frame that is not JSON is answered with an error.",
        answered::invalid_json
    ),
    check!(
        "errors.not_an_object",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "array_closes_connection",
        "JSON that is no object is answered with an error, and the connection goes on.",
        answered::not_an_object
    ),
    check!(
        "errors.unknown_type",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error), Need::Message("unknown")],
        "unknown_type_ignored",
        "A frame of a type that there is not is answered with an error.",
        answered::unknown_type
    ),
    check!(
        "errors.incomplete",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error), Need::Message("incomplete")],
        "missing_field_ignored",
        "A frame that lacks what it needs is answered with an error.",
        answered::incomplete
    ),
    check!(
        "errors.binary",
        Minor,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "binary_ignored",
        "A binary frame that makes no sense is answered with an error, or with a close that says so (1003, 1007, 1008).",
        answered::binary
    ),
    check!(
        "errors.one_each",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "one_error_for_many",
        "Of bad frames in a row each is answered once, in their order.",
        answered::one_each
    ),
    check!(
        "errors.connection_survives",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "error_closes_connection",
        "After an error the connection serves as before.",
        answered::connection_survives
    ),
    check!(
        "errors.deep_json",
        Critical,
        Quick,
        [Need::WebSocket],
        "deep_json_closes_connection",
        "JSON that is nested thousands deep hurts neither its connection nor another's.",
        answered::deep_json
    ),
    check!(
        "errors.coded",
        Minor,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error), Need::Field("error_code")],
        "error_without_code",
        "Every error has a code for programs, the same for the same mistake, and a sentence where the server has sentences.",
        error_content::coded
    ),
    check!(
        "errors.request_named",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error), Need::Field("request")],
        "error_without_request",
        "An error says which request it refuses, when that had an id.",
        error_content::request_named
    ),
    check!(
        "errors.no_internals",
        Major,
        Quick,
        [Need::WebSocket, Need::Event(Kind::Error)],
        "cause_in_error",
        "No error tells a path, a stack, a query or a type of the server's inside.",
        error_content::no_internals
    ),
];
