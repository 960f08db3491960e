//! What a model server streams over Chat Completions, read leniently: bytes become pieces, and pieces a turn.
//! It does no I/O and keeps no time; whoever holds the socket feeds it. The README says what is taken and what is refused.

#![forbid(unsafe_code)]

mod error;
mod sse;
mod tool_calls;
mod turn;

pub use error::StreamError;
pub use tool_calls::ToolCall;
pub use turn::{Bounds, Piece, Turn, TurnReader};
