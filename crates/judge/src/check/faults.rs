//! The one table of the faults that show that checks can fail: what each does wrong, and where it is made.

use std::sync::Arc;

use wireproof_faultproxy::mutation::{
    Accept, Address, FrameMutation,
    Kind::*,
    Mutation::{self, *},
    On,
    Part::{self, *},
    Pick, Put, Role,
};
use wireproof_server::{
    Config,
    failpoints::{Failpoint, Failpoints},
    store::layer::Layered,
};
use wireproof_testkit::{
    Builder,
    decorators::{AgentFault, FaultyAgent, FaultyStore, StoreFault},
};

use Source::{Setting, Wire};

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
    /// The fault proxy before the server does these things in its place.
    Wire(fn() -> Vec<Mutation>),
    /// The server is started with other settings than the judge is told.
    Setting(fn(&mut Config)),
    /// The server is given an agent that misbehaves.
    Agent(AgentFault),
    /// The server is given a store that misbehaves.
    Store(StoreFault),
    /// A failpoint in the server.
    Failpoint(Failpoint),
}

impl Source {
    /// Its name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Source::Wire(_) => "wire",
            Source::Setting(_) => "setting",
            Source::Agent(_) => "agent",
            Source::Store(_) => "store",
            Source::Failpoint(_) => "failpoint",
        }
    }

    /// The server with the fault, as far as it is made there.
    pub fn build(self, builder: Builder) -> Builder {
        match self {
            Source::Wire(_) => builder,
            Source::Setting(change) => builder.config(change),
            Source::Agent(fault) => {
                builder.layer_agents(Arc::new(move |inner| Arc::new(FaultyAgent::new(inner, fault))))
            }
            Source::Store(fault) => builder
                .layer_store(Arc::new(move |store| Arc::new(Layered::new(store, FaultyStore::new(fault))))),
            Source::Failpoint(failpoint) => {
                builder.config(|config| config.failpoints = Failpoints::only(failpoint))
            }
        }
    }
}

impl InjectedFault {
    /// The fault of this name, if there is one.
    pub fn find(name: &str) -> Option<&'static Self> {
        FAULTS.iter().find(|fault| fault.name == name)
    }

    /// True when this build can make it.
    pub fn can_be_made(&self) -> bool {
        !matches!(self.source, Source::Failpoint(_)) || cfg!(feature = "failpoints")
    }
}

const fn fault(name: &'static str, sentence: &'static str, source: Source) -> InjectedFault {
    InjectedFault { name, sentence, source }
}

fn every(part: impl Into<Part>) -> Pick {
    Pick::every(part)
}

/// All faults, by the groups of the checks that catch them.
#[rustfmt::skip]
pub static FAULTS: &[InjectedFault] = &[
    // connect
    fault("leaver_silences_all", "Once a client broke its connection off, nobody gets an answer any more.", Wire(|| vec![FallSilent])),
    fault("welcome_late", "Another frame comes before the welcome.", Wire(|| vec![Stray(every(Welcome))])),
    fault("connection_id_repeated", "Connections that open in the same second share an id.", Wire(|| vec![Replace { role: Role::Connection, with: Put::Shared, pick: every(Welcome) }])),
    fault("alias_missing", "The second address of the socket is not served.", Wire(|| vec![Hide(Address::Alias)])),
    fault("subprotocol_not_offered", "The handshake selects a subprotocol that nobody offered.", Wire(|| vec![ForeignSubprotocol])),
    fault("plain_get_accepted", "A plain GET at the socket's address is answered with 200.", Wire(|| vec![Status { at: Address::Socket, status: 200 }])),
    fault("silent_blocks_others", "Who connects and says nothing keeps others from connecting.", Wire(|| vec![OneHandshake])),
    fault("foreign_origin_accepted", "The page of another site may connect.", Wire(|| vec![Accept(Accept::Origin)])),
    // auth
    fault("no_token_accepted", "Who shows no credentials gets in.", Wire(|| vec![Accept(Accept::Missing)])),
    fault("signature_unchecked", "A token's signature is not looked at.", Wire(|| vec![Accept(Accept::Signature)])),
    fault("alg_none_accepted", "A token that says it needs no signature gets in.", Wire(|| vec![Accept(Accept::Unsigned)])),
    fault("expired_token_accepted", "A token's end is not looked at.", Wire(|| vec![Accept(Accept::Expired)])),
    fault("nbf_ignored", "A token's beginning is not looked at.", Wire(|| vec![Accept(Accept::Early)])),
    fault("audience_ignored", "A token for somebody else's service gets in.", Wire(|| vec![Accept(Accept::Audience)])),
    fault("issuer_ignored", "A token of another issuer gets in.", Wire(|| vec![Accept(Accept::Issuer)])),
    fault("token_user_ignored", "The connection belongs to a user that is not the token's.", Wire(|| vec![Accept(Accept::OneUser)])),
    fault("message_user_believed", "A user named in a message is taken for the sender.", Wire(|| vec![Accept(Accept::NamedUser)])),
    fault("test_header_opens", "A header of a test switches authentication off.", Wire(|| vec![Accept(Accept::TestHeader)])),
    fault("query_token_accepted", "A token in the address counts although the settings say that it does not.", Wire(|| vec![Accept(Accept::Query)])),
    fault("token_echoed", "A refusal repeats the token.", Wire(|| vec![EchoToken])),
    fault("renewal_changes_user", "A renewal with another user's token makes the connection the other's.", Wire(|| vec![Accept(Accept::Foreign)])),
    fault("revocation_ignored", "Connections of a revoked token stay open.", Source::Failpoint(Failpoint::RevocationIgnored)),
    fault("ticket_used_twice", "A ticket opens a second connection.", Wire(|| vec![Accept(Accept::SpentTicket)])),
    fault("http_unauthenticated", "A route answers without credentials.", Wire(|| vec![Accept(Accept::MissingOverHttp)])),
    fault("place_refused", "A token among the subprotocols is not found.", Wire(|| vec![IgnoreSubprotocolToken])),
    fault("expiry_not_required", "A token that never expires gets in.", Wire(|| vec![Accept(Accept::Endless)])),
    fault("user_not_required", "A token of nobody gets in.", Wire(|| vec![Accept(Accept::Nobody)])),
    fault("expired_connection_stays", "A connection outlives its token.", Wire(|| vec![Accept(Accept::Lasting)])),
    fault("renewal_forgotten", "A connection ends with its first token although it was renewed.", Wire(|| vec![Accept(Accept::FirstOnly)])),
    fault("permissions_ignored", "A token that does not allow it is enough to ask.", Wire(|| vec![Accept(Accept::Permissions)])),
    fault("admin_for_all", "Everybody may administer.", Wire(|| vec![Accept(Accept::Admin)])),
    fault("user_case_folded", "Users whose names differ in capitals are one.", Wire(|| vec![Accept(Accept::Capitals)])),
    // health
    fault("health_fails", "The health route answers 500.", Wire(|| vec![Status { at: Address::Health, status: 500 }])),
    fault("health_lies", "The health route tells of no connections whatever there are.", Wire(|| vec![TellNone(Address::Status)])),
    fault("health_needs_token", "The health route asks for credentials.", Wire(|| vec![Challenge(Address::Health)])),
    fault("health_names_users", "The health route tells who is connected.", Wire(|| vec![TellUsers(Address::Health)])),
    // errors
    fault("invalid_json_ignored", "A frame that is not JSON gets no answer.", Wire(|| vec![Lose(every(NotJson))])),
    fault("array_closes_connection", "JSON that is no object closes the connection.", Wire(|| vec![Close(every(NotObject))])),
    fault("unknown_type_ignored", "A frame of an unknown type gets no answer.", Wire(|| vec![Lose(every(Unknown))])),
    fault("missing_field_ignored", "A frame without a field it needs gets no answer.", Wire(|| vec![Lose(every(Incomplete))])),
    fault("binary_ignored", "A binary frame gets no answer.", Wire(|| vec![Lose(every(Binary))])),
    fault("one_error_for_many", "Of several bad frames in a row only the first is answered.", Wire(|| vec![Lose(every(Error).behind(Error))])),
    fault("error_closes_connection", "An error closes the connection.", Wire(|| vec![Close(every(Error))])),
    fault("error_without_code", "An error has no code for programs.", Wire(|| vec![Remove { role: Role::ErrorCode, pick: every(Error) }])),
    fault("cause_in_error", "An error tells what went wrong inside.", Wire(|| vec![Replace { role: Role::ErrorText, with: Put::Append(" (panicked at src/main.rs:1)".to_owned()), pick: every(Error) }])),
    fault("error_without_request", "An error does not say what it refuses.", Wire(|| vec![Remove { role: Role::Request, pick: every(Error) }])),
    fault("deep_json_closes_connection", "JSON that is nested too deep closes the connection.", Wire(|| vec![Close(every(Nested))])),
    // limits
    fault("size_limit_ignored", "A message over the limit is taken.", Setting(|config| config.limits.message_bytes = 0)),
    fault("hard_limit_ignored", "A message over the hard limit does not close the connection.", Setting(|config| config.limits.message_hard_bytes = 0)),
    fault("rate_limit_not_enforced", "Messages over the rate are taken.", Setting(|config| config.limits.messages_per_minute = 0)),
    fault("rate_limit_shared", "All users of an address share one rate.", Setting(|config| config.limits.messages_per_minute_per_address = config.limits.message_burst)),
    fault("connection_limit_ignored", "A user may open any number of connections.", Setting(|config| config.limits.connections_per_user = 0)),
    fault("run_limit_ignored", "A user may have any number of runs.", Setting(|config| (config.limits.concurrent_runs, config.limits.queued_runs) = (0, 0))),
    fault("place_leaked", "A connection that broke is counted for ever.", Wire(|| vec![KeepPlace])),
    fault("retry_after_lies", "A refusal says to come back before it helps.", Wire(|| vec![Replace { role: Role::RetryAfter, with: Put::Value(1.into()), pick: every(Error) }])),
    fault("stranger_stays", "A connection that never says who it is stays open.", Setting(|config| config.limits.authenticate_seconds = 1e6)),
    // events
    fault("thinking_dropped", "A run does not tell what the agent thinks.", Wire(|| vec![Lose(every(Thinking))])),
    fault("event_without_run", "Events of a run do not say which.", Wire(|| vec![Remove { role: Role::Run, pick: every(ToolStarted) }])),
    fault("event_without_parameters", "A tool's start does not say what it works on.", Wire(|| vec![Remove { role: Role::Required, pick: every(ToolStarted) }])),
    fault("reasoning_empty", "The agent's thoughts come without their text.", Wire(|| vec![Replace { role: Role::Reasoning, with: Put::Value("".into()), pick: every(Thinking) }])),
    fault("canned_answer", "Every message gets the same answer.", Source::Agent(AgentFault::Answers("What is 6*7?"))),
    fault("delta_lost", "A piece of the answer is lost, numbers and all.", Wire(|| vec![Lose(Pick::nth(Delta, 2))])),
    fault("tool_never_completed", "A tool that started is not reported as ended.", Wire(|| vec![Lose(Pick::nth(ToolCompleted, 1))])),
    fault("tool_result_missing", "A tool's end comes without what came of it.", Wire(|| vec![Remove { role: Role::Result, pick: every(ToolCompleted) }])),
    fault("failed_tool_hidden", "A tool that failed is reported as one that went well.", Wire(|| vec![Remove { role: Role::ToolError, pick: every(ToolCompleted) }])),
    fault("terminal_twice", "A run ends twice.", Wire(|| vec![Double(every(Completed))])),
    fault("terminal_missing", "A run never ends.", Wire(|| vec![Lose(every(Completed))])),
    fault("request_id_not_echoed", "An answer does not say what it answers.", Wire(|| vec![Remove { role: Role::Request, pick: every(Accepted) }])),
    fault("second_device_forgotten", "Only the first of a user's connections gets events.", Wire(|| vec![Lose(every(Event).on(On::Later))])),
    fault("non_ascii_mangled", "Text outside ASCII does not arrive as it was sent.", Wire(|| vec![Mangle(every(Ask))])),
    fault("wrong_thread", "Pieces and end of an answer are told in the thread that the user wrote in last.", Wire(|| vec![Replace { role: Role::Thread, with: Put::Other, pick: every(Delta) }, Replace { role: Role::Thread, with: Put::Other, pick: every(Completed) }])),
    fault("answer_not_kept", "An answer is told and not kept in its thread.", Wire(|| vec![Forget(Role::Answer)])),
    fault("cancel_ignored", "A cancel is acknowledged, and the run goes on.", Wire(|| vec![Acknowledge(every(Cancel))])),
    fault("time_goes_back", "A run's end has the time of its beginning.", Wire(|| vec![Replace { role: Role::Timestamp, with: Put::OfStart, pick: every(Completed) }])),
    fault("long_text_cut", "A long message is cut off.", Wire(|| vec![Shorten { pick: every(Ask), bytes: 16 << 10 }])),
    fault("queue_forgotten", "A run that has to wait for its turn waits forever.", Wire(|| vec![Starve])),
    // order
    fault("thinking_before_started", "A run tells of thoughts before its beginning.", Wire(|| vec![Hold { pick: every(Started), behind: Thinking.into() }])),
    fault("terminal_before_last_tool", "A run ends before its last tool.", Wire(|| vec![Hold { pick: every(ToolCompleted), behind: Completed.into() }])),
    fault("tool_completed_first", "A tool ends before it starts.", Wire(|| vec![Hold { pick: every(ToolStarted), behind: ToolCompleted.into() }])),
    fault("lost_event", "Now and then an event is stored and not delivered.", Wire(|| vec![Lose(Pick::one_in(Event, 7))])),
    fault("neighbours_swapped", "Two neighbouring events change places.", Wire(|| vec![Hold { pick: every(ToolStarted), behind: Event }])),
    fault("event_doubled", "An event is delivered twice.", Wire(|| vec![Double(Pick::one_in(Event, 7))])),
    fault("run_seq_repeats", "Two events of a run have the same number.", Wire(|| vec![Replace { role: Role::RunSeq, with: Put::Previous, pick: every(ToolStarted) }])),
    fault("devices_diverge", "Two connections of a user get different texts under one number.", Wire(|| vec![Replace { role: Role::Delta, with: Put::Append("~".to_owned()), pick: every(Delta).on(On::Later) }])),
    fault("runs_mixed", "An event of one run is told as another's.", Wire(|| vec![Replace { role: Role::Run, with: Put::Other, pick: Pick::one_in(Delta, 3) }])),
    // isolation and delivery
    fault("leak_to_another_user", "Events of a user go to another user's connections too.", Wire(|| vec![Misaddress(every(Event))])),
    fault("leak_on_reconnect", "A connection that resumes gets events of the user who was here before.", Wire(|| vec![Foreign(every(Welcome).on(On::Resumed))])),
    fault("one_shared_log", "What happens in one log happens in all.", Source::Store(StoreFault::OneLog)),
    fault("foreign_thread_served", "A thread is shown to whoever knows its id.", Source::Store(StoreFault::ShowsForeignThreads)),
    fault("foreign_thread_written", "A message may go into another user's thread.", Source::Store(StoreFault::WritesForeignThreads)),
    fault("foreign_run_cancelled", "A run may be cancelled by whoever knows its id.", Source::Failpoint(Failpoint::ForeignRunCancelled)),
    fault("foreign_position_served", "A position in another user's log is served from that log.", Source::Store(StoreFault::TakesForAnother)),
    fault("request_id_not_scoped", "Two users who use the same request id get the same answer.", Source::Store(StoreFault::SharesRequests)),
    fault("prompt_in_error_text", "An error repeats what another user asked.", Wire(|| vec![Replace { role: Role::ErrorText, with: Put::AskedElsewhere, pick: every(Error) }])),
    fault("leak_rarely", "One event in a thousand goes to another user as well.", Wire(|| vec![Misaddress(Pick::one_in(Event, 1000))])),
    fault("lost_rarely", "One event in a thousand is not delivered.", Wire(|| vec![Lose(Pick::one_in(Event, 1000))])),
    // resume
    fault("tail_dropped_on_close", "What was queued when a connection ended is missing from the resume.", Wire(|| vec![Lose(every(Event).on(On::Resumed).times(1))])),
    fault("doubled_on_resume", "The event at the position is replayed as well.", Wire(|| vec![Rewind(1)])),
    fault("silent_gap", "A resume that cannot be complete says that it is.", Wire(|| vec![Replace { role: Role::Resumed, with: Put::Value(true.into()), pick: every(Welcome).on(On::Resumed) }, Lose(every(Snapshot))])),
    fault("stale_position_accepted", "A position of another epoch is taken for one of this.", Wire(|| vec![Accept(Accept::Epoch)])),
    fault("position_ahead_accepted", "A position ahead of the log is taken.", Wire(|| vec![Accept(Accept::Ahead)])),
    fault("disconnect_cancels_run", "A run ends with the connection that asked for it.", Wire(|| vec![CancelOnEnd])),
    fault("caught_up_early", "The end of a replay is told before the replay.", Wire(|| vec![Hold { pick: every(Event).on(On::Resumed), behind: CaughtUp.into() }])),
    fault("resent_request_runs_twice", "A request that is sent again is carried out again.", Wire(|| vec![Repeat])),
    // races
    fault("registration_lost", "Of connections that open at once, one gets no events.", Source::Failpoint(Failpoint::RegistrationLost)),
    fault("late_unregister", "The end of an old connection takes the events from the new one.", Source::Failpoint(Failpoint::LateUnregister)),
    fault("renewal_drops_message", "A message sent beside a renewal is dropped.", Wire(|| vec![Lose(every(Any).behind(Authenticate))])),
    fault("first_frame_lost", "A frame that comes together with the handshake is lost.", Wire(|| vec![LoseEarly])),
    fault("cancel_ends_twice", "A run that is cancelled as it ends has two ends.", Source::Store(StoreFault::EndsTwice)),
    fault("close_loses_append", "An event stored while a connection closes is missing from the resume.", Wire(|| vec![Lose(every(Delta).on(On::Resumed).times(1))])),
    fault("request_race", "Two devices that send one request at once get two runs.", Source::Store(StoreFault::KeepsRequestsLate)),
    fault("approval_twice", "Two answers to one approval both count.", Wire(|| vec![Double(every(ApprovalResolved))])),
    // protocol
    fault("wrong_accept_key", "The handshake's proof is wrong.", Wire(|| vec![WrongAccept])),
    fault("version_unchecked", "A handshake of another WebSocket version is accepted.", Wire(|| vec![Accept(Accept::Version)])),
    fault("unmasked_accepted", "A client's frame without a mask is taken.", Wire(|| vec![Frames(FrameMutation::AcceptUnmasked)])),
    fault("reserved_bits_accepted", "A frame with reserved bits is taken.", Wire(|| vec![Frames(FrameMutation::AcceptReserved)])),
    fault("long_control_accepted", "A control frame that is too long or in pieces is taken.", Wire(|| vec![Frames(FrameMutation::AcceptLongControl)])),
    fault("fragments_refused", "A message in fragments with a ping between is refused.", Wire(|| vec![Frames(FrameMutation::RefuseFragments)])),
    fault("lone_continuation_accepted", "A continuation of nothing is taken.", Wire(|| vec![Frames(FrameMutation::AcceptContinuation)])),
    fault("utf8_unchecked", "Text that is not UTF-8 is taken.", Wire(|| vec![Frames(FrameMutation::AcceptAnyText)])),
    fault("utf8_checked_per_fragment", "A character in two fragments is refused.", Wire(|| vec![Frames(FrameMutation::RefuseSplitText)])),
    fault("pong_without_payload", "A pong does not carry the ping's bytes.", Wire(|| vec![Frames(FrameMutation::EmptyPong)])),
    fault("close_unanswered", "A close is not answered.", Wire(|| vec![Frames(FrameMutation::LoseClose)])),
    fault("close_codes_unchecked", "A close with a code that may not be sent is taken for a good one.", Wire(|| vec![Frames(FrameMutation::AcceptAnyClose)])),
    fault("server_frames_masked", "The server masks its frames.", Wire(|| vec![Frames(FrameMutation::MaskServer)])),
    fault("speaks_after_close", "The server sends on after its close.", Wire(|| vec![Frames(FrameMutation::SpeakAfterClose)])),
    // performance
    fault("started_late", "A run's beginning is told late.", Wire(|| vec![Delay { pick: every(Started), ms: 400 }])),
    fault("one_at_a_time", "While a run goes on nothing else of its user is answered.", Source::Store(StoreFault::BlocksReads)),
    fault("nagle_left_on", "Small frames wait for the acknowledgement of those before.", Wire(|| vec![Nagle])),
    fault("pieces_held_back", "The pieces of an answer come all at its end.", Source::Agent(AgentFault::HoldsPieces)),
    fault("slow_reader_slows_all", "A client that does not read holds the events of others up.", Source::Failpoint(Failpoint::SlowReaderSlowsAll)),
];
