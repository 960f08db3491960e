//! The order inside of runs: one after the other, and several at once.

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, broken, ensure,
        list::whole_runs::{answer_of, lawful, listen, pieces, prompts, settled, unnamed, whole},
        pass,
        rules::{Rule, RunEvent},
        timeline,
    },
    profile::Kind,
};

/// Questions with an answer of their own that are asked at once.
const AT_ONCE: usize = 3;

pub(super) async fn started_first(context: &CheckContext<'_>) -> CheckOutcome {
    if !context.profile.order.started_first {
        return Err(Failure::NotDone(
            "the profile lets runs begin with anything (order.started_first)".to_owned(),
        ));
    }
    every_run(context, |rule| matches!(rule, Rule::BeforeStart | Rule::StartedTwice)).await
}

pub(super) async fn completed_last(context: &CheckContext<'_>) -> CheckOutcome {
    if !context.profile.order.completed_last {
        return Err(Failure::NotDone(
            "the profile lets runs end with anything (order.completed_last)".to_owned(),
        ));
    }
    every_run(context, |rule| matches!(rule, Rule::AfterEnd | Rule::ToolOpen { .. } | Rule::NoEnd)).await
}

/// Holds that no run of any prompt breaks the rules that are picked.
async fn every_run(context: &CheckContext<'_>, picked: impl Fn(&Rule) -> bool) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let (prompts, mut runs) = (prompts(context)?, Vec::new());
    for (_, prompt) in &prompts {
        let run = whole(context, &session, prompt).await?;
        lawful(context, &run, |violation| picked(&violation.rule))?;
        runs.push(run);
    }
    listen(&session, &mut runs).await;
    for run in &runs {
        lawful(context, run, |violation| picked(&violation.rule))?;
    }
    let events: usize = runs.iter().map(|run| run.frames.len()).sum();
    pass(format!("{events} events of {} runs", prompts.len()))
}

pub(super) async fn tool_order(context: &CheckContext<'_>) -> CheckOutcome {
    if !context.profile.order.tools_paired {
        return Err(Failure::NotDone("the profile does not pair tools (order.tools_paired)".to_owned()));
    }
    let session = context.connect(&context.principal("ada")?).await?;
    let mut tools = 0;
    for (name, prompt) in prompts(context)? {
        let run = whole(context, &session, &prompt).await?;
        lawful(context, &run, |violation| matches!(violation.rule, Rule::ToolNotOpen { .. }))?;
        let used = run.of(Kind::ToolStarted).count();
        ensure(used > 0 || name == "plain", || {
            format!("the prompt {name} needs a tool and used none:{}", timeline(&run.frames, &[]))
        })?;
        tools += used;
    }
    pass(format!("{tools} tools, each started before it ended"))
}

pub(super) async fn run_seq(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let (prompts, mut numbers) = (prompts(context)?, 0);
    for (_, prompt) in &prompts {
        let run = whole(context, &session, prompt).await?;
        let numberless = |seen: &crate::check::ReceivedFrame| {
            RunEvent::of(&context.profile.fields, seen).numbers.is_none()
        };
        if let Some(seen) = run.frames.iter().find(|seen| numberless(seen)) {
            return broken(format!("{} has no number in its run: {}", seen.name, seen.brief()));
        }
        lawful(context, &run, |violation| matches!(violation.rule, Rule::Number { .. }))?;
        numbers += run.frames.len();
    }
    pass(format!("{numbers} numbers in {} runs", prompts.len()))
}

pub(super) async fn runs_apart(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    // Slow ones first: they are still at work when the others ask, and the longer they are the more can get mixed.
    let mut questions: Vec<(String, Option<String>)> = Vec::new();
    questions.extend(context.profile.prompts.slow.iter().map(|slow| (slow.clone(), None)));
    questions.extend(context.sums(AT_ONCE)?.into_iter().map(|sum| (sum.prompt, sum.answer)));
    let mut asked = Vec::new();
    for (question, _) in &questions {
        asked.push(session.ask(question).await?);
    }
    let mut events = 0;
    for (asked, (question, expected)) in asked.iter().zip(&questions) {
        let run = settled(context, &session, asked).await?;
        if run.run.is_none() {
            return Err(unnamed("run", &run));
        }
        lawful(context, &run, |_| true)?;
        let answer = answer_of(&context.profile, &run).unwrap_or_default();
        let plain = answer.replace([',', '\u{a0}', '\u{202f}'], "");
        ensure(expected.as_ref().is_none_or(|expected| plain.contains(expected)), || {
            format!(
                "asked   {question:?} beside others\n  expected an answer with {expected:?}\n  got     {answer:?}"
            )
        })?;
        let joined = pieces(&context.profile, &run);
        ensure(joined.is_empty() || joined == answer, || {
            format!("pieces of several answers stand in one run:\n  answer  {answer:?}\n  pieces  {joined:?}")
        })?;
        events += run.frames.len();
    }
    pass(format!("{} runs at once, {events} events, each lawful and with its own answer", questions.len()))
}
