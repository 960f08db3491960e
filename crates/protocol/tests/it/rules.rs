//! The rules of a run against their second telling, over legal runs and over runs with something wrong.

use std::{collections::BTreeSet, mem::discriminant};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;
use wireproof_protocol::*;

use crate::{
    legal_runs::legal_run,
    rules_restated::{Numbered, is_a_whole_run},
    samples::uuid,
};

pub fn numbered(bodies: Vec<EventBody>) -> Vec<Numbered> {
    (1..).zip(bodies).map(|(run_seq, body)| (None, run_seq, body)).collect()
}

fn feed(events: &[Numbered]) -> Result<RunRules, RunViolation> {
    let mut rules = RunRules::new();
    for (first, run_seq, body) in events {
        rules.apply(*first, *run_seq, body)?;
    }
    Ok(rules)
}

#[derive(Debug, Clone)]
enum Harm {
    Drop,
    Repeat,
    Swap(prop::sample::Index),
    Edit(u8),
    Number(i8),
    Range(u8),
    Insert(EventBody),
}

type Harms = (Vec<(Harm, prop::sample::Index)>, bool);

/// Up to two things wrong at some places, and whether the numbers are put right after them.
fn harms() -> impl Strategy<Value = Harms> {
    let strangers = vec![
        EventBody::ThreadDeleted { title: "Sums".to_owned(), metadata: Default::default() },
        EventBody::AgentStarted { message: "Again.".to_owned() },
        EventBody::StatusUpdate(StatusUpdate { status: "queued".to_owned(), detail: None }),
        EventBody::ToolArgumentsDelta(ToolArgumentsDelta {
            tool_call_id: ToolCallId::from_bytes(uuid(6, 32)),
            delta: "x".to_owned(),
        }),
        EventBody::MessageDelta { message_id: MessageId::from_bytes(uuid(2, 99)), delta: "x".to_owned() },
    ];
    let harm = prop_oneof![
        3 => Just(Harm::Drop),
        3 => Just(Harm::Repeat),
        4 => any::<prop::sample::Index>().prop_map(Harm::Swap),
        8 => any::<u8>().prop_map(Harm::Edit),
        1 => (-2_i8..3).prop_map(Harm::Number),
        1 => (0_u8..3).prop_map(Harm::Range),
        3 => prop::sample::select(strangers).prop_map(Harm::Insert),
    ];
    (prop::collection::vec((harm, any::<prop::sample::Index>()), 0..3), prop::bool::weighted(0.8))
}

fn harmed(bodies: Vec<EventBody>, (harms, renumber): &Harms) -> Vec<Numbered> {
    let mut events = numbered(bodies);
    for (harm, at) in harms {
        if events.is_empty() {
            break;
        }
        let at = at.index(events.len());
        match harm {
            Harm::Drop => drop(events.remove(at)),
            Harm::Repeat => events.insert(at, events[at].clone()),
            Harm::Swap(with) => {
                let with = with.index(events.len());
                events.swap(at, with);
            }
            Harm::Edit(how) => edit(&mut events[at].2, *how),
            Harm::Number(by) => events[at].1 = events[at].1.saturating_add_signed(i64::from(*by)),
            Harm::Range(more) => events[at].0 = events[at].1.checked_sub(u64::from(*more)),
            Harm::Insert(body) => events.insert(at, (None, 0, body.clone())),
        }
    }
    if *renumber {
        (1..).zip(&mut events).for_each(|(run_seq, event)| event.1 = run_seq);
    }
    events
}

fn edit(body: &mut EventBody, how: u8) {
    use EventBody::*;
    let first = how.is_multiple_of(2);
    let tool_call_id = ToolCallId::from_bytes(uuid(6, 32 + how % 4));
    match body {
        AgentThinking { reasoning, .. } if first => *reasoning = " \n".to_owned(),
        AgentThinking { step_number, .. } => *step_number += 1,
        MessageDelta { delta, .. } if first => delta.push('!'),
        ThinkingDelta { message_id, .. } | MessageDelta { message_id, .. } => {
            *message_id = MessageId::from_bytes(uuid(2, 98));
        }
        ToolArgumentsDelta(piece) if first => piece.tool_call_id = tool_call_id,
        ToolExecuting(call) if first => call.tool_call_id = tool_call_id,
        ToolCompleted(call) if first => call.tool_call_id = tool_call_id,
        ToolExecuting(call) => call.tool_name.push('s'),
        ToolCompleted(call) => {
            call.result = (how % 4 == 1).then(|| json!(1));
            call.error = (how % 8 == 1).then(|| ToolError::new("c", "m"));
        }
        ApprovalRequested { approval_id, .. } | ApprovalResolved { approval_id, .. } => {
            *approval_id = ApprovalId::from_bytes(uuid(7, 32 + how % 3));
        }
        StatusUpdate(update) => update.status = "retrying".to_owned(),
        AgentCompleted { outcome, message_id, final_response, error, .. } => match how % 5 {
            0 => *outcome = Outcome::Success,
            1 => *outcome = Outcome::Failed,
            2 => *final_response = final_response.is_none().then(String::new),
            3 => *error = None,
            _ => *message_id = Some(MessageId::from_bytes(uuid(2, 97))),
        },
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_walk_is_legal_in_both_tellings(bodies in legal_run(1)) {
        let outcome = match bodies.last() {
            Some(EventBody::AgentCompleted { outcome, .. }) => Some(*outcome),
            _ => None,
        };
        let events = numbered(bodies);
        prop_assert!(is_a_whole_run(&events));
        let rules = feed(&events).unwrap();
        prop_assert_eq!(rules.outcome(), outcome);
        prop_assert_eq!(rules.run_seq(), events.len() as u64);
        prop_assert!(rules.open_tools().next().is_none() && rules.open_approvals().next().is_none());
    }

    #[test]
    fn a_harmed_run_is_judged_alike_by_both_tellings(bodies in legal_run(1), harms in harms()) {
        let events = harmed(bodies, &harms);
        let accepted = feed(&events).is_ok_and(|rules| rules.outcome().is_some());
        prop_assert_eq!(accepted, is_a_whole_run(&events), "{:?}", feed(&events));
    }

    #[test]
    fn a_refused_event_changes_nothing(bodies in legal_run(1), harms in harms()) {
        let mut rules = RunRules::new();
        for (first, run_seq, body) in harmed(bodies, &harms) {
            let before = rules.clone();
            if rules.apply(first, run_seq, &body).is_err() {
                prop_assert_eq!(&rules, &before);
            }
        }
    }

    #[test]
    fn nothing_follows_the_end(bodies in legal_run(1), more in legal_run(2)) {
        let events = numbered(bodies);
        let rules = feed(&events).unwrap();
        for body in more {
            let refused = rules.clone().apply(None, events.len() as u64 + 1, &body);
            prop_assert_eq!(refused, Err(RunViolation::AfterEnd(body.name())));
        }
    }
}

/// The two tests above prove nothing if nearly all harmed runs are accepted, or nearly none.
#[test]
fn harmed_runs_are_often_accepted_and_often_refused() {
    let mut runner = TestRunner::deterministic();
    let strategy = (legal_run(1), harms());
    let (mut accepted, mut violations) = (0, BTreeSet::new());
    for _ in 0..1_000 {
        let (bodies, harms) = strategy.new_tree(&mut runner).unwrap().current();
        match feed(&harmed(bodies, &harms)) {
            Ok(_) => accepted += 1,
            Err(violation) => drop(violations.insert(format!("{:?}", discriminant(&violation)))),
        }
    }
    assert!((250..750).contains(&accepted), "{accepted} of 1000 accepted");
    assert!(violations.len() >= 14, "only {} kinds of violation: {violations:?}", violations.len());
}
