//! The order inside of runs: one after the other, and several at once.

use crate::{
    check::{
        Fault, Outcome, Trial, broken, ensure,
        list::whole::{answer_of, lawful, listen, pieces, prompts, settled, unnamed, whole},
        pass,
        rules::{Rule, RunEvent},
        story,
    },
    profile::Kind,
};

/// Questions with an answer of their own that are asked at once.
const AT_ONCE: usize = 3;

pub(super) async fn started_first(trial: &Trial<'_>) -> Outcome {
    if !trial.profile.order.started_first {
        return Err(Fault::NotDone(
            "the profile lets runs begin with anything (order.started_first)".to_owned(),
        ));
    }
    every_run(trial, |rule| matches!(rule, Rule::BeforeStart | Rule::StartedTwice)).await
}

pub(super) async fn completed_last(trial: &Trial<'_>) -> Outcome {
    if !trial.profile.order.completed_last {
        return Err(Fault::NotDone(
            "the profile lets runs end with anything (order.completed_last)".to_owned(),
        ));
    }
    every_run(trial, |rule| matches!(rule, Rule::AfterEnd | Rule::ToolOpen { .. } | Rule::NoEnd)).await
}

/// Holds that no run of any prompt breaks the rules that are picked.
async fn every_run(trial: &Trial<'_>, picked: impl Fn(&Rule) -> bool) -> Outcome {
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let (prompts, mut runs) = (prompts(trial)?, Vec::new());
    for (_, prompt) in &prompts {
        let run = whole(trial, &session, prompt).await?;
        lawful(trial, &run, |violation| picked(&violation.rule))?;
        runs.push(run);
    }
    listen(&session, &mut runs).await;
    for run in &runs {
        lawful(trial, run, |violation| picked(&violation.rule))?;
    }
    let events: usize = runs.iter().map(|run| run.frames.len()).sum();
    pass(format!("{events} events of {} runs", prompts.len()))
}

pub(super) async fn tool_order(trial: &Trial<'_>) -> Outcome {
    if !trial.profile.order.tools_paired {
        return Err(Fault::NotDone("the profile does not pair tools (order.tools_paired)".to_owned()));
    }
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let mut tools = 0;
    for (name, prompt) in prompts(trial)? {
        let run = whole(trial, &session, &prompt).await?;
        lawful(trial, &run, |violation| matches!(violation.rule, Rule::ToolNotOpen { .. }))?;
        let used = run.of(Kind::ToolStarted).count();
        ensure(used > 0 || name == "plain", || {
            format!("the prompt {name} needs a tool and used none:{}", story(&run.frames, &[]))
        })?;
        tools += used;
    }
    pass(format!("{tools} tools, each started before it ended"))
}

pub(super) async fn run_seq(trial: &Trial<'_>) -> Outcome {
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let (prompts, mut numbers) = (prompts(trial)?, 0);
    for (_, prompt) in &prompts {
        let run = whole(trial, &session, prompt).await?;
        let numberless =
            |seen: &crate::check::Seen| RunEvent::of(&trial.profile.fields, seen).numbers.is_none();
        if let Some(seen) = run.frames.iter().find(|seen| numberless(seen)) {
            return broken(format!("{} has no number in its run: {}", seen.name, seen.brief()));
        }
        lawful(trial, &run, |violation| matches!(violation.rule, Rule::Number { .. }))?;
        numbers += run.frames.len();
    }
    pass(format!("{numbers} numbers in {} runs", prompts.len()))
}

pub(super) async fn runs_apart(trial: &Trial<'_>) -> Outcome {
    let session = trial.connect(&trial.visitor("ada")?).await?;
    // Slow ones first: they are still at work when the others ask, and the longer they are the more can get mixed.
    let mut questions: Vec<(String, Option<String>)> = Vec::new();
    questions.extend(trial.profile.prompts.slow.iter().map(|slow| (slow.clone(), None)));
    questions.extend(trial.sums(AT_ONCE)?.into_iter().map(|sum| (sum.prompt, sum.answer)));
    let mut asked = Vec::new();
    for (question, _) in &questions {
        asked.push(session.ask(question).await?);
    }
    let mut events = 0;
    for (asked, (question, expected)) in asked.iter().zip(&questions) {
        let run = settled(trial, &session, asked).await?;
        if run.run.is_none() {
            return Err(unnamed("run", &run));
        }
        lawful(trial, &run, |_| true)?;
        let answer = answer_of(&trial.profile, &run).unwrap_or_default();
        let plain = answer.replace([',', '\u{a0}', '\u{202f}'], "");
        ensure(expected.as_ref().is_none_or(|expected| plain.contains(expected)), || {
            format!(
                "asked   {question:?} beside others\n  expected an answer with {expected:?}\n  got     {answer:?}"
            )
        })?;
        let joined = pieces(&trial.profile, &run);
        ensure(joined.is_empty() || joined == answer, || {
            format!("pieces of several answers stand in one run:\n  answer  {answer:?}\n  pieces  {joined:?}")
        })?;
        events += run.frames.len();
    }
    pass(format!("{} runs at once, {events} events, each lawful and with its own answer", questions.len()))
}
