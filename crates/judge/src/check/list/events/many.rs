//! Runs that end otherwise than by themselves at once: those that are cancelled, and those that have to wait.

use std::time::Instant;

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, broken, ensure,
        list::whole_runs::{answer_of, lawful, settled},
        pass,
        session::{Asked, RunSeen, new_id},
        timeline,
    },
    profile::Kind,
};

/// Long runs that keep others waiting, where the profile has any.
const LONG: usize = 5;
/// Questions behind them.
const QUESTIONS: usize = 6;

pub(super) async fn cancelled(context: &CheckContext<'_>) -> CheckOutcome {
    let prompts = &context.profile.prompts;
    let long = context.prompt(&prompts.slow, "slow")?;
    let session = context.connect(&context.principal("ada")?).await?;
    // What the same run takes at the same time when it is left alone.
    let alone = session.ask(long).await?;
    let asked = session.ask(long).await?;
    let (run, at) = cancel(context, &session, &asked, Kind::Delta).await?;
    let ended = end_of(&run)?.saturating_duration_since(at);
    lawful(context, &run, |_| true)?;
    let mut cancelled = 1;
    if let Some(tool) = prompts.slow_tool.as_ref().filter(|_| !context.profile.events.tool_started.is_empty())
    {
        let asked = session.ask(tool).await?;
        let (run, _) = cancel(context, &session, &asked, Kind::ToolStarted).await?;
        lawful(context, &run, |_| true)?;
        cancelled += 1;
    }
    let alone = session.finish(&alone).await?;
    let takes = end_of(&alone)?.saturating_duration_since(alone.asked_at);
    ensure(ended < takes / 2, || {
        format!(
            "a run went on for {ended:.1?} after it was cancelled; one that is left alone takes {takes:.1?}"
        )
    })?;
    pass(format!(
        "{cancelled} cancelled runs ended, with their tools; the first after {ended:.0?} in place of {takes:.1?}"
    ))
}

/// Cancels a run once it came to something, and waits for its end; gives when it was cancelled, too.
async fn cancel(
    context: &CheckContext<'_>,
    session: &Session,
    asked: &Asked,
    begun: Kind,
) -> Result<(RunSeen, Instant), Failure> {
    let Some(message) = &context.profile.messages.cancel else {
        return Err(Failure::NotDone("the profile does not say how to cancel (messages.cancel)".to_owned()));
    };
    let run = session.run_of(asked).await?;
    let begun_here = |seen: &crate::check::ReceivedFrame| seen.kind == begun && seen.run == run;
    session
        .wait("work of the run that is to be cancelled", asked.from, session.patience(), begun_here)
        .await?;
    let at = Instant::now();
    session.send(message.fill(&[("run", json!(run)), ("id", json!(new_id()))])).await?;
    Ok((settled(context, session, asked).await?, at))
}

fn end_of(run: &RunSeen) -> Result<Instant, Failure> {
    match run.of(Kind::Completed).next() {
        Some(end) => Ok(end.at),
        None => broken(format!("a run has no end:{}", timeline(&run.frames, &[]))),
    }
}

pub(super) async fn every_question(context: &CheckContext<'_>) -> CheckOutcome {
    let limits = &context.profile.limits;
    let most = limits.burst.unwrap_or(LONG + QUESTIONS).min(limits.runs.unwrap_or(LONG + QUESTIONS));
    let session = context.connect(&context.principal("ada")?).await?;
    let mut questions: Vec<(String, Option<String>)> = Vec::new();
    if let Some(slow) = &context.profile.prompts.slow {
        questions.extend((0..LONG).map(|_| (slow.clone(), None)));
    }
    questions.extend(context.sums(QUESTIONS)?.into_iter().map(|sum| (sum.prompt, sum.answer)));
    questions.truncate(most);
    let mut asked = Vec::new();
    for (question, _) in &questions {
        asked.push(session.ask(question).await?);
    }
    let mut answered = 0;
    for (asked, (question, expected)) in asked.iter().zip(&questions) {
        let run = session.finish(asked).await;
        let run = run.or_else(|fault| {
            broken(format!(
                "of {} questions at once {answered} were answered: {question:?}: {fault}",
                questions.len()
            ))
        })?;
        let answer =
            answer_of(&context.profile, &run).unwrap_or_default().replace([',', '\u{a0}', '\u{202f}'], "");
        ensure(expected.as_ref().is_none_or(|expected| answer.contains(expected)), || {
            format!(
                "asked   {question:?} beside others\n  expected an answer with {expected:?}\n  got     {answer:?}"
            )
        })?;
        answered += 1;
    }
    pass(format!("{answered} questions at once, each answered"))
}
