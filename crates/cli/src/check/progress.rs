//! Progress while the judge is at work: a bar on stderr with what runs now, where stderr is a terminal.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use wireproof_judge::{
    check::{Judge, Progress, Target},
    report::{Report, Verdict},
};

/// Runs the judge and shows how far it is.
pub(super) async fn follow(judge: &Judge, target: &Target) -> Report {
    let bar = ProgressBar::new(judge.chosen().len() as u64);
    // A template that is wrong is seen in the first run; the default bar is no reason to stop.
    if let Ok(style) = ProgressStyle::with_template("checks {bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    let state = Mutex::new((Vec::new(), 0));
    let report = judge.run(target, |progress| {
        let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match progress {
            Progress::Began(check) => state.0.push(&*check.id),
            Progress::Ended(result) => {
                state.0.retain(|id| *id != result.id);
                state.1 += usize::from(matches!(result.verdict, Verdict::Fail | Verdict::Gone));
                bar.inc(1);
            }
        }
        let failed = if state.1 > 0 { format!("{} failed  ", state.1) } else { String::new() };
        bar.set_message(format!("{failed}{}", state.0.last().copied().unwrap_or_default()));
    });
    let report = report.await;
    bar.finish_and_clear();
    report
}
