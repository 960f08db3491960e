//! The unanswered messages of one connection, and the milestones that each has reached.

use std::time::Instant;

use super::tally::{Milestone, Tally};

/// A message that was sent and whose end is still to come.
struct Message {
    number: u64,
    /// When it was due and in which stage; nothing in a closed loop, which has no schedule.
    due: Option<(Instant, usize)>,
    sent: Instant,
    run_id: Option<String>,
    reached_delta: bool,
}

/// What frames tell of a run.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sign {
    Started,
    Delta,
    Success,
    Failure,
}

/// All that are on their way on one connection: a handful, or what its user may run at a time.
#[derive(Default)]
pub(super) struct InFlight {
    asked: Vec<Message>,
    /// Signs of runs that may turn out to be this connection's.
    early: Vec<(String, Sign, Instant)>,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// A message went out.
    pub(super) fn sent(&mut self, number: u64, due: Option<(Instant, usize)>, sent: Instant) {
        self.asked.push(Message { number, due, sent, run_id: None, reached_delta: false });
    }

    /// Times the answer that names its run, and what the log said of the run before it; true when that was its end.
    pub(super) fn accepted(
        &mut self,
        tally: &mut Tally,
        id: Option<&str>,
        run_id: &str,
        now: Instant,
    ) -> bool {
        let Some(index) = self.find(id) else { return false };
        self.asked[index].run_id = Some(run_id.to_owned());
        self.asked[index].time(tally, Milestone::Accepted, now);
        let mut over = false;
        for (run, sign, at) in std::mem::take(&mut self.early) {
            if run == run_id {
                over |= self.run(tally, run_id, sign, at);
            } else if self.awaits_answer() {
                self.early.push((run, sign, at));
            }
        }
        over
    }

    /// Times a sign of a run, if the run is this connection's; true when it was its end.
    pub(super) fn run(&mut self, tally: &mut Tally, run_id: &str, sign: Sign, at: Instant) -> bool {
        let Some(index) = self.asked.iter().position(|asked| asked.run_id.as_deref() == Some(run_id)) else {
            // The log may be faster than the answer that says whose run it is.
            if self.awaits_answer() {
                self.early.push((run_id.to_owned(), sign, at));
            }
            return false;
        };
        let asked = &mut self.asked[index];
        match sign {
            Sign::Started => asked.time(tally, Milestone::Started, at),
            Sign::Delta if !std::mem::replace(&mut asked.reached_delta, true) => {
                asked.time(tally, Milestone::FirstDelta, at);
            }
            Sign::Delta => {}
            Sign::Success | Sign::Failure => {
                let is_well = sign == Sign::Success;
                tally.counts.completed += u64::from(is_well);
                tally.counts.failed += u64::from(!is_well);
                self.over(index, tally, at);
                return true;
            }
        }
        false
    }

    /// Times an answer that is the end of its message; true when there was such a message.
    pub(super) fn answered(&mut self, tally: &mut Tally, id: Option<&str>, now: Instant) -> bool {
        let Some(index) = self.find(id) else { return false };
        tally.counts.completed += 1;
        self.over(index, tally, now);
        true
    }

    /// Counts a refusal; true when it was one of a message.
    pub(super) fn refused(&mut self, tally: &mut Tally, id: Option<&str>) -> bool {
        let Some(index) = self.find(id) else { return false };
        tally.counts.refused += 1;
        self.asked.swap_remove(index);
        true
    }

    fn over(&mut self, index: usize, tally: &mut Tally, at: Instant) {
        self.asked.swap_remove(index).time(tally, Milestone::Completed, at);
    }

    fn awaits_answer(&self) -> bool {
        self.asked.iter().any(|asked| asked.run_id.is_none())
    }

    fn find(&self, id: Option<&str>) -> Option<usize> {
        let number: u64 = id?.rsplit_once('-')?.1.parse().ok()?;
        self.asked.iter().position(|asked| asked.number == number)
    }
}

impl Message {
    /// By both clocks: from due, and from sent.
    fn time(&self, tally: &mut Tally, milestone: Milestone, at: Instant) {
        let step = &mut tally.steps[milestone as usize];
        step.raw.add(at.saturating_duration_since(self.sent));
        let Some((due, stage)) = self.due else { return };
        let corrected = at.saturating_duration_since(due);
        step.corrected.add(corrected);
        if milestone == Milestone::Completed {
            tally.stages[stage].add(corrected);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RUN: &str = "0193";

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn near(tally: &Tally, milestone: Milestone, corrected: f64, raw: f64) {
        let step = &tally.steps[milestone as usize];
        let seen = (step.corrected.ms(1.0), step.raw.ms(1.0));
        assert!((seen.0 - corrected).abs() < 0.1 && (seen.1 - raw).abs() < 0.1, "{milestone:?}: {seen:?}");
    }

    #[test]
    fn a_message_is_timed_from_due_and_from_sent_also_when_the_log_is_faster_than_the_answer() {
        let (due, mut tally, mut underway) = (Instant::now(), Tally::new(1), InFlight::default());
        underway.sent(7, Some((due, 0)), due + ms(40));
        assert!(!underway.run(&mut tally, RUN, Sign::Started, due + ms(50)));
        assert!(!underway.accepted(&mut tally, Some("c-7"), RUN, due + ms(51)));
        for at in [60, 70] {
            assert!(!underway.run(&mut tally, RUN, Sign::Delta, due + ms(at)));
        }
        assert!(underway.run(&mut tally, RUN, Sign::Success, due + ms(90)));
        near(&tally, Milestone::Accepted, 51.0, 11.0);
        near(&tally, Milestone::Started, 50.0, 10.0);
        near(&tally, Milestone::FirstDelta, 60.0, 20.0);
        near(&tally, Milestone::Completed, 90.0, 50.0);
        assert_eq!((tally.counts.completed, underway.len(), tally.stages[0].count()), (1, 0, 1));
    }

    #[test]
    fn a_closed_loop_has_no_schedule_to_be_late_for() {
        let (now, mut tally, mut underway) = (Instant::now(), Tally::new(0), InFlight::default());
        underway.sent(0, None, now);
        assert!(underway.answered(&mut tally, Some("c-0"), now + ms(5)));
        near(&tally, Milestone::Completed, 0.0, 5.0);
        assert_eq!(tally.steps[Milestone::Completed as usize].corrected.count(), 0);
    }

    #[test]
    fn what_is_not_ours_is_neither_timed_nor_kept() {
        let (now, mut tally, mut underway) = (Instant::now(), Tally::new(0), InFlight::default());
        assert!(!underway.run(&mut tally, RUN, Sign::Success, now));
        assert!(!underway.refused(&mut tally, Some("c-1")));
        assert!(!underway.answered(&mut tally, None, now));
        assert!(underway.early.is_empty());
        assert_eq!(tally.counts.completed + tally.counts.refused, 0);
    }
}
