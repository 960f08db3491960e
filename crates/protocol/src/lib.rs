//! What travels on the wire of wireproof, and the pure rules of a run and of a log.
//! No sockets, no clocks, no storage: everything here can be tested by calling it.

mod address;
mod client_frame;
mod codes;
mod event;
mod extent;
mod fold;
mod frame_header;
mod ids;
mod incoming;
mod json;
mod limits;
mod merge;
mod names;
mod parse;
mod position;
mod printable;
mod records;
mod run;
mod schema;
mod server_frame;

pub use address::{Address, AddressError, Authority, SOCKET_PATH, Scheme, listen_address};
pub use client_frame::{
    ClientFrame, MAX_HISTORY_LIMIT, MAX_REQUEST_ID, MAX_TITLE, NOT_BLANK, Request, Retitle,
};
pub use codes::{CloseCode, ErrorCode};
pub use event::*;
pub use extent::{cut, cut_chars, json_extent, json_start, shorten, text_extent};
pub use fold::{FoldError, MessageState, RunView, ThreadState, ToolView, UserState};
pub use frame_header::{FrameHeader, TooLong, apply_mask};
pub use ids::{
    ApprovalId, ConnectionId, EventId, IdError, MAX_TEXT_ID, MessageId, RequestId, RunId, ThreadId,
    ToolCallId, UserId,
};
pub use incoming::{Incoming, IncomingError, event_range, parse_incoming};
pub use json::{MAX_DEPTH, MAX_METADATA_DEPTH, depth, read_json};
pub use limits::Limits;
pub use merge::{Merged, Part, merge, mergeable, split_after};
pub use parse::{FrameError, parse_frame};
pub use position::{Epoch, Position};
pub use printable::{printable, printable_line, shorten_line};
pub use records::{ActiveRun, Message, OpenToolCall, ResumeReason, RunSnapshot, SnapshotThread, Thread};
pub use run::{RunRules, RunViolation};
pub use schema::{absent_instead_of_null, client_schema, server_schema};
pub use server_frame::{Control, ControlBody, ErrorBody};

/// The subprotocol that a client offers and the server selects.
pub const SUBPROTOCOL: &str = "wireproof.v1";

/// What a server of this version can do beyond the first version of the protocol, as its welcome says it: a thread may
/// have a name of the client's, and a user's storage has quotas.
pub const FEATURES: [&str; 2] = ["thread_names", "quotas"];

/// Seconds since 1970 as the wire has them: a float with microseconds.
pub type Timestamp = f64;
