//! What a check needs of a profile and of the credentials, and why it cannot be done without.

use serde::Serialize;

use super::Target;
use crate::profile::{Kind, Paths, Transport};

/// Something that a profile or the credentials must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A WebSocket.
    WebSocket,
    /// A WebSocket without TLS: bytes are written by hand.
    PlainWebSocket,
    /// A first frame by the server.
    Welcome,
    /// Credentials are asked for.
    Auth,
    /// Two users.
    TwoUsers,
    /// Any number of users.
    ManyUsers,
    /// Every connection of a user gets all of the user's events.
    Shared,
    /// Frames that come before the handshake was answered are taken.
    EarlyFrames,
    /// The key that signs tokens.
    SigningKey,
    /// The server asks for `aud`.
    Audience,
    /// The server asks for `iss`.
    Issuer,
    /// An agent that answers.
    Agent,
    /// An agent that uses a tool.
    Tool,
    /// A prompt of another kind, by its name in the profile.
    Prompt(&'static str),
    /// A message of another kind, by its name in the profile.
    Message(&'static str),
    /// A field of frames, by its name in the profile.
    Field(&'static str),
    /// Frames of this kind.
    Event(Kind),
    /// Every event of a user has a number.
    Seq,
    /// A client can go on where it stopped.
    Resume,
    /// Something over HTTP, by its name in the profile.
    Http(&'static str),
    /// A bound, by its name in the profile.
    Limit(&'static str),
    /// Another address of the socket.
    Alias,
    /// Further places that take tokens.
    Places,
    /// Headers that must not stand for credentials.
    BypassHeaders,
    /// A token that lets somebody connect and ask nothing.
    Reader,
    /// Pages of other sites are refused.
    OwnOrigin,
    /// A token of somebody who may administer.
    Admin,
    /// A bound for the time, by its name in the profile.
    Timing(&'static str),
}

impl Need {
    /// Why a check that needs it cannot be done; nothing when it can.
    pub fn missing(self, target: &Target) -> Option<String> {
        let profile = target.profile();
        let says =
            |there: bool, what: &str| (!there).then(|| format!("the profile {:?} {what}", profile.name));
        match self {
            Need::WebSocket => says(profile.endpoint.transport == Transport::WebSocket, "has no WebSocket"),
            Need::PlainWebSocket => {
                says(profile.endpoint.transport == Transport::WebSocket, "has no WebSocket").or_else(|| {
                    target.is_encrypted().then(|| {
                        "the address is wss://, and bytes cannot be written by hand under TLS".to_owned()
                    })
                })
            }
            Need::Welcome => says(!profile.events.welcome.is_empty(), "names no welcome (events.welcome)"),
            Need::Auth => says(profile.auth.place.is_some(), "asks for no credentials (auth.place)"),
            Need::TwoUsers => target.lacks_users(2),
            Need::ManyUsers => target.lacks_users(usize::MAX),
            Need::EarlyFrames => says(
                profile.endpoint.early_frames,
                "does not say that frames before the handshake's answer are taken (endpoint.early_frames)",
            ),
            Need::Shared => says(
                profile.endpoint.shared,
                "does not say that all connections of a user get the same events (endpoint.shared)",
            ),
            Need::SigningKey => target.lacks_key(),
            Need::Audience => says(
                profile.auth.jwt.as_ref().is_some_and(|jwt| !jwt.audience.is_empty()),
                "asks for no audience (auth.jwt.audience)",
            ),
            Need::Issuer => says(
                profile.auth.jwt.as_ref().is_some_and(|jwt| !jwt.issuer.is_empty()),
                "asks for no issuer (auth.jwt.issuer)",
            ),
            Need::Agent => says(
                profile.messages.ask.is_some() && profile.prompts.plain.is_some(),
                "does not say how to ask an agent (messages.ask, prompts.plain)",
            ),
            Need::Tool => says(
                profile.messages.ask.is_some() && profile.prompts.tool.is_some(),
                "does not say what makes the agent use a tool (prompts.tool)",
            ),
            Need::Prompt(name) => says(prompt(target, name).is_some(), &format!("has no prompts.{name}")),
            Need::Message(name) => says(message(target, name).is_some(), &format!("has no messages.{name}")),
            Need::Field(name) => {
                says(field(target, name).is_known(), &format!("does not say where fields.{name} is")).or_else(
                    || target.never_had(name).then(|| format!("no event has fields.{name} of the profile")),
                )
            }
            Need::Event(kind) => says(target.has_kind(kind), &format!("names no frame for {kind:?}")),
            Need::Seq => says(profile.fields.seq.is_known(), "has no numbers on events (fields.seq)"),
            Need::Resume => says(profile.resume.is_some(), "does not say how a client resumes (resume)"),
            Need::Http(name) => says(http(target, name), &format!("has no http.{name}")),
            Need::Limit(name) => says(limit(target, name), &format!("has no limits.{name}")),
            Need::Alias => says(
                !profile.endpoint.aliases.is_empty(),
                "has no other address of the socket (endpoint.aliases)",
            ),
            Need::Places => says(
                !profile.auth.places.is_empty(),
                "names one place for tokens, no further ones (auth.places)",
            ),
            Need::BypassHeaders => says(
                !profile.auth.bypass_headers.is_empty(),
                "names no headers that might open (auth.bypass_headers)",
            ),
            Need::Reader => says(
                profile.auth.jwt.as_ref().is_some_and(|jwt| !jwt.reader.is_empty()),
                "has no claims of somebody who may not ask (auth.jwt.reader)",
            ),
            Need::OwnOrigin => says(
                profile.endpoint.own_origin,
                "does not say that pages of other sites are refused (endpoint.own_origin)",
            ),
            Need::Admin => target.lacks_admin(),
            Need::Timing(_) => says(profile.timing.started_ms.is_some(), "has no timing.started_ms"),
        }
    }
}

fn prompt<'a>(target: &'a Target, name: &str) -> Option<&'a String> {
    let prompts = &target.profile().prompts;
    match name {
        "plain" => prompts.plain.as_ref(),
        "tool" => prompts.tool.as_ref(),
        "tool_answer" => prompts.tool_answer.as_ref(),
        "parallel" => prompts.parallel.as_ref(),
        "failing_tool" => prompts.failing_tool.as_ref(),
        "slow" => prompts.slow.as_ref(),
        "slow_tool" => prompts.slow_tool.as_ref(),
        "approval" => prompts.approval.as_ref(),
        _ => None,
    }
}

fn message<'a>(target: &'a Target, name: &str) -> Option<&'a crate::profile::Template> {
    let messages = &target.profile().messages;
    match name {
        "ask" => messages.ask.as_ref(),
        "ask_in" => messages.ask_in.as_ref(),
        "ping" => messages.ping.as_ref(),
        "cancel" => messages.cancel.as_ref(),
        "authenticate" => messages.authenticate.as_ref(),
        "approve" => messages.approve.as_ref(),
        "history" => messages.history.as_ref(),
        "unknown" => messages.unknown.as_ref(),
        "incomplete" => messages.incomplete.as_ref(),
        _ => None,
    }
}

fn field<'a>(target: &'a Target, name: &str) -> &'a Paths {
    let fields = &target.profile().fields;
    match name {
        "run" => &fields.run,
        "run_seq" => &fields.run_seq,
        "seq" => &fields.seq,
        "epoch" => &fields.epoch,
        "user" => &fields.user,
        "thread" => &fields.thread,
        "connection" => &fields.connection,
        "call" => &fields.call,
        "result" => &fields.result,
        "tool_error" => &fields.tool_error,
        "reasoning" => &fields.reasoning,
        "delta" => &fields.delta,
        "answer" => &fields.answer,
        "outcome" => &fields.outcome,
        "request" => &fields.request,
        "error_code" => &fields.error_code,
        "error_text" => &fields.error_text,
        "retry_after_ms" => &fields.retry_after_ms,
        "timestamp" => &fields.timestamp,
        _ => &Paths::Absent,
    }
}

fn http(target: &Target, name: &str) -> bool {
    let http = &target.profile().http;
    match name {
        "health" => http.health.is_some(),
        "status" => http.status.is_some() && http.connections.is_known(),
        "protected" => !http.protected.is_empty(),
        "admin" => !http.admin.is_empty(),
        "ticket" => http.ticket.is_some(),
        "revoke" => http.revoke.is_some(),
        "thread" => http.thread.is_some(),
        _ => false,
    }
}

fn limit(target: &Target, name: &str) -> bool {
    let limits = &target.profile().limits;
    match name {
        "message_bytes" => limits.message_bytes.is_some(),
        "hard_bytes" => limits.hard_bytes.is_some(),
        "burst" => limits.burst.is_some(),
        "connections" => limits.connections.is_some(),
        "runs" => limits.runs.is_some(),
        "stranger_seconds" => limits.stranger_seconds.is_some(),
        "token_grace_seconds" => limits.token_grace_seconds.is_some(),
        _ => false,
    }
}
