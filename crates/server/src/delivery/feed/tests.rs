//! Tests of the feed, with any order of commits, notices, pages and reads.

use proptest::prelude::*;
use wireproof_protocol::UserId;

use super::*;

fn event(seq: u64) -> StoredEvent {
    StoredEvent { first_seq: seq, seq, json: Bytes::from(format!("{{\"seq\":{seq}}}")) }
}

fn told(events: &[StoredEvent]) -> Committed {
    Committed {
        user_id: UserId::new("ada").unwrap(),
        epoch: Epoch::new(1),
        first_seq: events[0].first_seq,
        seq: events[events.len() - 1].seq,
        bytes: events.iter().map(|event| event.json.len()).sum(),
        stored_at: 0.0,
        events: Some(events.into()),
    }
}

fn page(log: &[StoredEvent], after: u64, size: usize) -> Page {
    let rest: Vec<_> = log.iter().filter(|e| e.seq > after).cloned().collect();
    Page { complete: rest.len() <= size, events: rest.into_iter().take(size).collect() }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(u8),
    LoseNotice(u8),
    /// A notice of some commit comes, for the first time or again, with its events or without.
    Late(u8, bool),
    AskPage,
    AnswerPage,
    Take(u8),
    Control,
    Place(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5u8).prop_map(Step::Commit),
        1 => (1..3u8).prop_map(Step::LoseNotice),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, bare)| Step::Late(which, bare)),
        3 => Just(Step::AskPage),
        3 => Just(Step::AnswerPage),
        4 => (1..6u8).prop_map(Step::Take),
        1 => Just(Step::Control),
        1 => any::<u8>().prop_map(Step::Place),
    ]
}

proptest! {
    /// However commits, lost, late and doubled notices, slow pages, reads and new positions interleave, the wire sees every number
    /// after the last placement once and in order, the queue stays bounded, and in the end nothing is missing.
    #[test]
    fn a_feed_has_no_gap_and_no_double(steps in prop::collection::vec(step(), 1..120), soft in 20usize..200) {
        let mut log: Vec<StoredEvent> = Vec::new();
        let mut commits: Vec<Committed> = Vec::new();
        let mut feed = Feed::new(soft);
        feed.place(0);
        let mut expected = 1;
        let mut asked: Option<(u64, Page)> = None;
        let mut controls = (0u64, 0u64);
        let take = |feed: &mut Feed, expected: &mut u64, controls: &mut (u64, u64)| -> Result<bool, TestCaseError> {
            match feed.take() {
                Some(Item::Live(e, _) | Item::Replayed(e)) => {
                    prop_assert_eq!(e.seq, *expected);
                    *expected += 1;
                    Ok(true)
                }
                Some(Item::Control(frame)) => {
                    prop_assert_eq!(frame, Bytes::from(controls.1.to_string()));
                    controls.1 += 1;
                    Ok(true)
                }
                None => Ok(false),
            }
        };
        for step in steps {
            match step {
                Step::Commit(n) | Step::LoseNotice(n) => {
                    let first = log.len() as u64 + 1;
                    let batch: Vec<_> = (first..first + u64::from(n)).map(event).collect();
                    log.extend(batch.clone());
                    commits.push(told(&batch));
                    if matches!(step, Step::Commit(_)) {
                        feed.notice(&told(&batch));
                    }
                }
                Step::Late(which, bare) => {
                    if !commits.is_empty() {
                        let told = commits[usize::from(which) % commits.len()].clone();
                        feed.notice(&if bare { told.without_events() } else { told });
                    }
                }
                Step::AskPage => {
                    if let Some(after) = feed.wants_page() {
                        asked = Some((after, page(&log, after, 3)));
                    }
                }
                Step::AnswerPage => {
                    if let Some((after, page)) = asked.take() {
                        feed.page(after, page);
                    }
                }
                Step::Take(n) => {
                    for _ in 0..n {
                        take(&mut feed, &mut expected, &mut controls)?;
                    }
                }
                Step::Control => {
                    feed.control(Bytes::from(controls.0.to_string()));
                    controls.0 += 1;
                }
                Step::Place(n) => {
                    let after = u64::from(n) % (log.len() as u64 + 1);
                    feed.place_in_log(after);
                    expected = after + 1;
                }
            }
            prop_assert!(feed.queued_bytes() <= soft + 3 * 16, "bounded by the soft limit or one page");
        }
        // A last commit whose notice arrives brings everything that was lost.
        let last = event(log.len() as u64 + 1);
        log.push(last.clone());
        feed.notice(&told(&[last]));
        loop {
            if take(&mut feed, &mut expected, &mut controls)? {
                continue;
            }
            match feed.wants_page() {
                Some(after) => feed.page(after, page(&log, after, 3)),
                None => break,
            }
        }
        prop_assert_eq!(expected, log.len() as u64 + 1);
        prop_assert_eq!(controls.0, controls.1);
        prop_assert!(feed.is_idle());
    }
}

#[test]
fn a_control_frame_waits_for_the_events_before_it() {
    let mut feed = Feed::new(1000);
    feed.place(0);
    feed.control_after(2, Bytes::from_static(b"pong"));
    assert_eq!(feed.take(), None);
    feed.notice(&told(&[event(1), event(2), event(3)]));
    let items: Vec<_> = std::iter::from_fn(|| feed.take()).collect();
    assert_eq!(items[2], Item::Control(Bytes::from_static(b"pong")));
}

/// A notice that was the last one for long, and lost, is missed by the pong that waits for its number.
#[test]
fn a_control_frame_that_waits_for_a_lost_notice_has_the_log_read() {
    let (mut feed, now) = (Feed::new(1000), Instant::now());
    feed.place(0);
    assert_eq!(feed.look_for_lost(now), None, "nothing waits");
    feed.control_after(2, Bytes::from_static(b"pong"));
    assert_eq!(feed.look_for_lost(now), Some(now + PATIENCE));
    assert_eq!(feed.wants_page(), None, "it may be on its way");
    assert_eq!(feed.look_for_lost(now + PATIENCE), None);
    assert_eq!(feed.wants_page(), Some(0));
    feed.page(0, Page { events: vec![event(1), event(2)], complete: true });
    let items: Vec<_> = std::iter::from_fn(|| feed.take()).collect();
    assert_eq!(items[2], Item::Control(Bytes::from_static(b"pong")));
    assert!(feed.is_idle());
    // One that comes in time is not looked for.
    feed.control_after(3, Bytes::new());
    assert!(feed.look_for_lost(now).is_some());
    feed.notice(&told(&[event(3)]));
    assert_eq!(feed.look_for_lost(now + PATIENCE), None);
    assert!(!feed.is_behind());
}

#[test]
fn a_head_that_no_notice_told_of_has_the_log_read() {
    let mut feed = Feed::new(1000);
    assert!(!feed.reached(3), "it has no place yet");
    feed.place(3);
    assert!(!feed.reached(3) && feed.reached(4));
    assert_eq!(feed.wants_page(), Some(3));
}

/// A store that was put back to an earlier time has another line: its numbers mean other events.
#[test]
fn a_notice_of_another_line_is_passed_over() {
    let mut feed = Feed::new(1000);
    feed.on_line(Epoch::new(2));
    feed.place(0);
    assert!(!feed.notice(&told(&[event(1)])));
    feed.on_line(Epoch::new(1));
    assert!(feed.notice(&told(&[event(1)])));
}

/// Bug: a `go_away` that waited behind later events pushed the snapshot behind them too, and the old replay's
/// `caught_up` came before the snapshot that replaced the replay.
#[test]
fn a_snapshot_comes_before_all_that_waits() {
    let mut feed = Feed::new(1000);
    feed.place(0);
    feed.owe_caught_up(2, Bytes::from_static(b"caught_up"));
    feed.notice(&told(&[event(1), event(2), event(3)]));
    feed.control(Bytes::from_static(b"go_away"));
    feed.place_with_snapshot(2, Bytes::from_static(b"snapshot"));
    let said = |item: Option<Item>| match item {
        Some(Item::Control(frame)) => String::from_utf8(frame.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(feed.take()), "snapshot");
    assert_eq!(said(feed.take()), "caught_up");
    assert_eq!(feed.wants_page(), Some(2));
    feed.page(2, Page { events: vec![event(3)], complete: true });
    assert_eq!(feed.take(), Some(Item::Replayed(event(3))));
    assert_eq!(said(feed.take()), "go_away");
    assert!(feed.is_idle());
}

#[test]
fn a_client_that_does_not_read_is_counted_behind() {
    let mut feed = Feed::new(30);
    feed.place(0);
    for seq in 1..=100 {
        feed.notice(&told(&[event(seq)]));
    }
    assert!(feed.queued_bytes() <= 30);
    assert!(feed.missed_bytes() > 900);
}

/// Bug: each commit woke each connection whose client did not read, to find again that it could do nothing.
#[test]
fn a_connection_that_waits_for_its_client_is_woken_now_and_then_only() {
    let mut feed = Feed::new(100);
    feed.place(0);
    let woken: Vec<u64> = (1..=100).filter(|seq| feed.notice(&told(&[event(*seq)]))).collect();
    assert_eq!(woken[0], 1, "the first event is news");
    assert!((5..=12).contains(&woken.len()), "once for each 100 bytes that it fell behind: {woken:?}");
    // Once all is taken the log is read on; at its end the next event is news again.
    while feed.take().is_some() {}
    let after = feed.wants_page().unwrap();
    feed.page(after, Page { events: (after + 1..=100).map(event).collect(), complete: true });
    while feed.take().is_some() {}
    assert!(feed.notice(&told(&[event(101)])));
    assert!(!feed.notice(&told(&[event(102)])), "it has been woken");
}

/// Bug: a feed that had no place yet forgot that it had to read the log, until the next heartbeat.
#[test]
fn a_feed_that_is_placed_after_notices_were_missed_reads_the_log() {
    let mut feed = Feed::new(1000);
    feed.read_on();
    feed.place(3);
    assert_eq!(feed.wants_page(), Some(3));
    feed.page(3, page(&[], 3, 10));
    assert_eq!(
        feed.wants_page(),
        Some(3),
        "a page that was asked for before shows nothing of what was missed"
    );
    feed.page(3, page(&[event(4)], 3, 10));
    assert_eq!(feed.take(), Some(Item::Replayed(event(4))));
    assert!(feed.is_idle());
}

/// Bug: a page that had been asked for before notices were missed put the feed live, and what was committed in between came
/// with the next heartbeat.
#[test]
fn a_page_from_before_notices_were_missed_is_not_the_end() {
    let mut feed = Feed::new(1000);
    feed.place_in_log(0);
    let old = page(&[event(1)], 0, 10);
    feed.read_on();
    feed.page(0, old);
    assert_eq!(feed.take(), Some(Item::Replayed(event(1))));
    assert_eq!(feed.wants_page(), Some(1));
    feed.page(1, page(&[event(2)], 1, 10));
    assert_eq!(feed.take(), Some(Item::Replayed(event(2))));
    assert!(feed.is_idle());
}

/// Bug: a notice of another line that came before the line was known counted as one of the log, which was then read for ever
/// for an event that it did not have.
#[test]
fn a_notice_of_another_line_before_the_line_is_known_tells_nothing() {
    let at = |epoch, seq| Committed { epoch: Epoch::new(epoch), ..told(&[event(seq)]) };
    for notices in [vec![at(1, 70)], vec![at(2, 4), at(1, 70)], vec![at(1, 70), at(2, 4)]] {
        let mut feed = Feed::new(1000);
        notices.iter().for_each(|notice| assert!(!feed.notice(notice)));
        feed.on_line(Epoch::new(2));
        feed.place(3);
        assert_eq!(feed.wants_page(), Some(3), "one of its own may have been among them: {notices:?}");
        let log = [event(4)];
        feed.page(3, page(&log, 3, 10));
        assert_eq!(feed.take(), Some(Item::Replayed(event(4))));
        while let Some(after) = feed.wants_page() {
            feed.page(after, page(&log, after, 10));
        }
        assert!(feed.is_idle() && feed.notice(&at(2, 5)));
    }
}
