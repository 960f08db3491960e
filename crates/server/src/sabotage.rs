//! Bugs that the kit can switch on, each at its true place in the code, to show that a check catches it. Compiled only
//! with the feature `sabotage`, which the shipped program has not: there [`Bugs`] is empty and `on` is always false.

#[cfg(feature = "sabotage")]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

macro_rules! bugs {
    ($($name:ident $word:literal $sentence:literal)*) => {
        /// A bug that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Bug {
            $(#[doc = $sentence] $name,)*
        }

        #[cfg(feature = "sabotage")]
        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name),*];

            /// Its name, as checks and commands know it.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$name => $word,)* }
            }

            /// Once in how many times it strikes when nothing else is said.
            fn usually(self) -> u64 {
                if matches!(self, Bug::LeakRarely | Bug::LostRarely) { 1000 } else { 1 }
            }

            /// What the server does wrong with it.
            pub fn sentence(self) -> &'static str {
                match self { $(Bug::$name => $sentence,)* }
            }
        }
    };
}

bugs! {
    // connect
    WelcomeLate "welcome_late" "Another frame comes before the welcome."
    ConnectionIdRepeated "connection_id_repeated" "Connections that open in the same second share an id."
    AliasMissing "alias_missing" "The second address of the socket is not served."
    SubprotocolNotOffered "subprotocol_not_offered" "The handshake selects a subprotocol that nobody offered."
    PlainGetAccepted "plain_get_accepted" "A plain GET at the socket's address is answered with 200."
    SilentBlocksOthers "silent_blocks_others" "Who connects and says nothing keeps others from connecting."
    ForeignOriginAccepted "foreign_origin_accepted" "The page of another site may connect."
    // auth
    NoTokenAccepted "no_token_accepted" "Who shows no credentials gets in."
    SignatureUnchecked "signature_unchecked" "A token's signature is not looked at."
    AlgNoneAccepted "alg_none_accepted" "A token that says it needs no signature gets in."
    ExpiredTokenAccepted "expired_token_accepted" "A token's end is not looked at."
    NbfIgnored "nbf_ignored" "A token's beginning is not looked at."
    AudienceIgnored "audience_ignored" "A token for somebody else's service gets in."
    IssuerIgnored "issuer_ignored" "A token of another issuer gets in."
    TokenUserIgnored "token_user_ignored" "The connection belongs to a user that is not the token's."
    MessageUserBelieved "message_user_believed" "A user named in a message is taken for the sender."
    TestHeaderOpens "test_header_opens" "A header of a test switches authentication off."
    QueryTokenAccepted "query_token_accepted" "A token in the address counts although the settings say that it does not."
    TokenEchoed "token_echoed" "A refusal repeats the token."
    RenewalChangesUser "renewal_changes_user" "A renewal with another user's token makes the connection the other's."
    RevocationIgnored "revocation_ignored" "Connections of a revoked token stay open."
    TicketUsedTwice "ticket_used_twice" "A ticket opens a second connection."
    HttpUnauthenticated "http_unauthenticated" "A route answers without credentials."
    PlaceRefused "place_refused" "A token among the subprotocols is not found."
    ExpiryNotRequired "expiry_not_required" "A token that never expires gets in."
    UserNotRequired "user_not_required" "A token of nobody gets in."
    ExpiredConnectionStays "expired_connection_stays" "A connection outlives its token."
    RenewalForgotten "renewal_forgotten" "A connection ends with its first token although it was renewed."
    PermissionsIgnored "permissions_ignored" "A token that does not allow it is enough to ask."
    AdminForAll "admin_for_all" "Everybody may administer."
    UserCaseFolded "user_case_folded" "Users whose names differ in capitals are one."
    // health
    HealthFails "health_fails" "The health route answers 500."
    HealthLies "health_lies" "The health route tells of no connections whatever there are."
    HealthNeedsToken "health_needs_token" "The health route asks for credentials."
    HealthNamesUsers "health_names_users" "The health route tells who is connected."
    // errors
    InvalidJsonIgnored "invalid_json_ignored" "A frame that is not JSON gets no answer."
    ArrayClosesConnection "array_closes_connection" "JSON that is no object closes the connection."
    UnknownTypeIgnored "unknown_type_ignored" "A frame of an unknown type gets no answer."
    MissingFieldIgnored "missing_field_ignored" "A frame without a field it needs gets no answer."
    BinaryIgnored "binary_ignored" "A binary frame gets no answer."
    OneErrorForMany "one_error_for_many" "Of several bad frames in a row only the first is answered."
    ErrorClosesConnection "error_closes_connection" "An error closes the connection."
    ErrorWithoutCode "error_without_code" "An error has no code for programs."
    CauseInError "cause_in_error" "An error tells what went wrong inside."
    ErrorWithoutRequest "error_without_request" "An error does not say what it refuses."
    DeepJsonClosesConnection "deep_json_closes_connection" "JSON that is nested too deep closes the connection."
    // limits
    SizeLimitIgnored "size_limit_ignored" "A message over the limit is taken."
    HardLimitIgnored "hard_limit_ignored" "A message over the hard limit does not close the connection."
    RateLimitNotEnforced "rate_limit_not_enforced" "Messages over the rate are taken."
    RateLimitShared "rate_limit_shared" "All users share one rate."
    ConnectionLimitIgnored "connection_limit_ignored" "A user may open any number of connections."
    RunLimitIgnored "run_limit_ignored" "A user may have any number of runs."
    PlaceLeaked "place_leaked" "A connection that broke is counted for ever."
    RetryAfterLies "retry_after_lies" "A refusal says to come back before it helps."
    StrangerStays "stranger_stays" "A connection that never says who it is stays open."
    // events
    ThinkingDropped "thinking_dropped" "A run does not tell what the agent thinks."
    EventWithoutRun "event_without_run" "Events of a run do not say which."
    EventWithoutParameters "event_without_parameters" "A tool's start does not say what it works on."
    ReasoningEmpty "reasoning_empty" "The agent's thoughts come without their text."
    CannedAnswer "canned_answer" "Every message gets the same answer."
    DeltaLost "delta_lost" "A piece of the answer is lost, numbers and all."
    ToolNeverCompleted "tool_never_completed" "A tool that started is not reported as ended."
    ToolResultMissing "tool_result_missing" "A tool's end comes without what came of it."
    FailedToolHidden "failed_tool_hidden" "A tool that failed is reported as one that went well."
    TerminalTwice "terminal_twice" "A run ends twice."
    TerminalMissing "terminal_missing" "A run never ends."
    RequestIdNotEchoed "request_id_not_echoed" "An answer does not say what it answers."
    SecondDeviceForgotten "second_device_forgotten" "Only the first of a user's connections gets events."
    NonAsciiMangled "non_ascii_mangled" "Text outside ASCII does not arrive as it was sent."
    WrongThread "wrong_thread" "Pieces and end of an answer are told in the thread that the user wrote in last."
    AnswerNotKept "answer_not_kept" "An answer is told and not kept in its thread."
    CancelIgnored "cancel_ignored" "A cancel is acknowledged, and the run goes on."
    TimeGoesBack "time_goes_back" "A run's end has the time of its beginning."
    LongTextCut "long_text_cut" "A long message is cut off."
    QueueForgotten "queue_forgotten" "A run that has to wait for its turn waits forever."
    // order
    ThinkingBeforeStarted "thinking_before_started" "A run tells of thoughts before its beginning."
    TerminalBeforeLastTool "terminal_before_last_tool" "A run ends before its last tool."
    ToolCompletedFirst "tool_completed_first" "A tool ends before it starts."
    LostEvent "lost_event" "Now and then an event is stored and not delivered."
    NeighboursSwapped "neighbours_swapped" "Two neighbouring events change places."
    EventDoubled "event_doubled" "An event is delivered twice."
    RunSeqRepeats "run_seq_repeats" "Two events of a run have the same number."
    DevicesDiverge "devices_diverge" "Two connections of a user get different texts under one number."
    RunsMixed "runs_mixed" "An event of one run is told as another's."
    // isolation and delivery
    LeakToAnotherUser "leak_to_another_user" "Events of a user go to another user's connections too."
    LeakOnReconnect "leak_on_reconnect" "A connection that resumes gets events of the user who was here before."
    OneSharedLog "one_shared_log" "All users share one log."
    ForeignThreadServed "foreign_thread_served" "A thread is shown to whoever knows its id."
    ForeignThreadWritten "foreign_thread_written" "A message may go into another user's thread."
    ForeignRunCancelled "foreign_run_cancelled" "A run may be cancelled by whoever knows its id."
    ForeignPositionServed "foreign_position_served" "A position in another user's log is served from that log."
    RequestIdNotScoped "request_id_not_scoped" "Two users who use the same request id get the same answer."
    PromptInErrorText "prompt_in_error_text" "An error repeats what another user asked."
    LeakRarely "leak_rarely" "One event in a thousand goes to another user as well."
    LostRarely "lost_rarely" "One event in a thousand is not delivered."
    // resume
    TailDroppedOnClose "tail_dropped_on_close" "What was queued when a connection ended is missing from the resume."
    DoubledOnResume "doubled_on_resume" "The event at the position is replayed as well."
    SilentGap "silent_gap" "A resume that cannot be complete says that it is."
    StalePositionAccepted "stale_position_accepted" "A position of another epoch is taken for one of this."
    PositionAheadAccepted "position_ahead_accepted" "A position ahead of the log is taken."
    DisconnectCancelsRun "disconnect_cancels_run" "A run ends with the connection that asked for it."
    CaughtUpEarly "caught_up_early" "The end of a replay is told before the replay."
    ResentRequestRunsTwice "resent_request_runs_twice" "A request that is sent again is carried out again."
    // races
    RegistrationLost "registration_lost" "Of connections that open at once, one gets no events."
    LateUnregister "late_unregister" "The end of an old connection takes the events from the new one."
    RenewalDropsMessage "renewal_drops_message" "A message sent beside a renewal is dropped."
    FirstFrameLost "first_frame_lost" "A frame that comes together with the handshake is lost."
    CancelEndsTwice "cancel_ends_twice" "A run that is cancelled as it ends has two ends."
    CloseLosesAppend "close_loses_append" "An event stored while a connection closes is missing from the resume."
    RequestRace "request_race" "Two devices that send one request at once get two runs."
    ApprovalTwice "approval_twice" "Two answers to one approval both count."
    // protocol
    WrongAcceptKey "wrong_accept_key" "The handshake's proof is wrong."
    VersionUnchecked "version_unchecked" "A handshake of another WebSocket version is accepted."
    UnmaskedAccepted "unmasked_accepted" "A client's frame without a mask is taken."
    ReservedBitsAccepted "reserved_bits_accepted" "A frame with reserved bits is taken."
    LongControlAccepted "long_control_accepted" "A control frame that is too long or in pieces is taken."
    FragmentsRefused "fragments_refused" "A message in fragments with a ping between is refused."
    LoneContinuationAccepted "lone_continuation_accepted" "A continuation of nothing is taken."
    Utf8Unchecked "utf8_unchecked" "Text that is not UTF-8 is taken."
    Utf8CheckedPerFragment "utf8_checked_per_fragment" "A character in two fragments is refused."
    PongWithoutPayload "pong_without_payload" "A pong does not carry the ping's bytes."
    CloseUnanswered "close_unanswered" "A close is not answered."
    CloseCodesUnchecked "close_codes_unchecked" "A close with a code that may not be sent is taken for a good one."
    ServerFramesMasked "server_frames_masked" "The server masks its frames."
    SpeaksAfterClose "speaks_after_close" "The server sends on after its close."
    // performance
    StartedLate "started_late" "A run's beginning is told late."
    OneAtATime "one_at_a_time" "A connection that runs an agent answers nothing else."
    NagleLeftOn "nagle_left_on" "Small frames wait for the acknowledgement of those before."
    PiecesHeldBack "pieces_held_back" "The pieces of an answer come all at its end."
    SlowReaderSlowsAll "slow_reader_slows_all" "A client that does not read holds the events of others up."
}

/// The bugs that are switched on in one server; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Bugs {
    #[cfg(feature = "sabotage")]
    on: Arc<Vec<Switch>>,
}

#[cfg(feature = "sabotage")]
#[derive(Debug)]
struct Switch {
    bug: Bug,
    /// It strikes once in so many times.
    every: u64,
    passed: AtomicU64,
}

#[cfg(not(feature = "sabotage"))]
impl Bugs {
    /// Whether the bug strikes here and now: never, in this build.
    #[inline(always)]
    pub(crate) const fn on(&self, _: Bug) -> bool {
        false
    }
}

#[cfg(feature = "sabotage")]
impl Bugs {
    /// One bug that strikes every time.
    pub fn always(bug: Bug) -> Self {
        Self::every(bug, 1, 0)
    }

    /// One bug that strikes once in `every` times, at a place in the row that the seed decides.
    pub fn every(bug: Bug, every: u64, seed: u64) -> Self {
        let every = every.max(1);
        Self { on: Arc::new(vec![Switch { bug, every, passed: AtomicU64::new(seed % every) }]) }
    }

    /// A bug by its name, as in `lost_event` or `lost_event:50` for once in fifty times. Those that are called rare strike
    /// once in a thousand times.
    pub fn parse(text: &str, seed: u64) -> Result<Self, UnknownBug> {
        let (name, every) = text.split_once(':').map_or((text, None), |(name, every)| (name, Some(every)));
        let unknown = || UnknownBug(text.to_owned());
        let bug = *Bug::ALL.iter().find(|bug| bug.name() == name).ok_or_else(unknown)?;
        let every = every.map_or(Ok(bug.usually()), |every| every.parse().map_err(|_| unknown()))?;
        Ok(Self::every(bug, every, seed))
    }

    /// Whether the bug strikes here and now.
    pub(crate) fn on(&self, bug: Bug) -> bool {
        let switch = self.on.iter().find(|switch| switch.bug == bug);
        switch.is_some_and(|switch| {
            (switch.passed.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(switch.every)
        })
    }

    /// The names of those that are switched on.
    pub fn names(&self) -> Vec<&'static str> {
        self.on.iter().map(|switch| switch.bug.name()).collect()
    }
}

/// No bug has this name.
#[cfg(feature = "sabotage")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no bug {0:?} to switch on")]
pub struct UnknownBug(String);

/// Settings with the same bugs are the same settings.
impl PartialEq for Bugs {
    #[cfg(feature = "sabotage")]
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }

    #[cfg(not(feature = "sabotage"))]
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
