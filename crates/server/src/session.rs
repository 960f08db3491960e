//! The rules of one connection, without I/O: each frame of the client and each tick of the clock, and what follows.

use wireproof_protocol::{ErrorBody, ErrorCode};

use crate::{
    auth::{Principal, table},
    error::Refusal,
};

mod greeting;
mod open;

pub use greeting::{Greeting, Refused, ShownToken};
pub use open::{Session, Step};

/// The error for a frame that is larger than a message may be.
fn too_large(limit: usize) -> ErrorBody {
    let sentence = format!("The message is larger than {limit} bytes and was not carried out.");
    ErrorBody::new(ErrorCode::MessageTooLarge, sentence).detail("limit", limit)
}

/// Whether the credentials allow a connection, to be opened and to be kept by a renewal.
fn may_connect(principal: &Principal) -> Result<(), Refusal> {
    table::CONNECTION.check(principal.permissions)
}
