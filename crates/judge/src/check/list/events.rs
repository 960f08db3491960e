//! What a run tells: all of its events, whole, of this run, and about what was asked.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod answers;
mod ends;
mod fields;
mod many;
mod persistence;
mod tools;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "events.critical",
        Critical,
        Quick,
        [Need::Tool],
        "thinking_dropped",
        "A run that uses a tool tells of every kind of event that users follow it by.",
        fields::critical
    ),
    check!(
        "events.run_named",
        Major,
        Quick,
        [Need::Tool, Need::Field("run")],
        "event_without_run",
        "Every event of a run says which run it is of.",
        fields::run_named
    ),
    check!(
        "events.required_fields",
        Major,
        Quick,
        [Need::Tool],
        "event_without_parameters",
        "Every event has the fields that its type must have.",
        fields::required_fields
    ),
    check!(
        "events.reasoning",
        Major,
        Quick,
        [Need::Tool, Need::Event(Kind::Thinking), Need::Field("reasoning")],
        "reasoning_empty",
        "The agent's thoughts come with their text.",
        fields::reasoning
    ),
    check!(
        "events.answer",
        Critical,
        Quick,
        [Need::Tool, Need::Prompt("tool_answer")],
        "canned_answer",
        "The answer is about what was asked.",
        answers::answer
    ),
    check!(
        "events.deltas_add_up",
        Major,
        Quick,
        [Need::Tool, Need::Event(Kind::Delta), Need::Field("delta"), Need::Field("answer")],
        "delta_lost",
        "The pieces of an answer, put together, are the answer.",
        answers::deltas_add_up
    ),
    check!(
        "events.tools_paired",
        Critical,
        Quick,
        [Need::Prompt("parallel"), Need::Event(Kind::ToolStarted), Need::Event(Kind::ToolCompleted)],
        "tool_never_completed",
        "Every tool that starts is told to have ended, once.",
        tools::paired
    ),
    check!(
        "events.tool_result",
        Major,
        Quick,
        [Need::Tool, Need::Event(Kind::ToolCompleted), Need::Field("result")],
        "tool_result_missing",
        "A tool's end says what came of it.",
        tools::result
    ),
    check!(
        "events.failed_tool",
        Major,
        Quick,
        [Need::Prompt("failing_tool"), Need::Event(Kind::ToolCompleted), Need::Field("tool_error")],
        "failed_tool_hidden",
        "A tool that failed is told to have failed, and its run still ends.",
        tools::failed
    ),
    check!(
        "events.one_end",
        Critical,
        Quick,
        [Need::Agent, Need::Event(Kind::Completed)],
        "terminal_twice",
        "A run ends once.",
        ends::one_end
    ),
    check!(
        "events.an_end",
        Critical,
        Quick,
        [Need::Agent, Need::Event(Kind::Completed)],
        "terminal_missing",
        "Every run ends, also when its tool fails.",
        ends::an_end
    ),
    check!(
        "events.request_answered",
        Major,
        Quick,
        [Need::Agent, Need::Field("request")],
        "request_id_not_echoed",
        "Each of several requests at once is answered under its own id, once.",
        answers::request_answered
    ),
    check!(
        "events.all_devices",
        Critical,
        Quick,
        [Need::Agent, Need::Shared, Need::Event(Kind::Completed)],
        "second_device_forgotten",
        "All connections of a user see the whole run that one of them asked for.",
        ends::all_devices
    ),
    check!(
        "events.unicode",
        Major,
        Quick,
        [Need::Agent],
        "non_ascii_mangled",
        "Text outside ASCII comes back as it was sent.",
        answers::unicode
    ),
    check!(
        "events.long_text",
        Major,
        Quick,
        [Need::Agent, Need::Limit("message_bytes")],
        "long_text_cut",
        "A message that is as long as allowed comes back whole.",
        persistence::long_text
    ),
    check!(
        "events.right_thread",
        Critical,
        Quick,
        [Need::Tool, Need::Message("ask_in"), Need::Field("thread"), Need::Field("run")],
        "wrong_thread",
        "An answer is told in the thread that it was asked in, whatever is asked elsewhere meanwhile.",
        persistence::right_thread
    ),
    check!(
        "events.kept",
        Critical,
        Quick,
        [Need::Tool, Need::Message("history"), Need::Field("thread"), Need::Field("request")],
        "answer_not_kept",
        "A question and its answer can be read again in their thread.",
        persistence::kept
    ),
    check!(
        "events.times",
        Minor,
        Quick,
        [Need::Agent, Need::Field("timestamp")],
        "time_goes_back",
        "The times of a run's events do not go back.",
        fields::times
    ),
    check!(
        "events.cancelled",
        Major,
        Quick,
        [Need::Prompt("slow"), Need::Message("cancel"), Need::Field("run"), Need::Event(Kind::Delta)],
        "cancel_ignored",
        "A run that is cancelled ends soon, and its tools with it.",
        many::cancelled
    ),
    check!(
        "events.every_question",
        Critical,
        Full,
        [Need::Tool, Need::Field("run")],
        "queue_forgotten",
        "Of many questions at once each is answered, those that have to wait included.",
        many::every_question
    ),
];
