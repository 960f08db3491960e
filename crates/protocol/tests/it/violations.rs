//! Each rule of a run, broken once.

use serde_json::json;
use wireproof_protocol::{EventBody::*, *};

use crate::{legal_runs::legal_run, rules::numbered, rules_restated::is_a_whole_run, samples::uuid};

fn tool(number: u8) -> ToolCallId {
    ToolCallId::from_bytes(uuid(6, number))
}

fn approval() -> ApprovalId {
    ApprovalId::from_bytes(uuid(7, 1))
}

fn answer(number: u8) -> MessageId {
    MessageId::from_bytes(uuid(2, number))
}

fn started() -> EventBody {
    AgentStarted { message: "Working on it.".to_owned() }
}

fn status(status: &str) -> EventBody {
    StatusUpdate(wireproof_protocol::StatusUpdate { status: status.to_owned(), detail: None })
}

fn thinking(reasoning: &str, step_number: u32) -> EventBody {
    AgentThinking { reasoning: reasoning.to_owned(), step_number }
}

fn says(number: u8, delta: &str) -> EventBody {
    MessageDelta { message_id: answer(number), delta: delta.to_owned() }
}

fn arguments() -> EventBody {
    ToolArgumentsDelta(wireproof_protocol::ToolArgumentsDelta {
        tool_call_id: tool(1),
        delta: "{}".to_owned(),
    })
}

fn executing() -> EventBody {
    ToolExecuting(wireproof_protocol::ToolExecuting {
        tool_call_id: tool(1),
        tool_name: "calculate".to_owned(),
        parameters: json!({}),
    })
}

fn completed(tool_name: &str, result: bool, error: bool) -> EventBody {
    ToolCompleted(wireproof_protocol::ToolCompleted {
        tool_call_id: tool(1),
        tool_name: tool_name.to_owned(),
        result: result.then(|| json!(391)),
        error: error.then(|| ToolError { code: "bad".to_owned(), message: "It is bad.".to_owned() }),
        duration_ms: 1.0,
    })
}

fn asks() -> EventBody {
    ApprovalRequested { approval_id: approval(), tool_call_id: tool(1), schema: json!({}), expires_at: 1.0 }
}

fn answers() -> EventBody {
    ApprovalResolved { approval_id: approval(), tool_call_id: tool(1), decision: Decision::Denied }
}

fn ends(outcome: Outcome, message: Option<u8>, response: Option<&str>, error: bool) -> EventBody {
    AgentCompleted {
        outcome,
        message_id: message.map(answer),
        final_response: response.map(str::to_owned),
        error: error.then(|| RunError { code: "agent_failed".to_owned(), message: "It failed.".to_owned() }),
        usage: Usage::default(),
        duration_ms: 1.0,
    }
}

fn succeeds() -> EventBody {
    ends(Outcome::Success, Some(1), Some("391"), false)
}

/// Sequences whose last event is refused, with why.
fn broken() -> Vec<(Vec<EventBody>, RunViolation)> {
    let good = || completed("calculate", true, false);
    let title = || "Sums".to_owned();
    let incomplete = |end| (vec![started(), end], RunViolation::OutcomeFields);
    let stranger = |body: EventBody| {
        let name = body.name();
        (vec![started(), body], RunViolation::NotOfARun(name))
    };
    vec![
        (vec![thinking("So.", 1)], RunViolation::BeforeStart("agent_thinking")),
        (vec![status("retrying")], RunViolation::BeforeStart("status_update")),
        (vec![status("queued"), executing()], RunViolation::BeforeStart("tool_executing")),
        (vec![ends(Outcome::Cancelled, None, None, false)], RunViolation::BeforeStart("agent_completed")),
        (vec![started(), started()], RunViolation::StartedTwice),
        (vec![started(), succeeds(), succeeds()], RunViolation::AfterEnd("agent_completed")),
        (vec![started(), succeeds(), status("queued")], RunViolation::AfterEnd("status_update")),
        (vec![started(), thinking("", 1)], RunViolation::EmptyReasoning),
        (vec![started(), thinking(" \n\u{a0}", 1)], RunViolation::EmptyReasoning),
        (vec![started(), thinking("So.", 0)], RunViolation::StepNumber { expected: 1, found: 0 }),
        (
            vec![started(), thinking("So.", 1), thinking("And.", 3)],
            RunViolation::StepNumber { expected: 2, found: 3 },
        ),
        (vec![started(), executing(), executing()], RunViolation::ToolTwice(tool(1))),
        (vec![started(), executing(), good(), executing()], RunViolation::ToolTwice(tool(1))),
        (vec![started(), good()], RunViolation::ToolNotOpen(tool(1))),
        (vec![started(), executing(), good(), good()], RunViolation::ToolNotOpen(tool(1))),
        (vec![started(), executing(), completed("search", true, false)], RunViolation::ToolName(tool(1))),
        (
            vec![started(), executing(), completed("calculate", false, false)],
            RunViolation::ToolResult(tool(1)),
        ),
        (vec![started(), executing(), completed("calculate", true, true)], RunViolation::ToolResult(tool(1))),
        (vec![started(), arguments(), executing(), arguments()], RunViolation::LateArguments(tool(1))),
        (vec![started(), executing(), good(), arguments()], RunViolation::LateArguments(tool(1))),
        (vec![started(), executing(), succeeds()], RunViolation::OpenTools(1)),
        (vec![started(), asks(), succeeds()], RunViolation::OpenApprovals(1)),
        (vec![started(), asks(), asks()], RunViolation::Approval(approval())),
        (vec![started(), asks(), answers(), asks()], RunViolation::Approval(approval())),
        (vec![started(), answers()], RunViolation::Approval(approval())),
        (vec![started(), asks(), answers(), answers()], RunViolation::Approval(approval())),
        (vec![started(), says(1, "3"), says(2, "91")], RunViolation::TwoAnswers),
        (vec![started(), says(2, "391"), succeeds()], RunViolation::TwoAnswers),
        (vec![started(), says(1, "39"), succeeds()], RunViolation::FinalResponse),
        incomplete(ends(Outcome::Success, None, Some("391"), false)),
        incomplete(ends(Outcome::Success, Some(1), None, false)),
        incomplete(ends(Outcome::Success, Some(1), Some("391"), true)),
        incomplete(ends(Outcome::Failed, None, None, false)),
        incomplete(ends(Outcome::Failed, Some(1), Some("391"), true)),
        incomplete(ends(Outcome::Cancelled, Some(1), Some("391"), false)),
        stranger(ThreadCreated { title: title(), metadata: Default::default() }),
        stranger(ThreadUpdated { title: title(), metadata: Default::default() }),
        stranger(ThreadDeleted { title: title(), metadata: Default::default() }),
        stranger(MessageCreated { message_id: answer(3), role: Role::User, content: "Hi".to_owned() }),
    ]
}

fn number_of(violation: &RunViolation) -> usize {
    match violation {
        RunViolation::BeforeStart(_) => 0,
        RunViolation::StartedTwice => 1,
        RunViolation::AfterEnd(_) => 2,
        RunViolation::EmptyReasoning => 3,
        RunViolation::StepNumber { .. } => 4,
        RunViolation::ToolTwice(_) => 5,
        RunViolation::ToolNotOpen(_) => 6,
        RunViolation::ToolName(_) => 7,
        RunViolation::ToolResult(_) => 8,
        RunViolation::LateArguments(_) => 9,
        RunViolation::OpenTools(_) => 10,
        RunViolation::OpenApprovals(_) => 11,
        RunViolation::Approval(_) => 12,
        RunViolation::TwoAnswers => 13,
        RunViolation::FinalResponse => 14,
        RunViolation::OutcomeFields => 15,
        RunViolation::NotOfARun(_) => 16,
        RunViolation::RunSeq { .. } | RunViolation::Range(_) => panic!("has a test of its own: {violation}"),
    }
}

#[test]
fn each_rule_refuses_what_breaks_it_and_only_that() {
    let mut seen = [false; 17];
    for (bodies, violation) in broken() {
        seen[number_of(&violation)] = true;
        let events = numbered(bodies);
        let mut rules = RunRules::new();
        let (last, before) = events.split_last().unwrap();
        for (first, run_seq, body) in before {
            assert_eq!(rules.apply(*first, *run_seq, body), Ok(()), "before {violation}");
        }
        assert_eq!(rules.apply(last.0, last.1, &last.2), Err(violation));
        assert!(!is_a_whole_run(&events));
    }
    assert_eq!(seen, [true; 17]);
}

#[test]
fn numbers_follow_each_other() {
    let delta = || says(1, "39");
    let rows = [
        (None, 3, delta(), Err(RunViolation::RunSeq { expected: 2, found: 3 })),
        (None, 1, delta(), Err(RunViolation::RunSeq { expected: 2, found: 1 })),
        (None, 0, delta(), Err(RunViolation::RunSeq { expected: 2, found: 0 })),
        (Some(3), 4, delta(), Err(RunViolation::RunSeq { expected: 2, found: 3 })),
        (Some(2), 1, delta(), Err(RunViolation::RunSeq { expected: 2, found: 2 })),
        (Some(2), 7, delta(), Ok(())),
        (Some(2), 2, delta(), Ok(())),
        (None, 2, delta(), Ok(())),
    ];
    for (first, run_seq, body, expected) in rows {
        let mut rules = RunRules::new();
        rules.apply(None, 1, &started()).unwrap();
        assert_eq!(rules.apply(first, run_seq, &body), expected, "{first:?} {run_seq}");
    }
}

/// Bug: any event could carry a range, which explained missing events away.
#[test]
fn only_deltas_carry_a_range() {
    let mut rules = RunRules::new();
    rules.apply(None, 1, &started()).unwrap();
    assert_eq!(rules.apply(Some(2), 9, &executing()), Err(RunViolation::Range("tool_executing")));
    assert_eq!(rules.apply(Some(2), 9, &succeeds()), Err(RunViolation::Range("agent_completed")));
}

#[test]
fn a_run_joined_midway_is_judged_by_what_was_seen() {
    let midway = |body: &EventBody| {
        let mut rules = RunRules::midway(7);
        rules.apply(None, 7, body).map(|()| rules)
    };
    for body in
        [thinking("So.", 4), completed("calculate", true, false), answers(), succeeds(), status("queued")]
    {
        assert!(midway(&body).is_ok(), "{body:?}");
    }
    assert_eq!(midway(&succeeds()).unwrap().outcome(), Some(Outcome::Success));
    let mut rules = midway(&executing()).unwrap();
    assert_eq!(rules.apply(None, 8, &executing()), Err(RunViolation::ToolTwice(tool(1))));
    assert_eq!(rules.apply(None, 8, &succeeds()), Err(RunViolation::OpenTools(1)));
    assert_eq!(rules.apply(None, 8, &thinking("", 4)), Err(RunViolation::EmptyReasoning));
}

proptest::proptest! {
    #[test]
    fn the_rest_of_a_legal_run_is_legal_from_any_place(bodies in legal_run(1), at: proptest::sample::Index) {
        let events = numbered(bodies);
        let rest = &events[at.index(events.len())..];
        let mut rules = RunRules::midway(rest[0].1);
        for (first, run_seq, body) in rest {
            rules.apply(*first, *run_seq, body).unwrap();
        }
        proptest::prop_assert!(rules.outcome().is_some());
    }
}
