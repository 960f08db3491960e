//! In which order events come: those of a run by the profile's rules, those of a user by their numbers.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod numbers;
mod runs;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "order.started_first",
        Major,
        Quick,
        [Need::Agent, Need::Event(Kind::Started)],
        "thinking_before_started",
        "A run's beginning is the first that is told of it.",
        runs::started_first
    ),
    check!(
        "order.completed_last",
        Critical,
        Quick,
        [Need::Agent, Need::Event(Kind::Completed)],
        "terminal_before_last_tool",
        "A run's end is the last that is told of it, and every tool of it has ended by then.",
        runs::completed_last
    ),
    check!(
        "order.tool_order",
        Critical,
        Quick,
        [Need::Tool, Need::Event(Kind::ToolStarted), Need::Event(Kind::ToolCompleted)],
        "tool_completed_first",
        "A tool is told to have started before it is told to have ended.",
        runs::tool_order
    ),
    check!(
        "order.gapless",
        Critical,
        Quick,
        [Need::Agent, Need::Seq],
        "lost_event",
        "A connection gets every event of its user: no number is missing.",
        numbers::gapless
    ),
    check!(
        "order.increasing",
        Critical,
        Quick,
        [Need::Agent, Need::Seq],
        "neighbours_swapped",
        "Events come in the order of their numbers.",
        numbers::increasing
    ),
    check!(
        "order.once",
        Critical,
        Quick,
        [Need::Agent, Need::Seq],
        "event_doubled",
        "An event comes once on a connection.",
        numbers::once
    ),
    check!(
        "order.run_seq",
        Major,
        Quick,
        [Need::Agent, Need::Field("run_seq")],
        "run_seq_repeats",
        "The events of a run are numbered without gap or repeat.",
        runs::run_seq
    ),
    check!(
        "order.devices_agree",
        Critical,
        Quick,
        [Need::Agent, Need::Seq, Need::Shared],
        "devices_diverge",
        "All connections of a user get the same under the same number.",
        numbers::devices_agree
    ),
    check!(
        "order.runs_apart",
        Critical,
        Quick,
        [Need::Tool, Need::Field("run")],
        "runs_mixed",
        "Runs of one user at the same time do not get into each other.",
        runs::runs_apart
    ),
];
