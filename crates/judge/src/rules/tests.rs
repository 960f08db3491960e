//! A legal run breaks nothing, and each way of spoiling one is named.

use proptest::prelude::*;

use super::*;

/// An event that a test can move about.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    kind: Kind,
    call: Option<String>,
    number: u64,
}

fn told(kind: Kind) -> Told {
    Told { kind, call: None, number: 0 }
}

fn tool(kind: Kind, call: usize) -> Told {
    Told { kind, call: Some(format!("t{call}")), number: 0 }
}

fn numbered(mut run: Vec<Told>) -> Vec<Told> {
    (1..).zip(&mut run).for_each(|(number, event)| event.number = number);
    run
}

fn judged(run: &[Told]) -> Vec<OrderViolation> {
    let event = |told: &'_ Told| (told.kind, told.call.clone(), told.number);
    let events: Vec<_> = run.iter().map(event).collect();
    violations(
        &Order::default(),
        events.iter().map(|(kind, call, number)| RunEvent {
            kind: *kind,
            name: "event",
            call: call.as_deref(),
            numbers: Some((*number, *number)),
        }),
    )
}

fn edges(run: &[Told]) -> Vec<&'static str> {
    judged(run).iter().map(|violation| violation.rule.edge()).collect()
}

/// A legal run with at least one tool: the steps say what comes next.
fn legal() -> impl Strategy<Value = Vec<Told>> {
    (any::<bool>(), prop::collection::vec((0..5u8, any::<prop::sample::Index>()), 0..40)).prop_map(
        |(queued, steps)| {
            let mut run = if queued { vec![told(Kind::BeforeStart)] } else { Vec::new() };
            run.push(told(Kind::Started));
            let (mut next, mut open) = (1, vec![0]);
            run.push(tool(Kind::ToolStarted, 0));
            for (step, which) in steps {
                match step {
                    0 => run.push(told(Kind::Thinking)),
                    1 => run.push(told(Kind::Delta)),
                    2 => run.push(told(Kind::Other)),
                    3 => {
                        run.push(tool(Kind::ToolStarted, next));
                        open.push(next);
                        next += 1;
                    }
                    _ if open.is_empty() => {}
                    _ => run.push(tool(Kind::ToolCompleted, open.swap_remove(which.index(open.len())))),
                }
            }
            run.extend(open.into_iter().map(|call| tool(Kind::ToolCompleted, call)));
            run.push(told(Kind::Completed));
            numbered(run)
        },
    )
}

fn place(run: &[Told], fits: impl Fn(&Told) -> bool) -> usize {
    run.iter().position(fits).unwrap()
}

/// A way of spoiling a run, and an edge that must be named then.
type Spoil = (&'static str, fn(Vec<Told>) -> Vec<Told>, &'static str);

const SPOILS: &[Spoil] = &[
    (
        "something before the start",
        |run| {
            spoiled(run, |run| {
                let at = place(run, |event| event.kind == Kind::Started);
                run.swap(at, at + 1);
            })
        },
        "started < *",
    ),
    ("no start", |run| spoiled(run, |run| run.retain(|event| event.kind != Kind::Started)), "started < *"),
    (
        "two starts",
        |run| {
            spoiled(run, |run| {
                let at = run.len() - 1;
                run.insert(at, told(Kind::Started));
            })
        },
        "started once",
    ),
    ("something after the end", |run| spoiled(run, |run| run.push(told(Kind::Delta))), "* < completed"),
    ("two ends", |run| spoiled(run, |run| run.push(told(Kind::Completed))), "completed once"),
    ("no end", |run| spoiled(run, |run| drop(run.pop())), "completed once"),
    (
        "a tool without its end",
        |run| {
            spoiled(run, |run| {
                let at = place(run, |event| event.kind == Kind::ToolCompleted);
                run.remove(at);
            })
        },
        "tool_completed(call) < completed",
    ),
    (
        "a tool that ends after its run",
        |run| {
            spoiled(run, |run| {
                let at = place(run, |event| event.kind == Kind::ToolCompleted);
                let event = run.remove(at);
                run.push(event);
            })
        },
        "* < completed",
    ),
    (
        "a tool that ends first",
        |run| {
            spoiled(run, |run| {
                let ends = place(run, |event| event.kind == Kind::ToolCompleted);
                let starts =
                    place(run, |event| event.kind == Kind::ToolStarted && event.call == run[ends].call);
                run.swap(starts, ends);
            })
        },
        "tool_started(call) < tool_completed(call)",
    ),
    (
        "a tool that ends twice",
        |run| {
            spoiled(run, |run| {
                let at = place(run, |event| event.kind == Kind::ToolCompleted);
                run.insert(at, run[at].clone());
            })
        },
        "tool_started(call) < tool_completed(call)",
    ),
    (
        "a number twice",
        |mut run| {
            run[1].number = 1;
            run
        },
        "run_seq + 1",
    ),
    (
        "a number left out",
        |mut run| {
            run.iter_mut().skip(1).for_each(|event| event.number += 1);
            run
        },
        "run_seq + 1",
    ),
];

fn spoiled(mut run: Vec<Told>, spoil: impl Fn(&mut Vec<Told>)) -> Vec<Told> {
    spoil(&mut run);
    numbered(run)
}

proptest! {
    #[test]
    fn a_legal_run_breaks_nothing(run in legal()) {
        prop_assert_eq!(judged(&run), vec![]);
    }

    #[test]
    fn each_way_of_spoiling_a_run_is_named(run in legal(), which in any::<prop::sample::Index>()) {
        let (what, spoil, edge) = SPOILS[which.index(SPOILS.len())];
        let run = spoil(run);
        prop_assert!(edges(&run).contains(&edge), "{}: {:?} of {:?}", what, edges(&run), run);
    }

    /// Whoever comes in the middle of a run sees no violation in what is left of it.
    #[test]
    fn the_rest_of_a_legal_run_breaks_nothing(run in legal(), from in any::<prop::sample::Index>()) {
        let mut order = RunOrder::midway();
        for event in &run[from.index(run.len())..] {
            let (call, numbers) = (event.call.as_deref(), Some((event.number, event.number)));
            let found = order.take(&Order::default(), RunEvent { kind: event.kind, name: "event", call, numbers });
            prop_assert_eq!(found, vec![]);
        }
        prop_assert_eq!(order.finish(), None);
    }
}

#[test]
fn the_violated_edge_stands_in_the_sentence() {
    let run = numbered(vec![told(Kind::Started), tool(Kind::ToolStarted, 7), told(Kind::Completed)]);
    let found = judged(&run);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "event while the tool call \"t7\" has not ended (tool_completed(call) < completed)"
    );
}

#[test]
fn tools_without_ids_are_counted() {
    let nameless = |kind| Told { kind, call: None, number: 0 };
    let run = [
        Kind::Started,
        Kind::ToolStarted,
        Kind::ToolStarted,
        Kind::ToolCompleted,
        Kind::ToolCompleted,
        Kind::Completed,
    ];
    assert_eq!(judged(&numbered(run.map(nameless).to_vec())), vec![]);
    let run = [Kind::Started, Kind::ToolStarted, Kind::ToolStarted, Kind::ToolCompleted, Kind::Completed];
    assert_eq!(edges(&numbered(run.map(nameless).to_vec())), ["tool_completed(call) < completed"]);
}

#[test]
fn a_profile_can_take_a_rule_back() {
    let order =
        Order { started_first: false, completed_last: false, tools_paired: false, ..Order::default() };
    let kinds = [Kind::Thinking, Kind::ToolCompleted, Kind::Started, Kind::Completed, Kind::Delta];
    let event = |kind| RunEvent { kind, name: "event", call: None, numbers: None };
    assert_eq!(violations(&order, kinds.map(event)), vec![]);
}

#[test]
fn what_is_required_and_absent_is_named() {
    let order = Order { required: vec![Kind::Started, Kind::Thinking, Kind::Completed], ..Order::default() };
    assert_eq!(missing(&order, [Kind::Started, Kind::Completed]), [Kind::Thinking]);
}

#[test]
fn what_a_profile_has_no_name_for_is_no_rule() {
    let profile = Profile::parse("p", "name = \"p\"\nabout = \"\"\n[events]\ncompleted = [\"end\"]").unwrap();
    let order = order_of(&profile);
    assert!(!order.started_first && !order.tools_paired && order.completed_last);
}
