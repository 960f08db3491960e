//! Whole runs: asked for, waited for to their end and past it, and held against the rules of order.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    check::{
        CheckContext, Failure, ReceivedFrame, Session, broken,
        rules::{OrderViolation, RunEvent, order_of, violations},
        session::{Asked, RunSeen},
        timeline,
    },
    profile::{Kind, Profile},
};

/// Asks, waits for the end of the run and for all that was on its way behind it.
pub(super) async fn whole(
    context: &CheckContext<'_>,
    session: &Session,
    text: &str,
) -> Result<RunSeen, Failure> {
    let asked = session.ask(text).await?;
    settled(context, session, &asked).await
}

/// Waits for the end of a run, and for all that was on its way behind it.
pub(super) async fn settled(
    context: &CheckContext<'_>,
    session: &Session,
    asked: &Asked,
) -> Result<RunSeen, Failure> {
    let mut run = session.finish(asked).await?;
    // Where runs have no names, a barrier that is a run of its own would be taken for more of this one.
    if run.run.is_some() || context.profile.messages.ping.is_some() {
        session.barrier().await?;
        run.frames = session.frames_of(asked.from, &run.run);
    }
    Ok(run)
}

/// Why nothing can be told of a run none of whose events has a field that the profile names.
pub(super) fn unnamed(field: &str, run: &RunSeen) -> Failure {
    Failure::NotDone(format!("no event of a run has fields.{field}: there came {}", run.timeline()))
}

/// How long is listened when all runs are over: what is told too late comes behind the answer to a ping as well.
const LATE: Duration = Duration::from_millis(500);

/// Adds to runs what comes late. What is of a run without a name cannot be told from another's.
pub(super) async fn listen(session: &Session, runs: &mut [RunSeen]) {
    // That the connection goes on is what is expected.
    let _ = session.ended(LATE).await;
    for run in runs.iter_mut().filter(|run| run.run.is_some()) {
        run.frames = session.frames_of(0, &run.run);
    }
}

/// The prompts of the profile that are answered without waiting, by their names.
pub(super) fn prompts(context: &CheckContext<'_>) -> Result<Vec<(&'static str, String)>, Failure> {
    let prompts = &context.profile.prompts;
    let mut all = vec![("plain", context.plain("wk1prompt")?)];
    if prompts.tool.is_some() {
        all.push(("tool", context.sum()?.prompt));
    }
    let others = [("parallel", &prompts.parallel), ("failing_tool", &prompts.failing_tool)];
    all.extend(others.into_iter().filter_map(|(name, prompt)| Some((name, prompt.clone()?))));
    Ok(all)
}

/// Holds that a run breaks none of the rules that are picked; what it breaks is told beside its events.
pub(super) fn lawful(
    context: &CheckContext<'_>,
    run: &RunSeen,
    picked: impl Fn(&OrderViolation) -> bool,
) -> Result<(), Failure> {
    let profile = &context.profile;
    let found =
        violations(&order_of(profile), run.frames.iter().map(|seen| RunEvent::of(&profile.fields, seen)));
    let found: Vec<OrderViolation> = found.into_iter().filter(picked).collect();
    let Some(first) = found.first() else { return Ok(()) };
    let notes: Vec<_> = found.iter().map(|violation| (violation.at, violation.to_string())).collect();
    broken(format!("{first}; the run was{}", timeline(&run.frames, &notes)))
}

/// The answer of a run: what its end says, or its pieces put together.
pub(super) fn answer_of(profile: &Profile, run: &RunSeen) -> Option<String> {
    let told = run.of(Kind::Completed).find_map(|seen| profile.fields.answer.text(&seen.json));
    told.or_else(|| Some(pieces(profile, run)).filter(|pieces| !pieces.is_empty()))
}

/// The pieces of a run's answer put together.
pub(super) fn pieces(profile: &Profile, run: &RunSeen) -> String {
    run.of(Kind::Delta).filter_map(|seen| profile.fields.delta.text(&seen.json)).collect()
}

/// True when a text stands somewhere in a frame, however its JSON is written.
pub(super) fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(fields) => fields.values().any(|field| holds(field, text)),
        _ => false,
    }
}

/// The events of a connection with a number in the log, as they came.
pub(super) fn numbered(session: &Session) -> Vec<Arc<ReceivedFrame>> {
    session.seen().into_iter().filter(|seen| seen.seq.is_some()).collect()
}
