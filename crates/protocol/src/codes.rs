//! Error codes and close codes: the words and numbers that programs decide by. Each list stands here alone; the tables of
//! `docs`, the schemas and the labels of metrics come from it.

use crate::names::open_enum;

/// Each code with its meaning, its status over HTTP, and `retryable` where the same request may succeed later.
macro_rules! error_codes {
    ($( $(#[$meaning:meta])* $name:literal => $variant:ident($status:literal $(, $retryable:ident)?), )*) => {
        open_enum! {
            /// What went wrong, for programs.
            pub enum ErrorCode {
                $( $(#[$meaning])* $name => $variant, )*
            }
        }

        impl ErrorCode {
            /// The HTTP status of an answer that has it.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// True when the same request may succeed later.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => error_codes!(@ $($retryable)?),)* Self::Unknown => false }
            }
        }
    };
    (@) => { false };
    (@ retryable) => { true };
}

error_codes! {
    /// The text is not JSON.
    "invalid_json" => InvalidJson(400),
    /// The frame or body is no object, or a field is not what it must be; in most cases `details.field` names it.
    "invalid_frame" => InvalidFrame(422),
    /// A required field is absent; in a frame, `details.field` names it.
    "missing_field" => MissingField(422),
    /// There is no such frame type.
    "unknown_type" => UnknownType(422),
    /// The text, over HTTP the `content` or the body, is larger than allowed; in a frame, `details.limit` says how large
    /// it may be.
    "message_too_large" => MessageTooLarge(413),
    /// Too many requests in too short a time; 503 for a handshake when too many come at once. `details.limit` names the
    /// setting, `details.most` has its value.
    "rate_limited" => RateLimited(429, retryable),
    /// There is no token, or one that is not good.
    "unauthenticated" => Unauthenticated(401),
    /// The token has expired: get a new one.
    "token_expired" => TokenExpired(401),
    /// The token does not grant it (`details.permission` names what is missing), or is another user's.
    "forbidden" => Forbidden(403),
    /// There is no such thread, run, agent, approval or address, or it is another user's.
    "not_found" => NotFound(404),
    /// The request id was used before with another body.
    "id_reused" => IdReused(409),
    /// The position is ahead of the log's head, which is `details.seq`.
    "cursor_ahead" => CursorAhead(409),
    /// There is an account or a user of this name.
    "name_taken" => NameTaken(409),
    /// The user or the address has as many connections as allowed; `details.limit` names the setting of an address. 503
    /// when the server has no room.
    "too_many_connections" => TooManyConnections(429, retryable),
    /// The user has as many runs, running and queued, as allowed.
    "too_many_runs" => TooManyRuns(429, retryable),
    /// The user keeps as much as a quota allows; deleting threads makes room. `details.quota` names the setting, or
    /// `messages_per_thread`, which is fixed; `details.used` and `details.allowed` are numbers.
    "quota_exceeded" => QuotaExceeded(403),
    /// The agent could not finish. The server does not send it.
    "agent_failed" => AgentFailed(500),
    /// The server is going away and takes no new work.
    "shutting_down" => ShuttingDown(503, retryable),
    /// Something inside went wrong; the log of the server says what.
    "internal" => Internal(500, retryable),
}

/// Each code with its meaning and its number, and whether a client should connect `again` by itself or `stay` away.
macro_rules! close_codes {
    ($( #[doc = $meaning:literal] $variant:ident = $number:literal => $then:ident, )*) => {
        /// Why a connection was closed (RFC 6455, section 7.4, and one of our own).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum CloseCode {
            $( #[doc = $meaning] $variant = $number, )*
        }

        impl CloseCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The numbers of all codes as text.
            pub const NUMBERS: &[&str] = &[$(stringify!($number)),*];

            /// The number on the wire.
            pub fn number(self) -> u16 {
                self as u16
            }

            /// Why, in a sentence for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)* }
            }

            /// True when a client should connect again by itself after a close with this number, ours or not.
            pub fn should_reconnect(number: u16) -> bool {
                match number { $($number => close_codes!(@ $then),)* _ => true }
            }
        }
    };
    (@ again) => { true };
    (@ stay) => { false };
}

close_codes! {
    /// The client was done; its own code comes back.
    Normal = 1000 => stay,
    /// Nothing was heard for too long.
    GoingAway = 1001 => again,
    /// RFC 6455 was violated.
    ProtocolError = 1002 => stay,
    /// A binary message.
    Unsupported = 1003 => stay,
    /// Text that is not UTF-8.
    InvalidUtf8 = 1007 => stay,
    /// Not let in, the token has expired or was revoked; the error before it says which.
    Policy = 1008 => stay,
    /// A message over the hard limit.
    TooBig = 1009 => stay,
    /// A fault of the server.
    Internal = 1011 => again,
    /// The server restarts, after `go_away`.
    Restart = 1012 => again,
    /// A limit is reached.
    TryLater = 1013 => again,
    /// The client does not read.
    SlowConsumer = 4008 => again,
}
