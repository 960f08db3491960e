//! The rules of a run told a second time, over the whole sequence at once and without a state machine.

use std::collections::BTreeMap;

use wireproof_protocol::{
    ApprovalId, EventBody, MessageId, Outcome, ToolArgumentsDelta, ToolCallId, ToolCompleted, ToolExecuting,
};

/// An event with its numbers: the first of a merged range, and its own.
pub type Numbered = (Option<u64>, u64, EventBody);

/// True when the events are one whole run and break no rule.
pub fn is_a_whole_run(events: &[Numbered]) -> bool {
    use EventBody::*;
    let bodies: Vec<&EventBody> = events.iter().map(|(_, _, body)| body).collect();
    let places = |wanted: fn(&EventBody) -> bool| -> Vec<usize> {
        (0..bodies.len()).filter(|place| wanted(bodies[*place])).collect()
    };

    let [started] = places(|body| matches!(body, AgentStarted { .. }))[..] else { return false };
    let [completed] = places(|body| matches!(body, AgentCompleted { .. }))[..] else { return false };
    let queued = |body: &&EventBody| matches!(body, StatusUpdate(update) if update.status == "queued");
    let thoughts = bodies.iter().filter_map(|body| match body {
        AgentThinking { reasoning, step_number } => Some((!reasoning.trim().is_empty(), *step_number)),
        _ => None,
    });

    completed == bodies.len() - 1
        && bodies[..started].iter().all(queued)
        && bodies.iter().all(|body| body.is_of_a_run())
        && thoughts.zip(1..).all(|((says_something, step), due)| says_something && step == due)
        && numbers_are_gapless(events)
        && tools_are_whole(&bodies)
        && approvals_are_whole(&bodies)
        && answer_is_one(&bodies)
        && end_has_its_fields(&bodies)
}

fn numbers_are_gapless(events: &[Numbered]) -> bool {
    let ranges = events.iter().map(|(first, last, _)| (first.unwrap_or(*last), *last));
    let ends = ranges.clone().map(|(_, last)| last);
    let starts_meet_ends =
        std::iter::once(0).chain(ends).zip(ranges.clone()).all(|(end, (first, _))| first == end + 1);
    let only_deltas_merge = events.iter().all(|(first, _, body)| first.is_none() || body.delta().is_some());
    starts_meet_ends && ranges.clone().all(|(first, last)| first <= last) && only_deltas_merge
}

fn tools_are_whole(bodies: &[&EventBody]) -> bool {
    let mut calls: BTreeMap<ToolCallId, Vec<(&str, &EventBody)>> = BTreeMap::new();
    for body in bodies {
        match body {
            EventBody::ToolArgumentsDelta(ToolArgumentsDelta { tool_call_id, .. }) => {
                calls.entry(*tool_call_id).or_default().push(("prepare", body));
            }
            EventBody::ToolExecuting(ToolExecuting { tool_call_id, tool_name, .. }) => {
                calls.entry(*tool_call_id).or_default().push((tool_name, body));
            }
            EventBody::ToolCompleted(ToolCompleted { tool_call_id, tool_name, .. }) => {
                calls.entry(*tool_call_id).or_default().push((tool_name, body));
            }
            _ => {}
        }
    }
    calls.values().all(|call| {
        let prepared =
            call.iter().take_while(|(_, body)| matches!(body, EventBody::ToolArgumentsDelta { .. })).count();
        match call[prepared..] {
            [] => true,
            [
                (began, EventBody::ToolExecuting { .. }),
                (ended, EventBody::ToolCompleted(ToolCompleted { result, error, .. })),
            ] => began == ended && (result.is_some() != error.is_some()),
            _ => false,
        }
    })
}

fn approvals_are_whole(bodies: &[&EventBody]) -> bool {
    let mut questions: BTreeMap<ApprovalId, Vec<bool>> = BTreeMap::new();
    for body in bodies {
        match body {
            EventBody::ApprovalRequested { approval_id, .. } => {
                questions.entry(*approval_id).or_default().push(true);
            }
            EventBody::ApprovalResolved { approval_id, .. } => {
                questions.entry(*approval_id).or_default().push(false);
            }
            _ => {}
        }
    }
    questions.values().all(|asked_then_answered| asked_then_answered[..] == [true, false])
}

fn answer_is_one(bodies: &[&EventBody]) -> bool {
    let mut ids: Vec<MessageId> = bodies
        .iter()
        .filter_map(|body| match body {
            EventBody::ThinkingDelta { message_id, .. } | EventBody::MessageDelta { message_id, .. } => {
                Some(*message_id)
            }
            EventBody::AgentCompleted { message_id, .. } => *message_id,
            _ => None,
        })
        .collect();
    ids.dedup();
    ids.len() <= 1
}

fn end_has_its_fields(bodies: &[&EventBody]) -> bool {
    let Some(EventBody::AgentCompleted { outcome, message_id, final_response, error, .. }) = bodies.last()
    else {
        return false;
    };
    let said: String = bodies
        .iter()
        .filter_map(|body| match body {
            EventBody::MessageDelta { delta, .. } => Some(delta.as_str()),
            _ => None,
        })
        .collect();
    match (outcome, message_id, final_response, error) {
        (Outcome::Success, Some(_), Some(response), None) => said.is_empty() || *response == said,
        (Outcome::Failed, _, None, Some(_)) | (Outcome::Cancelled, _, None, _) => true,
        _ => false,
    }
}
