//! The limits in force, with their defaults; below it, what keeps to them.

use serde::{Deserialize, Serialize};
use wireproof_protocol::Limits as Announced;

pub mod address;
pub mod admission;
pub mod bucket;
pub mod holds;
pub mod idle_connections;
pub mod keyed;
pub mod networks;
pub mod permits;
pub mod rates;

pub use address::ClientAddress;

/// What users may do. 0 means no limit where a number counts things; seconds are above 0 unless 0 is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message in bytes that is carried out; larger ones get `message_too_large`.
    pub message_bytes: usize,
    /// Largest message in bytes that leaves the connection open; larger ones close it with 1009.
    pub message_hard_bytes: usize,
    /// Connections a user may have at once.
    pub connections_per_user: usize,
    /// Requests for work, and frames that cannot be understood, a user may send in a minute.
    pub messages_per_minute: u64,
    /// How many of them may come at once.
    pub message_burst: u64,
    /// Other frames, reads over HTTP and WebSocket handshakes of a user in a minute; a snapshot counts as four more, or as
    /// many as may come at once. Also how many pings of RFC 6455.
    pub other_frames_per_minute: u64,
    /// How many of them may come at once.
    pub other_frame_burst: u64,
    /// Bytes of messages and bodies a user may send in a minute.
    pub bytes_per_minute: u64,
    /// How many of them may come at once.
    pub byte_burst: u64,
    /// Requests for work that may come from one address in a minute, or all at once; many users may share an address.
    pub messages_per_minute_per_address: u64,
    /// WebSocket connections that one address may have at once.
    pub connections_per_address: usize,
    /// Connections of one address that may at once wait for their first frame, the token.
    pub unauthenticated_per_address: usize,
    /// Requests over HTTP of a user that may be in progress at once, those among them whose answer was not taken yet.
    pub requests_per_user: usize,
    /// Requests over HTTP of users at one address that may be in progress at once.
    pub requests_per_address: usize,
    /// Requests over HTTP without a token, such as logins, from one address that may be in progress at once. `/health`,
    /// `/ready`, `/metrics`, `/ws/health` and WebSocket handshakes count in none of the three.
    pub unauthenticated_requests_per_address: usize,
    /// Bytes of bodies, from their announcement on, and of answers not yet taken, that are held at once for the requests of
    /// a user; one alone may be larger.
    pub request_bytes_per_user: usize,
    /// The same for the requests of all users at one address, and as many for those without a token.
    pub request_bytes_per_address: usize,
    /// Bad tokens that may come from one address in a minute, before none from there is looked at.
    pub failed_tokens_per_minute: u64,
    /// Accounts that may be registered from one address in an hour, or all at once.
    pub registrations_per_hour_per_address: u64,
    /// Tokens of one address that may at once wait for the keys of their issuer.
    pub issuer_waits_per_address: usize,
    /// Tokens that may at once wait for the keys of their issuer.
    pub issuer_waits: usize,
    /// Tokens and logins that may be revoked at once, besides those of a user who is revoked as a whole; beyond it only
    /// whole users can be.
    pub revocations: usize,
    /// Handshakes that the server takes in a second; other clients get a time to come back.
    pub handshakes_per_second: u64,
    /// How many of them may come at once.
    pub handshake_burst: u64,
    /// Handshakes that may be in progress at once.
    pub handshakes_in_progress: usize,
    /// Connections of any kind that may be open at once; 0: as many as the process may open files, less 128.
    pub connections: usize,
    /// Connections that may at once wait for a request; when more come, the oldest go, but for a tenth of
    /// `header_seconds` everybody may wait.
    pub silent_connections: usize,
    /// Seconds for the head of a request, and between two requests.
    pub header_seconds: f64,
    /// Seconds for the body of a request.
    pub body_seconds: f64,
    /// Seconds that a client has to take an answer over HTTP.
    pub answer_seconds: f64,
    /// Seconds that a connection serves HTTP; a WebSocket is not concerned.
    pub http_seconds: f64,
    /// Runs a user may have at once.
    pub concurrent_runs: usize,
    /// Runs a user may have waiting.
    pub queued_runs: usize,
    /// Bytes of events that wait for a slow client before it is served from the log.
    pub queue_soft_bytes: usize,
    /// Bytes of events that a client that takes nothing may be behind, beyond those, before it is closed with 4008.
    pub queue_hard_bytes: usize,
    /// Seconds that a client may accept nothing while something waits for it.
    pub stall_seconds: f64,
    /// Seconds between the server's pings.
    pub heartbeat_seconds: f64,
    /// Seconds of silence after which a connection is closed; to be more than `heartbeat_seconds`.
    pub dead_seconds: f64,
    /// Seconds that a connection may stay unauthenticated.
    pub authenticate_seconds: f64,
    /// Seconds that a run may take, waiting not counted.
    pub run_seconds: f64,
    /// Seconds that a tool of the builtin agent may take.
    pub tool_seconds: f64,
    /// Seconds that a run, a thread's change or a revocation waits for a store that is away; 0: not at all. The embedded one never is.
    pub store_wait_seconds: f64,
    /// Bytes of a tool's arguments or result, as JSON; what is larger is cut, with a mark.
    pub tool_result_bytes: usize,
    /// Bytes that an agent may say in one event, as JSON.
    pub event_bytes: usize,
    /// Bytes of an answer, as JSON.
    pub answer_bytes: usize,
    /// Bytes of all events of a run but the last, as JSON.
    pub run_bytes: usize,
    /// Events of a run; deltas that go on with the one before count as one.
    pub run_events: usize,
    /// Tool calls of a run.
    pub run_tools: usize,
    /// Seconds that a connection lives on after its token expired; 0: none.
    pub token_grace_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 << 10,
            message_hard_bytes: 1 << 20,
            connections_per_user: 10,
            messages_per_minute: 60,
            message_burst: 20,
            other_frames_per_minute: 240,
            other_frame_burst: 60,
            bytes_per_minute: 16 << 20,
            byte_burst: 4 << 20,
            messages_per_minute_per_address: 0,
            connections_per_address: 0,
            unauthenticated_per_address: 64,
            requests_per_user: 32,
            requests_per_address: 256,
            unauthenticated_requests_per_address: 64,
            request_bytes_per_user: 16 << 20,
            request_bytes_per_address: 64 << 20,
            failed_tokens_per_minute: 300,
            registrations_per_hour_per_address: 100,
            issuer_waits_per_address: 64,
            issuer_waits: 512,
            revocations: 100_000,
            handshakes_per_second: 2500,
            handshake_burst: 1000,
            handshakes_in_progress: 512,
            connections: 0,
            silent_connections: 1024,
            header_seconds: 10.0,
            body_seconds: 30.0,
            answer_seconds: 60.0,
            http_seconds: 300.0,
            concurrent_runs: 4,
            queued_runs: 16,
            queue_soft_bytes: 256 << 10,
            queue_hard_bytes: 1 << 20,
            stall_seconds: 30.0,
            heartbeat_seconds: 25.0,
            dead_seconds: 60.0,
            authenticate_seconds: 5.0,
            run_seconds: 300.0,
            tool_seconds: 60.0,
            store_wait_seconds: 60.0,
            tool_result_bytes: 32 << 10,
            event_bytes: 256 << 10,
            answer_bytes: 256 << 10,
            run_bytes: 1 << 20,
            run_events: 2_000,
            run_tools: 256,
            token_grace_seconds: 25.0,
        }
    }
}

impl Limits {
    /// What a welcome tells of them.
    pub fn announced(&self) -> Announced {
        Announced {
            message_bytes: self.message_bytes,
            message_hard_bytes: self.message_hard_bytes,
            connections_per_user: self.connections_per_user,
            messages_per_minute: self.messages_per_minute,
            message_burst: self.message_burst,
            other_frames_per_minute: self.other_frames_per_minute,
            other_frame_burst: self.other_frame_burst,
            bytes_per_minute: self.bytes_per_minute,
            byte_burst: self.byte_burst,
            concurrent_runs: self.concurrent_runs,
            queued_runs: self.queued_runs,
            heartbeat_seconds: self.heartbeat_seconds,
            run_seconds: self.run_seconds,
        }
    }
}
