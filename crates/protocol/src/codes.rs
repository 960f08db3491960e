//! Error codes and close codes: the words and numbers that programs decide by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame is not JSON.
    InvalidJson,
    /// The frame is JSON but not what its type asks for.
    InvalidFrame,
    /// A field that the type needs is absent.
    MissingField,
    /// No such frame type.
    UnknownType,
    /// The frame is larger than the soft limit.
    MessageTooLarge,
    /// Too many requests in too short a time.
    RateLimited,
    /// No or bad credentials.
    Unauthenticated,
    /// The token has expired.
    TokenExpired,
    /// The principal may not do this.
    Forbidden,
    /// There is no such thing, or it is another user's.
    NotFound,
    /// The request id was used before with another body.
    IdReused,
    /// The position is ahead of the log's head.
    CursorAhead,
    /// There is an account or a user of this name.
    NameTaken,
    /// The user has as many connections as allowed.
    TooManyConnections,
    /// The user has as many runs, running and queued, as allowed.
    TooManyRuns,
    /// The user keeps as much as a quota allows; deleting makes room.
    QuotaExceeded,
    /// The agent could not finish.
    AgentFailed,
    /// The server is going away and takes no new work.
    ShuttingDown,
    /// Something inside went wrong; the log of the server knows what.
    Internal,
    /// A word that this version does not know: a later server said it. Never sent.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl ErrorCode {
    /// True when the same request may succeed later.
    pub fn retryable(self) -> bool {
        use ErrorCode::*;
        matches!(self, RateLimited | TooManyConnections | TooManyRuns | ShuttingDown | Internal)
    }

    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        use ErrorCode::*;
        match self {
            InvalidJson => "invalid_json",
            InvalidFrame => "invalid_frame",
            MissingField => "missing_field",
            UnknownType => "unknown_type",
            MessageTooLarge => "message_too_large",
            RateLimited => "rate_limited",
            Unauthenticated => "unauthenticated",
            TokenExpired => "token_expired",
            Forbidden => "forbidden",
            NotFound => "not_found",
            IdReused => "id_reused",
            CursorAhead => "cursor_ahead",
            NameTaken => "name_taken",
            TooManyConnections => "too_many_connections",
            TooManyRuns => "too_many_runs",
            QuotaExceeded => "quota_exceeded",
            AgentFailed => "agent_failed",
            ShuttingDown => "shutting_down",
            Internal => "internal",
            Unknown => "unknown",
        }
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
