//! What must not take long, or make others wait. Orders of events where they tell it; times as medians, side by side
//! with those of the same server under the same load where that can be.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod independence;
mod times;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "performance.started",
        Minor,
        Alone,
        [Need::Agent, Need::Event(Kind::Started), Need::Timing("started_ms")],
        "started_late",
        "A run's beginning is told soon after it was asked for.",
        times::started
    ),
    check!(
        "performance.not_one_at_a_time",
        Major,
        Alone,
        [Need::Agent, Need::Message("ping"), Need::Event(Kind::Completed)],
        "one_at_a_time",
        "A connection whose agent is at work answers all the same.",
        independence::not_one_at_a_time
    ),
    check!(
        "performance.nodelay",
        Minor,
        Alone,
        [Need::PlainWebSocket, Need::Tool, Need::Event(Kind::Completed)],
        "nagle_left_on",
        "Small frames do not wait for the acknowledgement of those before.",
        times::nodelay
    ),
    check!(
        "performance.slow_reader",
        Major,
        Alone,
        [Need::PlainWebSocket, Need::TwoUsers, Need::Agent, Need::Event(Kind::Completed)],
        "slow_reader_slows_all",
        "A client that does not read slows nobody else.",
        independence::slow_reader
    ),
    check!(
        "performance.streamed",
        Major,
        Alone,
        [Need::Prompt("slow"), Need::Event(Kind::Delta), Need::Event(Kind::Completed)],
        "pieces_held_back",
        "The pieces of an answer come as they are made, not all at its end.",
        times::streamed
    ),
];
