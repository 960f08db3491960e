//! The proof of a sound server, played for real: nothing is found, much was looked at, and the history says the same
//! again from a file.

use std::io::Cursor;

use wireproof_judge::{
    check::{CheckContext, Embedded},
    proof::{Size, judge},
    record::{Action, HistoryRecorder, read, write},
    workload,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_server_has_no_violation() {
    let embedded = Embedded::start().await.unwrap();
    let context = CheckContext::new(&embedded.target, HistoryRecorder::new(), "delivery.proof", 11, 8);
    let header = workload::run(&context, Size::small()).await.unwrap();
    let ops = context.recorder.snapshot();
    let judgement = judge(&header, &ops);
    assert!(judgement.is_clean(), "{}\n{:?}", judgement.tell(), judgement.violations);
    let counts = &judgement.counts;
    assert_eq!(counts.users, 8);
    assert!(counts.runs >= 8 * 6, "{counts:?}");
    assert!(counts.markers_seen > counts.markers, "{counts:?}");
    assert!(counts.faults > 0, "{counts:?}");
    assert!(ops.iter().filter(|op| op.f == Action::Resume).count() > 16, "{counts:?}");
    // Nothing was left out but the counters, which the profile does not name.
    let unjudged: Vec<_> = judgement.unjudged.iter().map(|unjudged| unjudged.id.as_str()).collect();
    assert_eq!(unjudged, ["CON-1"]);
    assert!(judgement.tell().contains("95 %"));

    let mut file = Vec::new();
    write(&mut file, &header, &ops).unwrap();
    let history = read(Cursor::new(file)).unwrap();
    assert_eq!(judge(&history.header, &history.ops), judgement);
}
