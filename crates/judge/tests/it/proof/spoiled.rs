//! An honest history, and what becomes of it when somebody spoils it: the judge names the spoiling, and nothing else is
//! needed for it than the history.
#![allow(clippy::ptr_arg, reason = "all ways of spoiling have one signature, and some take ops out")]

use proptest::{prelude::*, sample::Index, strategy::ValueTree};
use wireproof_judge::{
    proof::{
        Invariant, Judgement, judge,
        synthetic::{Shape, honest, renumber},
    },
    record::{Action, Header, Op},
};

fn shape() -> impl Strategy<Value = Shape> {
    (2..5usize, 2..4usize, 1..4usize, prop_oneof![Just(0u32), Just(6), Just(20)])
        .prop_map(|(users, devices, runs, cut_one_in)| Shape { users, devices, runs, cut_one_in })
}

fn is_event(op: &Op) -> bool {
    op.f == Action::Recv && op.seq.is_some()
}

/// Where events stand, each with the next event on its connection.
fn neighbours(ops: &[Op]) -> Vec<(usize, usize)> {
    let follows =
        |at: usize| (at + 1..ops.len()).find(|next| ops[*next].conn == ops[at].conn && is_event(&ops[*next]));
    (0..ops.len()).filter(|at| is_event(&ops[*at])).filter_map(|at| Some((at, follows(at)?))).collect()
}

fn names(judgement: &Judgement) -> Vec<Invariant> {
    judgement.violations.iter().map(|violation| violation.invariant).collect()
}

/// Spoils a history at a place that chance picks; gives what must be named for it, nothing where there is no such place.
type Spoil = fn(&mut Vec<Op>, Index) -> Option<Vec<Invariant>>;

fn pick<T: Copy>(from: &[T], which: Index) -> Option<T> {
    (!from.is_empty()).then(|| from[which.index(from.len())])
}

fn lose(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let (at, _) = pick(&neighbours(ops), which)?;
    ops.remove(at);
    Some(vec![Invariant::Lost, Invariant::SilentGap])
}

fn cut_the_tail(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let drained: Vec<_> =
        ops.iter().filter(|op| op.ev.as_deref() == Some("drained")).map(|op| op.conn.clone()).collect();
    let conn = &drained[which.index(drained.len())];
    let last = ops.iter().rposition(|op| op.conn == *conn && is_event(op))?;
    ops.remove(last);
    Some(vec![Invariant::UnseenTail])
}

fn double(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let (at, _) = pick(&neighbours(ops), which)?;
    ops.insert(at + 1, ops[at].clone());
    Some(vec![Invariant::Duplicate])
}

fn swap(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let (at, next) = pick(&neighbours(ops), which)?;
    ops.swap(at, next);
    Some(vec![Invariant::Reordered])
}

fn leak(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let places: Vec<_> = (0..ops.len()).filter(|at| is_event(&ops[*at])).collect();
    let at = pick(&places, which)?;
    let other = ops[..at].iter().rposition(|op| op.user != ops[at].user && op.f == Action::Recv)?;
    let leaked = Op { user: ops[other].user.clone(), conn: ops[other].conn.clone(), ..ops[at].clone() };
    ops.insert(at + 1, leaked);
    Some(vec![Invariant::ForeignMarker, Invariant::PhantomStream])
}

fn relabel(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let places: Vec<_> = (0..ops.len()).filter(|at| is_event(&ops[*at])).collect();
    let at = pick(&places, which)?;
    let foreign = ops.iter().find(|op| op.user != ops[at].user && op.stream.is_some())?.stream.clone();
    ops[at].stream = foreign;
    Some(vec![Invariant::PhantomStream])
}

fn hide_in_base64(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let places: Vec<_> = (0..ops.len()).filter(|at| is_event(&ops[*at])).collect();
    let at = pick(&places, which)?;
    // Nobody can be told what was not said yet.
    let said = |op: &&Op| op.user != ops[at].user && op.ev.as_deref() == Some("marker");
    let other = ops[..at].iter().find(said)?;
    let shift = "xyz"[..which.index(3)].to_owned();
    ops[at].text =
        format!("{{\"image\":\"{}\"}}", STANDARD.encode(format!("{shift}{} and more", other.text)));
    Some(vec![Invariant::ForeignMarker])
}

fn diverge(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let twice: Vec<_> = (0..ops.len())
        .filter(|at| {
            let same = |op: &Op| is_event(op) && op.user == ops[*at].user && op.seq == ops[*at].seq;
            is_event(&ops[*at])
                && ops.iter().filter(|op| same(op) && op.first_seq == ops[*at].first_seq).count() > 1
        })
        .collect();
    let at = pick(&twice, which)?;
    ops[at].text = ops[at].text.replacen("\"run_seq\"", "\"other\":1,\"run_seq\"", 1);
    Some(vec![Invariant::Diverged])
}

fn another_epoch(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let resumes: Vec<_> = (0..ops.len()).filter(|at| ops[*at].f == Action::Resume).collect();
    let at = pick(&resumes, which)?;
    let conn = ops[at].conn.clone();
    let asks = |op: &&mut Op| op.conn == conn && op.f == Action::Resume;
    ops.iter_mut().filter(asks).for_each(|op| op.epoch = Some("another".into()));
    Some(vec![Invariant::FalseRecovery])
}

/// The tool ends before it starts, by the numbers of the log and on all connections alike.
fn end_first(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let starts: Vec<_> =
        (0..ops.len()).filter(|at| ops[*at].ev.as_deref() == Some("tool_executing")).collect();
    let run = ops[pick(&starts, which)?].stream.clone();
    for op in ops.iter_mut().filter(|op| op.stream == run) {
        let other = match op.ev.as_deref() {
            Some("tool_executing") => "tool_completed",
            Some("tool_completed") => "tool_executing",
            _ => continue,
        };
        op.ev = Some(other.to_owned());
    }
    Some(vec![Invariant::Order])
}

fn answer_first(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let sends: Vec<_> = (0..ops.len()).filter(|at| ops[*at].f == Action::Send).collect();
    let at = pick(&sends, which)?;
    let send = ops.remove(at);
    let (user, request) = (send.user.clone(), send.request.clone());
    let answer =
        ops.iter().position(|op| op.user == user && op.request == request && op.f == Action::Recv)?;
    ops.insert(answer + 1, send);
    Some(vec![Invariant::EffectBeforeCause])
}

fn never_end(ops: &mut Vec<Op>, which: Index) -> Option<Vec<Invariant>> {
    let ends: Vec<_> =
        (0..ops.len()).filter(|at| ops[*at].ev.as_deref() == Some("agent_completed")).collect();
    let user = ops[pick(&ends, which)?].user.clone();
    let last = ops.iter().rev().find(|op| op.user == user && op.seq.is_some())?.stream.clone();
    ops.retain(|op| op.stream != last || op.ev.as_deref() != Some("agent_completed"));
    Some(vec![Invariant::StuckRun])
}

const SPOILS: &[(&str, Spoil)] = &[
    ("an event is lost", lose),
    ("the last event is lost", cut_the_tail),
    ("an event comes twice", double),
    ("two events change places", swap),
    ("an event goes to another user as well", leak),
    ("an event is told as of another user's run", relabel),
    ("another user's string comes in base64", hide_in_base64),
    ("two connections get different events under one number", diverge),
    ("a position of another epoch is taken", another_epoch),
    ("a tool ends before it starts", end_first),
    ("an answer comes before its request", answer_first),
    ("a run never ends", never_end),
];

fn made(seed: u64, shape: Shape) -> (Header, Vec<Op>) {
    honest(seed, shape).unwrap()
}

proptest! {
    #[test]
    fn an_honest_history_has_no_violation(seed in any::<u64>(), shape in shape()) {
        let (header, ops) = made(seed, shape);
        let judgement = judge(&header, &ops);
        prop_assert_eq!(&judgement.violations, &vec![], "{}", judgement.tell());
        prop_assert!(judgement.counts.markers_seen > 0 && judgement.counts.events > 0);
        prop_assert!(judgement.unjudged.iter().all(|unjudged| unjudged.id == "CON-1"), "{:?}", judgement.unjudged);
    }

    #[test]
    fn what_is_spoiled_is_named(seed in any::<u64>(), shape in shape(), how in any::<Index>(), which in any::<Index>()) {
        let (what, spoil) = SPOILS[how.index(SPOILS.len())];
        let (header, mut ops) = made(seed, shape);
        let Some(wanted) = spoil(&mut ops, which) else { return Ok(()) };
        renumber(&mut ops);
        let judgement = judge(&header, &ops);
        let found = names(&judgement);
        prop_assert!(found.iter().any(|name| wanted.contains(name)), "{}: {:?} and not {:?}", what, found, wanted);
        // Whatever else it entails is in the same place, and each witness is small and in order.
        for violation in &judgement.violations {
            prop_assert!((1..=6).contains(&violation.witness.len()), "{:?}", violation);
            prop_assert!(violation.witness.is_sorted());
        }
    }

    /// What a fault changed on a connection is not held against the server, and is told.
    #[test]
    fn what_the_proxy_did_is_excused(seed in any::<u64>(), shape in shape(), which in any::<Index>()) {
        for spoil in [lose as Spoil, double, swap] {
            let (header, mut ops) = made(seed, shape);
            let before = ops.clone();
            prop_assume!(spoil(&mut ops, which).is_some());
            let touched = before.iter().zip(&ops).position(|(one, other)| one != other).unwrap();
            let longer = if ops.len() > before.len() { &ops } else { &before };
            let (conn, user) = (longer[touched].conn.clone(), longer[touched].user.clone());
            ops.insert(touched, Op { conn, user, f: Action::Fault, altered: true, ..Op::default() });
            renumber(&mut ops);
            let judgement = judge(&header, &ops);
            prop_assert!(judgement.is_clean(), "{:?}", judgement.violations);
            prop_assert!(!judgement.excused.is_empty());
        }
    }
}

/// Each way of spoiling is tried, on a history that has a place for each.
#[test]
fn every_spoil_has_its_place() {
    let shape = Shape { users: 3, devices: 2, runs: 3, cut_one_in: 6 };
    for (what, spoil) in SPOILS {
        let mut named = 0;
        for seed in 0..40 {
            let (header, mut ops) = made(seed, shape);
            let mut runner = proptest::test_runner::TestRunner::deterministic();
            let which = any::<Index>().new_tree(&mut runner).unwrap().current();
            let Some(wanted) = spoil(&mut ops, which) else { continue };
            renumber(&mut ops);
            let judgement = judge(&header, &ops);
            assert!(
                names(&judgement).iter().any(|name| wanted.contains(name)),
                "{what}: {}",
                judgement.tell()
            );
            named += 1;
        }
        assert!(named >= 30, "{what}: only {named} histories had a place for it");
    }
}

/// A server without numbers is judged by what there is, and the judgement says so.
#[test]
fn without_numbers_the_judgement_says_what_it_could_not_judge() {
    let (mut header, mut ops) = made(5, Shape { users: 3, devices: 1, runs: 2, cut_one_in: 0 });
    header.rules.numbered = false;
    ops.iter_mut().for_each(|op| (op.seq, op.head, op.run_seq) = (None, None, None));
    let judgement = judge(&header, &ops);
    assert!(judgement.is_clean(), "{}", judgement.tell());
    assert!(judgement.unjudged.iter().any(|unjudged| unjudged.id.starts_with("SEQ-1 to SEQ-4")));
    // The order of a run is judged all the same, and so is its end.
    let at = ops.iter().rposition(|op| op.ev.as_deref() == Some("agent_completed")).unwrap();
    let before = ops[..at].iter().rposition(|op| op.conn == ops[at].conn && op.f == Action::Recv).unwrap();
    ops.swap(at, before);
    renumber(&mut ops);
    assert!(names(&judge(&header, &ops)).contains(&Invariant::Order));
}

/// A history of which the judge knows what must come of it, with what is put into it behind its end.
fn with(extra: impl FnOnce(&[Op]) -> Vec<Op>) -> Judgement {
    let (header, mut ops) = made(11, Shape { users: 2, devices: 2, runs: 2, cut_one_in: 0 });
    ops.extend(extra(&ops));
    renumber(&mut ops);
    judge(&header, &ops)
}

/// The last event of each of two connections, and a fault on the first of them.
fn two_and_a_fault(ops: &[Op]) -> (Op, Op, Op) {
    let one = ops.iter().rfind(|op| is_event(op)).unwrap();
    let other = ops.iter().rfind(|op| is_event(op) && op.conn != one.conn).unwrap();
    let fault = Op { f: Action::Fault, altered: true, text: String::new(), seq: None, ..one.clone() };
    (one.clone(), other.clone(), fault)
}

/// Two hundred violations that a fault had made once hid all that came behind them: the judgement was clean.
#[test]
fn many_excused_violations_hide_none_that_is_not() {
    let judgement = with(|ops| {
        let (one, other, fault) = two_and_a_fault(ops);
        [vec![fault], vec![one; 250], vec![other]].concat()
    });
    assert_eq!((judgement.excused.len(), names(&judgement)), (250, vec![Invariant::Duplicate]));
    assert_eq!(judgement.total["duplicate"], 1);
}

/// A fault on one connection of a user once excused what was lost on another: both are needed to show it.
#[test]
fn a_fault_excuses_nothing_on_another_connection() {
    let (header, mut ops) = made(13, Shape { users: 1, devices: 2, runs: 2, cut_one_in: 0 });
    let (at, _) = neighbours(&ops)[0];
    let lost = ops.remove(at);
    let other = ops.iter().find(|op| is_event(op) && op.conn != lost.conn).unwrap();
    let fault = Op { f: Action::Fault, altered: true, text: String::new(), seq: None, ..other.clone() };
    ops.insert(0, fault);
    renumber(&mut ops);
    assert_eq!(names(&judge(&header, &ops)), [Invariant::Lost]);
}

/// A fault once excused also what had been wrong before it was made.
#[test]
fn a_fault_excuses_nothing_that_was_wrong_before_it() {
    let judgement = with(|ops| {
        let (one, _, fault) = two_and_a_fault(ops);
        vec![one, fault]
    });
    assert_eq!(names(&judgement), [Invariant::Duplicate]);
    assert!(judgement.violations[0].not_this.contains("a fault changed"), "{:?}", judgement.violations);
}

/// What came under the name of another's connection, on none, without a user, or as the answer to a handshake was once
/// not looked at.
#[test]
fn a_leak_is_found_wherever_it_is_written_down() {
    let places: [fn(&mut Op); 5] = [
        |_| (),
        |op| op.conn = String::new(),
        |op| op.f = Action::Close,
        |op| op.f = Action::Connect,
        |op| (op.user, op.f) = (String::new(), Action::Close),
    ];
    for (number, change) in places.iter().enumerate() {
        let judgement = with(|ops| {
            let marked = ops.iter().find(|op| op.ev.as_deref() == Some("marker")).unwrap();
            let of_owner = |op: &&Op| (op.user == marked.user) == (number == 0) && !op.conn.is_empty();
            let conn = ops.iter().find(of_owner).unwrap().conn.clone();
            let user = ops.iter().find(|op| op.user != marked.user).unwrap().user.clone();
            let mut leak = Op { conn, user, text: format!("so {}", marked.text), ..Op::default() };
            change(&mut leak);
            vec![leak]
        });
        assert_eq!(names(&judgement), [Invariant::ForeignMarker], "place {number}");
    }
    let judgement = with(|_| vec![Op { conn: "whose".into(), ..Op::default() }]);
    assert!(judgement.unjudged.iter().any(|unjudged| unjudged.why.contains("who got 1 frames")));
}

/// A leaked event that took a number of its victim's log was once told as a lost event as well.
#[test]
fn a_leak_that_takes_a_number_is_no_loss() {
    let (header, ops) = made(11, Shape { users: 2, devices: 1, runs: 2, cut_one_in: 0 });
    let marked = ops.iter().find(|op| op.ev.as_deref() == Some("marker")).unwrap();
    let victims = |op: &Op| is_event(op) && op.user != marked.user;
    for at in [ops.iter().position(victims).unwrap(), ops.iter().rposition(victims).unwrap()] {
        let (taken, mut ops) = (ops[at].seq, ops.clone());
        let text = format!("so {}", marked.text);
        let leak = Op { stream: None, run_seq: None, text, ..ops[at].clone() };
        for op in ops[at..].iter_mut().filter(|op| op.user == leak.user) {
            for number in [&mut op.seq, &mut op.first_seq, &mut op.head] {
                *number = number.map(|number| number + u64::from(Some(number) >= taken));
            }
        }
        ops.insert(at, leak);
        renumber(&mut ops);
        assert_eq!(names(&judge(&header, &ops)), [Invariant::ForeignMarker], "op {at}");
    }
}

/// A connection that got nothing at all was once taken for one that had nothing to get.
#[test]
fn a_connection_that_gets_nothing_is_told() {
    let judgement = with(|ops| {
        let user = ops[0].user.clone();
        let op = |f, ev: Option<&str>| {
            let (conn, ev) = (format!("{user}/silent#1"), ev.map(str::to_owned));
            Op { conn, user: user.clone(), f, ev, ..Op::default() }
        };
        vec![op(Action::Connect, None), op(Action::Note, Some("drained"))]
    });
    assert_eq!(names(&judgement), [Invariant::UnseenTail]);
}

/// The largest numbers once ended the judge, where it should have told what is wrong with them.
#[test]
fn the_largest_numbers_are_judged() {
    let (header, ops) = made(12, Shape { users: 2, devices: 2, runs: 2, cut_one_in: 5 });
    for at in 0..ops.len() {
        let fields: [fn(&mut Op) -> &mut Option<u64>; 3] =
            [|op| &mut op.seq, |op| &mut op.first_seq, |op| &mut op.head];
        for field in fields {
            let mut ops = ops.clone();
            if field(&mut ops[at]).is_some() {
                *field(&mut ops[at]) = Some(u64::MAX);
                let asks = ops[at].f == Action::Resume;
                assert!(asks || !judge(&header, &ops).is_clean(), "{:?}", ops[at]);
            }
        }
    }
}
