//! Error codes and close codes: the words and numbers that programs decide by.

use crate::names::open_enum;

open_enum! {
    /// What went wrong, for programs.
    pub enum ErrorCode {
        /// The frame is not JSON.
        "invalid_json" => InvalidJson,
        /// The frame is JSON but not what its type asks for.
        "invalid_frame" => InvalidFrame,
        /// A field that the type needs is absent.
        "missing_field" => MissingField,
        /// No such frame type.
        "unknown_type" => UnknownType,
        /// The frame is larger than the soft limit.
        "message_too_large" => MessageTooLarge,
        /// Too many requests in too short a time.
        "rate_limited" => RateLimited,
        /// No or bad credentials.
        "unauthenticated" => Unauthenticated,
        /// The token has expired.
        "token_expired" => TokenExpired,
        /// The principal may not do this.
        "forbidden" => Forbidden,
        /// There is no such thing, or it is another user's.
        "not_found" => NotFound,
        /// The request id was used before with another body.
        "id_reused" => IdReused,
        /// The position is ahead of the log's head.
        "cursor_ahead" => CursorAhead,
        /// There is an account or a user of this name.
        "name_taken" => NameTaken,
        /// The user has as many connections as allowed.
        "too_many_connections" => TooManyConnections,
        /// The user has as many runs, running and queued, as allowed.
        "too_many_runs" => TooManyRuns,
        /// The user keeps as much as a quota allows; deleting makes room.
        "quota_exceeded" => QuotaExceeded,
        /// The agent could not finish.
        "agent_failed" => AgentFailed,
        /// The server is going away and takes no new work.
        "shutting_down" => ShuttingDown,
        /// Something inside went wrong; the log of the server knows what.
        "internal" => Internal,
    }
}

impl ErrorCode {
    /// True when the same request may succeed later.
    pub fn retryable(self) -> bool {
        use ErrorCode::*;
        matches!(self, RateLimited | TooManyConnections | TooManyRuns | ShuttingDown | Internal)
    }
}

/// Why a connection was closed (RFC 6455, section 7.4, and one of our own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The client is done.
    Normal,
    /// The endpoint goes away.
    GoingAway,
    /// RFC 6455 was violated.
    ProtocolError,
    /// Binary frames are not understood.
    Unsupported,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// Authentication or policy.
    Policy,
    /// Larger than the hard limit.
    TooBig,
    /// Something inside went wrong.
    Internal,
    /// The server restarts: come back.
    Restart,
    /// A limit is reached: come back later.
    TryLater,
    /// The client did not read: come back and resume.
    SlowConsumer,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            CloseCode::Normal => 1000,
            CloseCode::GoingAway => 1001,
            CloseCode::ProtocolError => 1002,
            CloseCode::Unsupported => 1003,
            CloseCode::InvalidUtf8 => 1007,
            CloseCode::Policy => 1008,
            CloseCode::TooBig => 1009,
            CloseCode::Internal => 1011,
            CloseCode::Restart => 1012,
            CloseCode::TryLater => 1013,
            CloseCode::SlowConsumer => 4008,
        }
    }

    /// True when a client should connect again by itself after a close with this number.
    pub fn should_reconnect(number: u16) -> bool {
        !matches!(number, 1000 | 1002 | 1003 | 1007 | 1008 | 1009)
    }
}
