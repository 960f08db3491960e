//! That users have nothing of each other: neither events nor threads nor runs nor positions nor what errors tell.

mod delivered;
mod foreign;
mod request_ids;

use super::check;
use crate::check::{Check, Need};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "isolation.live",
        Critical,
        Quick,
        [Need::TwoUsers, Need::Agent],
        "leak_to_another_user",
        "Users who work at the same time get nothing of each other.",
        delivered::live
    ),
    check!(
        "isolation.reconnect",
        Critical,
        Quick,
        [Need::WebSocket, Need::TwoUsers, Need::Agent, Need::Resume],
        "leak_on_reconnect",
        "A user who resumes as another one leaves gets nothing of the other.",
        delivered::reconnect
    ),
    check!(
        "isolation.own_log",
        Critical,
        Quick,
        [Need::WebSocket, Need::TwoUsers, Need::Agent, Need::Seq, Need::Resume],
        "one_shared_log",
        "Every user has a log of their own: from its beginning it has nothing of another, and what others do leaves no gap in it.",
        delivered::own_log
    ),
    check!(
        "isolation.foreign_thread",
        Critical,
        Quick,
        [Need::TwoUsers, Need::Agent, Need::Field("thread")],
        "foreign_thread_served",
        "A thread is shown to its user alone, to nobody who knows its name.",
        foreign::thread
    ),
    check!(
        "isolation.foreign_write",
        Critical,
        Quick,
        [Need::TwoUsers, Need::Agent, Need::Field("thread"), Need::Message("ask_in")],
        "foreign_thread_written",
        "Nobody can put a message into another user's thread.",
        foreign::write
    ),
    check!(
        "isolation.foreign_cancel",
        Critical,
        Quick,
        [
            Need::WebSocket,
            Need::TwoUsers,
            Need::Prompt("slow"),
            Need::Field("run"),
            Need::Field("outcome"),
            Need::Message("cancel")
        ],
        "foreign_run_cancelled",
        "Nobody can cancel another user's run.",
        foreign::cancel
    ),
    check!(
        "isolation.foreign_position",
        Critical,
        Quick,
        [Need::WebSocket, Need::TwoUsers, Need::Agent, Need::Seq, Need::Resume],
        "foreign_position_served",
        "A position in another user's log brings nothing of that log.",
        foreign::position
    ),
    check!(
        "isolation.request_ids",
        Critical,
        Quick,
        [Need::WebSocket, Need::TwoUsers, Need::Agent, Need::Field("request"), Need::Field("run")],
        "request_id_not_scoped",
        "Two users may use the same request id: each gets a run of their own.",
        request_ids::request_ids
    ),
    check!(
        "isolation.error_text",
        Critical,
        Quick,
        [Need::WebSocket, Need::TwoUsers, Need::Agent],
        "prompt_in_error_text",
        "An error tells nothing of another user.",
        request_ids::error_text
    ),
];
