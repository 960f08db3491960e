//! Runs the checks against a server: beside each other where they may, alone where they measure, each within a deadline.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{
    CHECKS, Check, CheckContext, Failure, Schedule, Target, TargetError, alive::Alive, foreign, look, redact,
    throttled,
};
use crate::{
    record::HistoryRecorder,
    report::{CheckResult, Report, SCHEMA, Verdict},
};

/// Checks at once.
const BESIDE: usize = 8;
/// How long one check may take; its own waits are shorter.
const DEADLINE: Duration = Duration::from_secs(90);
/// Users in the proof with `quick`: enough that everybody has a neighbour, and done within a few seconds.
const FEW: usize = 6;
/// How often a check is done whose users had said too much before it began.
const TRIES: usize = 3;
/// How long they say nothing between: a minute's allowance comes back bit by bit.
const SILENCE: Duration = Duration::from_secs(20);

/// Which checks are run, and how.
pub struct Judge {
    /// What chance is made of.
    pub seed: u64,
    /// Users, where a check takes many.
    pub users: usize,
    /// True to leave out what takes long.
    pub quick: bool,
    /// Ids or groups; all checks when empty.
    pub only: Vec<String>,
}

/// What the judge is doing.
pub enum Progress<'a> {
    /// A check begins.
    Began(&'static Check),
    /// A check is over.
    Ended(&'a CheckResult),
}

/// The same in values of its own, to be sent to another task or thread.
#[derive(Debug, Clone)]
pub enum ProgressEvent {
    /// The check of this id begins.
    Began(String),
    /// A check is over.
    Ended(Box<CheckResult>),
}

impl From<Progress<'_>> for ProgressEvent {
    fn from(progress: Progress<'_>) -> Self {
        match progress {
            Progress::Began(check) => Self::Began(check.id.to_string()),
            Progress::Ended(result) => Self::Ended(Box::new(result.clone())),
        }
    }
}

impl Judge {
    /// A channel for [`Judge::run_and_tell`] with room for all that one run of the chosen checks tells.
    pub fn progress_channel(&self) -> (mpsc::Sender<ProgressEvent>, mpsc::Receiver<ProgressEvent>) {
        mpsc::channel(2 * self.chosen().len().max(1))
    }

    /// Runs the chosen checks and sends what it is doing; an event for which there is no room is left out.
    pub async fn run_and_tell(&self, target: &Target, events: mpsc::Sender<ProgressEvent>) -> Report {
        // Nobody has to listen to the end.
        self.run(target, |progress| drop(events.try_send(progress.into()))).await
    }

    /// A judge with this seed and defaults.
    pub fn new(seed: u64) -> Self {
        Self { seed, users: 50, quick: false, only: Vec::new() }
    }

    /// The checks that it runs.
    pub fn chosen(&self) -> Vec<&'static Check> {
        let named = |check: &&Check| {
            self.only.is_empty()
                || self.only.iter().any(|name| check.id == *name || check.id.split('.').next() == Some(name))
        };
        let in_time = |check: &&Check| {
            !self.quick
                || !self.only.is_empty()
                || matches!(check.schedule, Schedule::First | Schedule::Quick | Schedule::Alone)
        };
        CHECKS.iter().copied().filter(named).filter(in_time).collect()
    }

    /// Why each of the chosen checks cannot be done on a server; checks that can are not in it.
    pub fn explain(&self, target: &Target) -> BTreeMap<&'static str, String> {
        let missing = |check: &&'static Check| Some((&*check.id, cannot(check, target)?));
        self.chosen().iter().filter_map(missing).collect()
    }

    /// Whether somebody is there who speaks the profile and lets the judge in. What no event had is known to the target
    /// from then on, and checks that need it are not done.
    pub async fn reach(&self, target: &Target) -> Result<(), TargetError> {
        target.lacks(look::look(target, self.seed).await?);
        Ok(())
    }

    /// Runs the chosen checks; `progress` hears of each.
    pub async fn run(&self, target: &Target, progress: impl Fn(Progress<'_>) + Sync) -> Report {
        let (began, recorder) = (Instant::now(), HistoryRecorder::new());
        let alive = Alive::new(target, self.seed);
        let (mut first, mut beside, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for (place, check) in self.chosen().into_iter().enumerate() {
            match check.schedule {
                Schedule::First => first.push((place, check)),
                schedule if schedule.is_alone() => alone.push((place, check)),
                _ => beside.push((place, check)),
            }
        }
        let one = |(place, check): (usize, &'static Check)| {
            let (progress, recorder, alive) = (&progress, recorder.beside(), &alive);
            async move {
                progress(Progress::Began(check));
                let begun = Instant::now();
                let result = alive.during(check, self.judge(target, check, recorder)).await;
                progress(Progress::Ended(&result));
                Judged { place, span: begun..Instant::now(), result }
            }
        };
        let mut results: Vec<Judged> = Vec::new();
        for check in first {
            results.push(one(check).await);
        }
        let beside = stream::iter(beside).map(one).buffer_unordered(beside_each_other(target));
        results.extend(beside.collect::<Vec<_>>().await);
        for check in alone {
            results.push(one(check).await);
        }
        results.sort_by_key(|judged| judged.place);
        let neighbours: Vec<Vec<String>> = results.iter().map(|one| one.beside(&results)).collect();
        let mut results: Vec<CheckResult> = results.into_iter().map(|judged| judged.result).collect();
        foreign::judge(target, &mut results);
        for (result, beside) in results.iter_mut().zip(neighbours) {
            if matches!(result.verdict, Verdict::Fail | Verdict::Gone) {
                result.beside = beside;
            }
        }
        report(target, self.seed, began.elapsed(), results)
    }

    /// Judges one check. Where all checks have the same users, one may find what those before it used up: the server says
    /// "later", which is nothing against it, and the check is done later, or is not done.
    async fn judge(&self, target: &Target, check: &'static Check, recorder: HistoryRecorder) -> CheckResult {
        let mut result = self.judge_once(target, check, recorder.beside()).await;
        let shared = !target.given().is_empty();
        let put_off = |result: &CheckResult| {
            shared
                && result.verdict == Verdict::Fail
                && throttled::was_said(target.profile(), &result.history)
        };
        for _ in 1..if self.quick { 1 } else { TRIES } {
            if put_off(&result) {
                tokio::time::sleep(SILENCE).await;
                result = self.judge_once(target, check, recorder.beside()).await;
            }
        }
        // A check of limits asks for their refusals: what it says then is no matter of who came before.
        if put_off(&result) && result.group() != "limits" {
            result.verdict = Verdict::NotDone;
            result.what = format!("the server told the given users to come later: {}", result.what);
        }
        redact::clean(target, &mut result);
        result
    }

    async fn judge_once(
        &self,
        target: &Target,
        check: &'static Check,
        recorder: HistoryRecorder,
    ) -> CheckResult {
        let began = Instant::now();
        let outcome = match cannot(check, target) {
            Some(why) => Err(Failure::NotDone(why)),
            None => {
                let users = if self.quick { self.users.min(FEW) } else { self.users };
                let context = CheckContext::new(target, recorder.clone(), &*check.id, self.seed, users);
                let run = tokio::time::timeout(DEADLINE, (check.run)(&context)).await;
                run.unwrap_or_else(|_| {
                    Err(Failure::Broken(format!("the check did not end within {DEADLINE:?}")))
                })
            }
        };
        let (verdict, what, measures) = match outcome {
            Ok(evidence) => (Verdict::Pass, evidence.what, evidence.measures),
            Err(Failure::Broken(what)) => (Verdict::Fail, what, Vec::new()),
            Err(Failure::NotDone(why)) => (Verdict::NotDone, why, Vec::new()),
            Err(Failure::Gone(why)) => (Verdict::Gone, why, Vec::new()),
        };
        CheckResult {
            id: check.id.to_string(),
            sentence: check.sentence.to_owned(),
            severity: check.severity,
            verdict,
            what,
            ms: began.elapsed().as_secs_f64() * 1e3,
            measures,
            beside: Vec::new(),
            history: recorder.take(),
        }
    }
}

/// What came of a check, and when it ran.
struct Judged {
    place: usize,
    span: Range<Instant>,
    result: CheckResult,
}

impl Judged {
    /// The checks that ran at the same time: one of them may be a part of what was seen.
    fn beside(&self, all: &[Judged]) -> Vec<String> {
        let overlaps = |other: &&Judged| {
            other.place != self.place && other.span.start < self.span.end && self.span.start < other.span.end
        };
        all.iter().filter(overlaps).map(|other| other.result.id.clone()).collect()
    }
}

/// How many checks run at once: where users are given, all checks have the same, and would be in each other's way.
fn beside_each_other(target: &Target) -> usize {
    if target.given().is_empty() { BESIDE } else { 1 }
}

fn cannot(check: &Check, target: &Target) -> Option<String> {
    if let Some(why) = target.profile().except.get(&*check.id) {
        return Some(why.clone());
    }
    check.needs.iter().find_map(|need| need.missing(target))
}

/// The report of what these checks gave, as of now.
fn report(target: &Target, seed: u64, took: Duration, checks: Vec<CheckResult>) -> Report {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let (url, profile) = (target.url(), &target.profile().name);
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: url.to_owned(),
        profile: profile.clone(),
        insecure: target.is_insecure(),
        seed,
        command: format!("wireproof check {url} --profile {profile}"),
        began: now.map_or(0.0, |now| now.saturating_sub(took).as_secs_f64()),
        seconds: took.as_secs_f64(),
        checks,
    }
}
