//! The one table of the faults that show that checks can fail: what each does wrong, and where it is made.

use tokio::task::JoinHandle;
use wireproof_faultproxy::{End, Fault, FaultProxy, Toxic};
use wireproof_server::Config;
use wireproof_testkit::Builder;

/// A fault that a check must catch.
#[derive(Debug, Clone, Copy)]
pub struct InjectedFault {
    /// Its name, as checks and commands know it.
    pub name: &'static str,
    /// What a server with it does wrong.
    pub sentence: &'static str,
    /// Where it is made.
    pub source: Source,
}

/// Where a fault is made: as far outside the server as it can be.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The fault proxy before the server acts as a faulty network, told by a task that ends with the proxy.
    Toxics(fn(FaultProxy) -> JoinHandle<()>),
    /// The server is started with other settings than the judge is told.
    Setting(fn(&mut Config)),
    /// The server is given an agent, a store or a broker that misbehaves.
    Decorator(fn(Builder) -> Builder),
    /// A failpoint of this name in the server.
    Failpoint,
    /// A bug of this name that is switched on in the server's code.
    Bug,
}

impl Source {
    /// Its name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Source::Toxics(_) => "wire",
            Source::Setting(_) => "setting",
            Source::Decorator(_) => "decorator",
            Source::Failpoint => "failpoint",
            Source::Bug => "bug",
        }
    }
}

impl InjectedFault {
    /// The fault of this name, if there is one.
    pub fn find(name: &str) -> Option<&'static Self> {
        FAULTS.iter().find(|fault| fault.name == name)
    }
}

const fn fault(name: &'static str, sentence: &'static str, source: Source) -> InjectedFault {
    InjectedFault { name, sentence, source }
}

/// All faults, by the groups of the checks that catch them.
#[rustfmt::skip]
pub static FAULTS: &[InjectedFault] = &[
    // connect
    fault("leaver_silences_all", "Once a client broke its connection off, nobody gets an answer any more.", Source::Toxics(leaver_silences_all)),
    fault("welcome_late", "Another frame comes before the welcome.", Source::Bug),
    fault("connection_id_repeated", "Connections that open in the same second share an id.", Source::Bug),
    fault("alias_missing", "The second address of the socket is not served.", Source::Bug),
    fault("subprotocol_not_offered", "The handshake selects a subprotocol that nobody offered.", Source::Bug),
    fault("plain_get_accepted", "A plain GET at the socket's address is answered with 200.", Source::Bug),
    fault("silent_blocks_others", "Who connects and says nothing keeps others from connecting.", Source::Bug),
    fault("foreign_origin_accepted", "The page of another site may connect.", Source::Bug),
    // auth
    fault("no_token_accepted", "Who shows no credentials gets in.", Source::Bug),
    fault("signature_unchecked", "A token's signature is not looked at.", Source::Bug),
    fault("alg_none_accepted", "A token that says it needs no signature gets in.", Source::Bug),
    fault("expired_token_accepted", "A token's end is not looked at.", Source::Bug),
    fault("nbf_ignored", "A token's beginning is not looked at.", Source::Bug),
    fault("audience_ignored", "A token for somebody else's service gets in.", Source::Bug),
    fault("issuer_ignored", "A token of another issuer gets in.", Source::Bug),
    fault("token_user_ignored", "The connection belongs to a user that is not the token's.", Source::Bug),
    fault("message_user_believed", "A user named in a message is taken for the sender.", Source::Bug),
    fault("test_header_opens", "A header of a test switches authentication off.", Source::Bug),
    fault("query_token_accepted", "A token in the address counts although the settings say that it does not.", Source::Bug),
    fault("token_echoed", "A refusal repeats the token.", Source::Bug),
    fault("renewal_changes_user", "A renewal with another user's token makes the connection the other's.", Source::Bug),
    fault("revocation_ignored", "Connections of a revoked token stay open.", Source::Bug),
    fault("ticket_used_twice", "A ticket opens a second connection.", Source::Bug),
    fault("http_unauthenticated", "A route answers without credentials.", Source::Bug),
    fault("place_refused", "A token among the subprotocols is not found.", Source::Bug),
    fault("expiry_not_required", "A token that never expires gets in.", Source::Bug),
    fault("user_not_required", "A token of nobody gets in.", Source::Bug),
    fault("expired_connection_stays", "A connection outlives its token.", Source::Bug),
    fault("renewal_forgotten", "A connection ends with its first token although it was renewed.", Source::Bug),
    fault("permissions_ignored", "A token that does not allow it is enough to ask.", Source::Bug),
    fault("admin_for_all", "Everybody may administer.", Source::Bug),
    fault("user_case_folded", "Users whose names differ in capitals are one.", Source::Bug),
    // health
    fault("health_fails", "The health route answers 500.", Source::Bug),
    fault("health_lies", "The health route tells of no connections whatever there are.", Source::Bug),
    fault("health_needs_token", "The health route asks for credentials.", Source::Bug),
    fault("health_names_users", "The health route tells who is connected.", Source::Bug),
    // errors
    fault("invalid_json_ignored", "A frame that is not JSON gets no answer.", Source::Bug),
    fault("array_closes_connection", "JSON that is no object closes the connection.", Source::Bug),
    fault("unknown_type_ignored", "A frame of an unknown type gets no answer.", Source::Bug),
    fault("missing_field_ignored", "A frame without a field it needs gets no answer.", Source::Bug),
    fault("binary_ignored", "A binary frame gets no answer.", Source::Bug),
    fault("one_error_for_many", "Of several bad frames in a row only the first is answered.", Source::Bug),
    fault("error_closes_connection", "An error closes the connection.", Source::Bug),
    fault("error_without_code", "An error has no code for programs.", Source::Bug),
    fault("cause_in_error", "An error tells what went wrong inside.", Source::Bug),
    fault("error_without_request", "An error does not say what it refuses.", Source::Bug),
    fault("deep_json_closes_connection", "JSON that is nested too deep closes the connection.", Source::Bug),
    // limits
    fault("size_limit_ignored", "A message over the limit is taken.", Source::Bug),
    fault("hard_limit_ignored", "A message over the hard limit does not close the connection.", Source::Bug),
    fault("rate_limit_not_enforced", "Messages over the rate are taken.", Source::Bug),
    fault("rate_limit_shared", "All users share one rate.", Source::Bug),
    fault("connection_limit_ignored", "A user may open any number of connections.", Source::Bug),
    fault("run_limit_ignored", "A user may have any number of runs.", Source::Bug),
    fault("place_leaked", "A connection that broke is counted for ever.", Source::Bug),
    fault("retry_after_lies", "A refusal says to come back before it helps.", Source::Bug),
    fault("stranger_stays", "A connection that never says who it is stays open.", Source::Bug),
    // events
    fault("thinking_dropped", "A run does not tell what the agent thinks.", Source::Bug),
    fault("event_without_run", "Events of a run do not say which.", Source::Bug),
    fault("event_without_parameters", "A tool's start does not say what it works on.", Source::Bug),
    fault("reasoning_empty", "The agent's thoughts come without their text.", Source::Bug),
    fault("canned_answer", "Every message gets the same answer.", Source::Bug),
    fault("delta_lost", "A piece of the answer is lost, numbers and all.", Source::Bug),
    fault("tool_never_completed", "A tool that started is not reported as ended.", Source::Bug),
    fault("tool_result_missing", "A tool's end comes without what came of it.", Source::Bug),
    fault("failed_tool_hidden", "A tool that failed is reported as one that went well.", Source::Bug),
    fault("terminal_twice", "A run ends twice.", Source::Bug),
    fault("terminal_missing", "A run never ends.", Source::Bug),
    fault("request_id_not_echoed", "An answer does not say what it answers.", Source::Bug),
    fault("second_device_forgotten", "Only the first of a user's connections gets events.", Source::Bug),
    fault("non_ascii_mangled", "Text outside ASCII does not arrive as it was sent.", Source::Bug),
    fault("wrong_thread", "Pieces and end of an answer are told in the thread that the user wrote in last.", Source::Bug),
    fault("answer_not_kept", "An answer is told and not kept in its thread.", Source::Bug),
    fault("cancel_ignored", "A cancel is acknowledged, and the run goes on.", Source::Bug),
    fault("time_goes_back", "A run's end has the time of its beginning.", Source::Bug),
    fault("long_text_cut", "A long message is cut off.", Source::Bug),
    fault("queue_forgotten", "A run that has to wait for its turn waits forever.", Source::Bug),
    // order
    fault("thinking_before_started", "A run tells of thoughts before its beginning.", Source::Bug),
    fault("terminal_before_last_tool", "A run ends before its last tool.", Source::Bug),
    fault("tool_completed_first", "A tool ends before it starts.", Source::Bug),
    fault("lost_event", "Now and then an event is stored and not delivered.", Source::Bug),
    fault("neighbours_swapped", "Two neighbouring events change places.", Source::Bug),
    fault("event_doubled", "An event is delivered twice.", Source::Bug),
    fault("run_seq_repeats", "Two events of a run have the same number.", Source::Bug),
    fault("devices_diverge", "Two connections of a user get different texts under one number.", Source::Bug),
    fault("runs_mixed", "An event of one run is told as another's.", Source::Bug),
    // isolation and delivery
    fault("leak_to_another_user", "Events of a user go to another user's connections too.", Source::Bug),
    fault("leak_on_reconnect", "A connection that resumes gets events of the user who was here before.", Source::Bug),
    fault("one_shared_log", "All users share one log.", Source::Bug),
    fault("foreign_thread_served", "A thread is shown to whoever knows its id.", Source::Bug),
    fault("foreign_thread_written", "A message may go into another user's thread.", Source::Bug),
    fault("foreign_run_cancelled", "A run may be cancelled by whoever knows its id.", Source::Bug),
    fault("foreign_position_served", "A position in another user's log is served from that log.", Source::Bug),
    fault("request_id_not_scoped", "Two users who use the same request id get the same answer.", Source::Bug),
    fault("prompt_in_error_text", "An error repeats what another user asked.", Source::Bug),
    fault("leak_rarely", "One event in a thousand goes to another user as well.", Source::Bug),
    fault("lost_rarely", "One event in a thousand is not delivered.", Source::Bug),
    // resume
    fault("tail_dropped_on_close", "What was queued when a connection ended is missing from the resume.", Source::Bug),
    fault("doubled_on_resume", "The event at the position is replayed as well.", Source::Bug),
    fault("silent_gap", "A resume that cannot be complete says that it is.", Source::Bug),
    fault("stale_position_accepted", "A position of another epoch is taken for one of this.", Source::Bug),
    fault("position_ahead_accepted", "A position ahead of the log is taken.", Source::Bug),
    fault("disconnect_cancels_run", "A run ends with the connection that asked for it.", Source::Bug),
    fault("caught_up_early", "The end of a replay is told before the replay.", Source::Bug),
    fault("resent_request_runs_twice", "A request that is sent again is carried out again.", Source::Bug),
    // races
    fault("registration_lost", "Of connections that open at once, one gets no events.", Source::Bug),
    fault("late_unregister", "The end of an old connection takes the events from the new one.", Source::Bug),
    fault("renewal_drops_message", "A message sent beside a renewal is dropped.", Source::Bug),
    fault("first_frame_lost", "A frame that comes together with the handshake is lost.", Source::Bug),
    fault("cancel_ends_twice", "A run that is cancelled as it ends has two ends.", Source::Bug),
    fault("close_loses_append", "An event stored while a connection closes is missing from the resume.", Source::Bug),
    fault("request_race", "Two devices that send one request at once get two runs.", Source::Bug),
    fault("approval_twice", "Two answers to one approval both count.", Source::Bug),
    // protocol
    fault("wrong_accept_key", "The handshake's proof is wrong.", Source::Bug),
    fault("version_unchecked", "A handshake of another WebSocket version is accepted.", Source::Bug),
    fault("unmasked_accepted", "A client's frame without a mask is taken.", Source::Bug),
    fault("reserved_bits_accepted", "A frame with reserved bits is taken.", Source::Bug),
    fault("long_control_accepted", "A control frame that is too long or in pieces is taken.", Source::Bug),
    fault("fragments_refused", "A message in fragments with a ping between is refused.", Source::Bug),
    fault("lone_continuation_accepted", "A continuation of nothing is taken.", Source::Bug),
    fault("utf8_unchecked", "Text that is not UTF-8 is taken.", Source::Bug),
    fault("utf8_checked_per_fragment", "A character in two fragments is refused.", Source::Bug),
    fault("pong_without_payload", "A pong does not carry the ping's bytes.", Source::Bug),
    fault("close_unanswered", "A close is not answered.", Source::Bug),
    fault("close_codes_unchecked", "A close with a code that may not be sent is taken for a good one.", Source::Bug),
    fault("server_frames_masked", "The server masks its frames.", Source::Bug),
    fault("speaks_after_close", "The server sends on after its close.", Source::Bug),
    // performance
    fault("started_late", "A run's beginning is told late.", Source::Bug),
    fault("one_at_a_time", "A connection that runs an agent answers nothing else.", Source::Bug),
    fault("nagle_left_on", "Small frames wait for the acknowledgement of those before.", Source::Bug),
    fault("pieces_held_back", "The pieces of an answer come all at its end.", Source::Bug),
    fault("slow_reader_slows_all", "A client that does not read holds the events of others up.", Source::Bug),
];

/// Lets nobody hear from the server again once a client broke its connection off.
fn leaver_silences_all(proxy: FaultProxy) -> JoinHandle<()> {
    tokio::spawn(async move {
        let broken =
            |proxy: &FaultProxy| proxy.connections().iter().any(|link| link.end == Some(End::Broken));
        let mut ended = 0;
        while !broken(&proxy) {
            ended = proxy.ended(ended).await;
        }
        proxy.add(Toxic::to_client(Fault::Stall { for_ms: None }));
        // The proxy is needed for as long as somebody is judged through it.
        std::future::pending().await
    })
}
