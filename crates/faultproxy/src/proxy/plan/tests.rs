//! Plans without sockets: bytes and times in, acts and notes out.

use std::sync::Arc;

use super::{
    super::{
        fault::{Afterwards, Cut, Fault},
        journal::Phase,
        toxic::{Direction, Toxic, Trigger},
    },
    *,
};

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A plan of the way to the client, with these toxics from the beginning.
fn plan(seed: u64, toxics: &[Toxic]) -> Plan {
    let stream = Stream { seed, connection: 1, direction: Direction::ToClient };
    let mut plan = Plan::new(stream, Marks::new(seed, 1));
    let active =
        |(index, toxic): (usize, &Toxic)| NumberedToxic { id: index as u64, toxic: Arc::new(toxic.clone()) };
    plan.update(&toxics.iter().enumerate().map(active).collect::<Vec<_>>(), ms(0));
    plan
}

/// Everything that the plan does, with the times at which it is due.
fn acts(plan: &mut Plan, until: Duration) -> Vec<(Duration, Act)> {
    let (mut acts, mut now) = (Vec::new(), ms(0));
    loop {
        plan.tick(now);
        while let Some(act) = plan.pop(now) {
            acts.push((now, act));
        }
        match plan.wake(now) {
            Some(wake) if wake <= until => now = wake.max(now + Duration::from_nanos(1)),
            _ => return acts,
        }
    }
}

fn written(acts: &[(Duration, Act)]) -> Vec<u8> {
    let pieces = acts.iter().filter_map(|(_, act)| match act {
        Act::Write(bytes) => Some(&bytes[..]),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

fn text(payload: &str) -> Vec<u8> {
    [&[0x81, payload.len() as u8], payload.as_bytes()].concat()
}

/// What becomes of three messages.
fn told(toxic: Toxic) -> (Vec<u8>, Vec<Note>) {
    let mut plan = plan(7, &[toxic]);
    for bytes in [ANSWER.to_vec(), text("one"), text("two"), text("three")] {
        plan.take(&bytes.into(), ms(0));
    }
    let acts = acts(&mut plan, ms(1000));
    (written(&acts)[ANSWER.len()..].to_vec(), plan.notes().collect())
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_one_another() {
    let toxics = [
        Toxic::new(Fault::Latency { ms: 5, jitter_ms: 40 }),
        Toxic::new(Fault::Fragment { frames: 3 }),
        Toxic::new(Fault::CutInHeader(Cut::Reset)).when(Trigger::AtMessage(9)),
    ];
    let play = |seed| {
        let mut plan = plan(seed, &toxics);
        plan.take(&ANSWER.into(), ms(0));
        for number in 0..10 {
            let message = text(&format!("message {number} with some text behind it"));
            plan.take(&message.into(), ms(10 * number));
        }
        (acts(&mut plan, ms(5000)), plan.notes().collect::<Vec<_>>())
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1).0, play(2).0);
}

#[test]
fn latency_keeps_the_order_and_delays_each_by_its_time() {
    let mut plan = plan(3, &[Toxic::new(Fault::Latency { ms: 50, jitter_ms: 30 })]);
    for at in 0..20u8 {
        plan.take(&vec![at].into(), ms(u64::from(at)));
    }
    let acts = acts(&mut plan, ms(1000));
    assert_eq!(written(&acts), (0..20).collect::<Vec<u8>>());
    for (at, (due, _)) in acts.iter().enumerate() {
        assert!(*due >= ms(at as u64 + 50) && *due <= ms(19 + 80), "{at} was due at {due:?}");
    }
}

#[test]
fn bandwidth_takes_its_time() {
    let mut plan = plan(3, &[Toxic::new(Fault::Bandwidth { bytes_per_second: 1000 })]);
    plan.take(&vec![0; 500].into(), ms(0));
    let acts = acts(&mut plan, ms(5000));
    assert_eq!((written(&acts).len(), acts.len()), (500, 50));
    let (last, _) = acts.last().unwrap();
    assert!((ms(499)..ms(502)).contains(last), "{last:?}");
}

#[test]
fn a_cut_at_a_byte_is_at_that_byte() {
    for at in [0, 1, 7, 10] {
        let mut plan = plan(3, &[Toxic::new(Fault::Cut(Cut::Reset)).when(Trigger::AfterBytes(at))]);
        plan.take(&b"01234"[..].into(), ms(0));
        plan.take(&b"56789abc"[..].into(), ms(1));
        let acts = acts(&mut plan, ms(10));
        assert_eq!(written(&acts), b"0123456789abc"[..at as usize]);
        assert_eq!(acts.last().map(|(_, act)| act), Some(&Act::Cut(Cut::Reset)));
        let notes: Vec<Note> = plan.notes().collect();
        assert_eq!((notes.len(), notes[0].offset), (1, at));
    }
}

#[test]
fn a_black_hole_and_what_time_alone_brings_need_no_bytes() {
    let hole = Fault::BlackHole { for_ms: Some(5), then: Afterwards::GoOn };
    let mut plan = plan(3, &[Toxic::new(hole).when(Trigger::AfterMs(40))]);
    let (due, act) = &acts(&mut plan, ms(1000))[0];
    assert_eq!(
        (*due, act),
        (ms(40), &Act::BlackHole { toxic: 0, time: Some(ms(5)), then: Afterwards::GoOn })
    );
}

/// Bug: a stall during which nothing came was never looked at again, and stalled for ever.
#[test]
fn a_stall_ends_by_itself_also_when_nothing_came() {
    let mut plan = plan(3, &[Toxic::new(Fault::Stall { for_ms: Some(50) })]);
    assert_eq!((plan.appetite(ms(0)), plan.wake(ms(0))), (0, Some(ms(50))));
    plan.tick(ms(50));
    assert!(plan.appetite(ms(50)) > 0 && plan.wake(ms(50)).is_none());
    let phases: Vec<_> = plan.notes().map(|note| note.phase).collect();
    assert_eq!(phases, [Phase::Began, Phase::Ended]);
}

/// Bug: what latency kept under way counted as waiting, so that with slices 4 KiB went through per latency.
#[test]
fn latency_does_not_narrow_the_line() {
    let latency = Toxic::new(Fault::Latency { ms: 100, jitter_ms: 0 });
    let mut long = plan(3, &[latency.clone(), Toxic::new(Fault::Slice { bytes: 1000, pause_ms: 0 })]);
    for _ in 0..200 {
        assert!(long.appetite(ms(0)) > 0, "a long line takes what comes");
        long.take(&vec![0; 1024].into(), ms(0));
    }
    let mut narrow = plan(3, &[latency, Toxic::new(Fault::Bandwidth { bytes_per_second: 10_000 })]);
    while narrow.appetite(ms(0)) > 0 {
        narrow.take(&vec![0; 1024].into(), ms(0));
    }
    let next = narrow.wake(ms(0)).expect("the sender is read again");
    assert!(next < ms(100), "before the first byte arrives: {next:?}");
    assert!(narrow.appetite(ms(200)) > 0, "2 kB have left in 200 ms");
}

#[test]
fn coalescing_waits_for_enough_or_for_its_time() {
    let mut plan = plan(3, &[Toxic::new(Fault::Coalesce { bytes: 4, within_ms: 30 })]);
    for at in 0..6 {
        plan.take(&vec![at].into(), ms(u64::from(at)));
    }
    let acts = acts(&mut plan, ms(1000));
    assert_eq!(acts[0].1, Act::Write(vec![0, 1, 2, 3].into()));
    assert_eq!(acts[1], (ms(4 + 30), Act::Write(vec![4, 5].into())));
}

#[test]
fn messages_are_dropped_doubled_and_swapped_and_the_journal_says_altered() {
    let (one, two, three) = (text("one"), text("two"), text("three"));
    for (fault, expected) in [
        (Fault::Drop, [&one[..], &three].concat()),
        (Fault::Double, [&one[..], &two, &two, &three].concat()),
        (Fault::Swap, [&one[..], &three, &two].concat()),
    ] {
        for when in [Trigger::AtMessage(2), Trigger::AtText("tw".into()), Trigger::AfterText("one".into())] {
            let (bytes, notes) = told(Toxic::new(fault.clone()).when(when));
            assert_eq!(bytes, expected, "{fault:?}");
            assert_eq!((notes.len(), notes[0].message, notes[0].altered), (1, Some(2), true), "{notes:?}");
            assert_eq!(notes[0].offset, (ANSWER.len() + one.len()) as u64);
        }
    }
}

#[test]
fn a_message_that_waits_to_be_swapped_goes_on_when_the_sender_closes() {
    let mut plan = plan(7, &[Toxic::new(Fault::Swap).when(Trigger::AtMessage(1))]);
    plan.take(&[ANSWER, &text("one")].concat().into(), ms(0));
    plan.finish(ms(1));
    let acts = acts(&mut plan, ms(10));
    assert_eq!(&written(&acts)[ANSWER.len()..], text("one"));
    assert_eq!(acts.last().map(|(_, act)| act), Some(&Act::Shutdown));
}

#[test]
fn a_cut_before_or_behind_a_message_is_just_there() {
    let (one, two) = (text("one"), text("two"));
    for (when, expected) in [
        (Trigger::AtMessage(2), one.clone()),
        (Trigger::AtText("wo".into()), one.clone()),
        (Trigger::AfterMessage(2), [&one[..], &two].concat()),
        (Trigger::AfterText("wo".into()), [&one[..], &two].concat()),
    ] {
        let (bytes, notes) = told(Toxic::new(Fault::Cut(Cut::Fin)).when(when));
        assert_eq!((bytes, notes.len()), (expected, 1));
    }
}

#[test]
fn what_is_not_hit_passes_and_leaves_no_note() {
    let all = [text("one"), text("two"), text("three")].concat();
    for toxic in [
        Toxic::new(Fault::Drop).when(Trigger::AtText("four".into())),
        Toxic::new(Fault::CutInCharacter(Cut::Reset)),
        Toxic::to_server(Fault::Drop),
        Toxic::new(Fault::Double).share(0.0),
    ] {
        assert_eq!(told(toxic), (all.clone(), vec![]));
    }
}

/// A fragment that was held once came behind the bytes that no frame begins with: the proxy changed the order and said
/// nothing.
#[test]
fn what_was_held_goes_before_what_is_no_frame() {
    let looks = Toxic::to_client(Fault::Drop).when(Trigger::AtText("never".into()));
    let mut plan = plan(3, &[looks]);
    let fragment = b"\x01\x03one".to_vec();
    let no_frame = [&[0x80, 0x7f][..], &[0xff; 8], b"rest"].concat();
    for bytes in [ANSWER, &fragment, &no_frame, b"more"] {
        plan.take(&Bytes::copy_from_slice(bytes), ms(0));
    }
    plan.finish(ms(1));
    let all = [ANSWER, &fragment, &no_frame, b"more"].concat();
    assert_eq!(written(&acts(&mut plan, ms(1000))), all);
    assert_eq!(plan.notes().count(), 0);
}

/// Pauses of the longest time once added up to more than a clock can hold, and ended the connection's task.
#[test]
fn no_fault_lasts_longer_than_a_day() {
    let day = 24 * 3600 * 1000;
    let faults: [fn(u64) -> Fault; 7] = [
        |ms| Fault::Latency { ms, jitter_ms: 0 },
        |ms| Fault::Latency { ms: 0, jitter_ms: ms },
        |ms| Fault::Slice { bytes: 1, pause_ms: ms },
        |ms| Fault::Coalesce { bytes: 1, within_ms: ms },
        |ms| Fault::Stall { for_ms: Some(ms) },
        |ms| Fault::BlackHole { for_ms: Some(ms), then: Afterwards::GoOn },
        |ms| Fault::DelayMessage { ms },
    ];
    for fault in faults {
        assert!(Toxic::new(fault(day)).check().is_ok());
        assert!(Toxic::new(fault(day + 1)).check().is_err(), "{:?}", fault(day + 1));
    }
    assert!(Toxic::new(Fault::Drop).when(Trigger::AfterMs(u64::MAX)).check().is_err());
}
