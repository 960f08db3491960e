//! What a run tells of its tools.

use crate::{
    check::{
        CheckContext, CheckOutcome, ensure,
        list::whole_runs::{lawful, whole},
        pass,
        rules::Rule,
        timeline,
    },
    profile::Kind,
};

pub(super) async fn paired(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let prompt = context.prompt(&context.profile.prompts.parallel, "parallel")?;
    let run = whole(context, &session, prompt).await?;
    let (started, ended) = (run.of(Kind::ToolStarted).count(), run.of(Kind::ToolCompleted).count());
    ensure(started > 1, || {
        format!("{started} tools were used where several are needed:{}", timeline(&run.frames, &[]))
    })?;
    lawful(context, &run, |violation| {
        matches!(violation.rule, Rule::ToolNotOpen { .. } | Rule::ToolOpen { .. })
    })?;
    // Where the profile asks for no order of tools, their number is still the same.
    ensure(started == ended, || {
        format!("{started} tools started and {ended} ended:{}", timeline(&run.frames, &[]))
    })?;
    pass(format!("{started} tools at once, each ended once"))
}

pub(super) async fn result(context: &CheckContext<'_>) -> CheckOutcome {
    let fields = &context.profile.fields;
    let session = context.connect(&context.principal("ada")?).await?;
    let run = whole(context, &session, &context.sum()?.prompt).await?;
    let ended: Vec<_> = run.of(Kind::ToolCompleted).collect();
    ensure(!ended.is_empty(), || {
        format!("no tool ended in a run that needs one:{}", timeline(&run.frames, &[]))
    })?;
    for seen in &ended {
        let says = fields.result.of(&seen.json).or_else(|| fields.tool_error.of(&seen.json));
        ensure(says.is_some(), || {
            format!("{} says nothing of what came of it:\n  {}", seen.name, seen.text)
        })?;
    }
    pass(format!("{} tools ended, each with a result", ended.len()))
}

pub(super) async fn failed(context: &CheckContext<'_>) -> CheckOutcome {
    let fields = &context.profile.fields;
    let session = context.connect(&context.principal("ada")?).await?;
    let prompt = context.prompt(&context.profile.prompts.failing_tool, "failing_tool")?;
    let run = whole(context, &session, prompt).await?;
    let ended: Vec<_> = run.of(Kind::ToolCompleted).collect();
    let failed = ended.iter().filter(|seen| fields.tool_error.of(&seen.json).is_some()).count();
    ensure(failed > 0, || match ended.first() {
        Some(seen) => {
            format!("no tool is told to have failed, but one ended as if it had gone well:\n  {}", seen.text)
        }
        None => format!("no tool is told to have ended:{}", timeline(&run.frames, &[])),
    })?;
    pass(format!("{failed} of {} tools failed and said so, and the run ended", ended.len()))
}
