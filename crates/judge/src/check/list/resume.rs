//! That a client which comes back with its position has all that it missed, once, or is told that it has not.

mod cut;
mod positions;
mod resend;

use super::check;
use crate::check::{Check, Need};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "resume.complete",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume, Need::Shared],
        "tail_dropped_on_close",
        "A connection that is cut in a run and resumes gets every event after its position, what was on its way included.",
        cut::complete
    ),
    check!(
        "resume.once",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume, Need::Shared],
        "doubled_on_resume",
        "A resume brings no event that came before the cut, and none twice.",
        cut::once
    ),
    check!(
        "resume.caught_up",
        Major,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume, Need::Shared],
        "caught_up_early",
        "The end of a replay is told once, behind the last event that was missed.",
        cut::caught_up
    ),
    check!(
        "resume.honest",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume],
        "silent_gap",
        "A resume is complete, or it is a snapshot, or it says that it is neither.",
        positions::honest
    ),
    check!(
        "resume.other_epoch",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume, Need::Field("epoch")],
        "stale_position_accepted",
        "A position of another epoch is not taken for one of this.",
        positions::other_epoch
    ),
    check!(
        "resume.ahead",
        Major,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume],
        "position_ahead_accepted",
        "A position ahead of the log is not taken, and costs no event that happens then.",
        positions::ahead
    ),
    check!(
        "resume.run_survives",
        Critical,
        Quick,
        [Need::WebSocket, Need::Prompt("slow"), Need::Shared, Need::Field("run")],
        "disconnect_cancels_run",
        "A run goes on when the connection that asked for it is lost.",
        resend::run_survives
    ),
    check!(
        "resume.resent_request",
        Critical,
        Quick,
        [
            Need::WebSocket,
            Need::Agent,
            Need::Resume,
            Need::Event(crate::profile::Kind::Accepted),
            Need::Field("request"),
            Need::Field("run")
        ],
        "resent_request_runs_twice",
        "A request that is sent again under its id, because its answer was lost, is carried out once.",
        resend::resent_request
    ),
];
