//! The closed lists that labels take their words from. The last word of each stands for all that are not in it.

use wireproof_protocol::{ClientFrame, CloseCode, ErrorCode, Outcome, ResumeReason};

use super::Label;

/// How handshakes end.
pub const HANDSHAKES: &[&str] = &[
    "accepted",
    "unauthenticated",
    "expired",
    "forbidden",
    "too_many",
    "rate_limited",
    "origin",
    "host",
    "admission",
    "draining",
    "bad_request",
    "gone",
    "failed",
];
/// Close codes, and `none` for connections that ended without a close of ours.
pub fn closes() -> Label {
    extended("code", CloseCode::NUMBERS, &["none"])
}
/// Types of clients' frames: `unknown` has a type that there is not, `invalid` cannot be read.
pub fn frames() -> Label {
    extended("type", ClientFrame::NAMES, &["unknown", "invalid"])
}
/// What becomes of clients' frames; `abandoned` are those whose connection ended before their outcome.
pub const FRAME_OUTCOMES: &[&str] = &["carried_out", "answered", "refused", "abandoned"];
/// Error codes of the protocol.
pub fn error_codes() -> Label {
    extended("error_code", ErrorCode::NAMES, &["other"])
}
/// The quotas that stop somebody.
pub const QUOTAS: &[&str] =
    &["bytes_per_user", "threads_per_user", "messages_per_user", "messages_per_thread", "other"];
/// What comes of a position that a client gives.
pub const RESUMES: &[&str] = &["replayed", "snapshot", "refused"];
/// Why a snapshot was sent.
pub const SNAPSHOTS: &[&str] = ResumeReason::NAMES;
/// How runs end.
pub const RUN_OUTCOMES: &[&str] = Outcome::NAMES;
/// How tools end.
pub const TOOL_OUTCOMES: &[&str] = &["ok", "failed"];
/// The limits that stop somebody, but those whose effect has a metric of its own.
pub const LIMITS: &[&str] = &[
    "messages",
    "reads",
    "requests",
    "bytes",
    "event_too_large",
    "answer_too_large",
    "run_too_large",
    "too_many_events",
    "too_many_tool_calls",
    "connections",
    "connections_per_address",
    "issuer_waits",
    "registrations",
    "revocations",
    "unauthenticated",
    "admission",
    "authenticate",
    "tickets",
    "headers",
    "body",
    "answer",
    "held_bytes",
    "idle",
    "other",
];
/// How looks into the cache of verified tokens end.
pub const CACHE: &[&str] = &["hit", "miss"];
/// How fetches of a JWKS end.
pub const JWKS: &[&str] = &["fetched", "failed"];
/// The doors of the accounts.
pub const DOORS: &[&str] = &["login", "register", "refresh"];
/// What comes of a try at a door.
pub const LOGINS: &[&str] =
    &["ok", "wrong", "taken", "unusable", "delayed", "busy", "closed", "reused", "failed"];
/// What is revoked.
pub const REVOCATIONS: &[&str] = &["token", "session", "user", "other"];
/// Where connections are in their life.
pub const CONNECTION_STATES: &[&str] = &["opening", "open", "closing"];

fn extended(label: &'static str, names: &[&'static str], more: &[&'static str]) -> Label {
    Label::new(label, &[names, more].concat())
}
