//! What happens at the same instant: each check repeats it at offsets that chance picks, and holds what must be true of
//! the history however it fell. No time is judged.

mod connections;
mod requests;
mod segment;

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "race.simultaneous_connects",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent],
        "registration_lost",
        "Connections that open at the same instant all get their user's events.",
        connections::simultaneous
    ),
    check!(
        "race.rapid_reconnects",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent],
        "late_unregister",
        "The end of an old connection takes nothing from the new one.",
        connections::rapid
    ),
    check!(
        "race.close_and_append",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Seq, Need::Resume, Need::Shared],
        "close_loses_append",
        "What happens as a connection closes comes with its resume.",
        connections::close_and_append
    ),
    check!(
        "race.renewal",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Agent, Need::Message("authenticate")],
        "renewal_drops_message",
        "A message beside a renewal of the token is carried out.",
        requests::renewal
    ),
    check!(
        "race.first_frame",
        Major,
        Quick,
        [Need::PlainWebSocket, Need::EarlyFrames],
        "first_frame_lost",
        "A frame that comes in one piece with the handshake is carried out or refused, and never lost.",
        segment::first_frame
    ),
    check!(
        "race.cancel_and_end",
        Critical,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Message("cancel"), Need::Field("run")],
        "cancel_ends_twice",
        "A run that is cancelled as it ends has one end.",
        requests::cancel_and_end
    ),
    check!(
        "race.one_request",
        Critical,
        Quick,
        [
            Need::WebSocket,
            Need::Agent,
            Need::Resume,
            Need::Event(Kind::Accepted),
            Need::Field("request"),
            Need::Field("run")
        ],
        "request_race",
        "Two devices that send one request at the same instant get one run.",
        requests::one_request
    ),
    check!(
        "race.one_approval",
        Critical,
        Quick,
        [Need::WebSocket, Need::Prompt("approval"), Need::Message("approve"), Need::Shared],
        "approval_twice",
        "Of two answers to one approval at the same instant one counts.",
        requests::one_approval
    ),
];
