//! What a run tells of its tools.

use crate::{
    check::{
        Outcome, Trial, ensure,
        list::whole::{lawful, whole},
        pass,
        rules::Rule,
        story,
    },
    profile::Kind,
};

pub(super) async fn paired(trial: &Trial<'_>) -> Outcome {
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let prompt = trial.prompt(&trial.profile.prompts.parallel, "parallel")?;
    let run = whole(trial, &session, prompt).await?;
    let (started, ended) = (run.of(Kind::ToolStarted).count(), run.of(Kind::ToolCompleted).count());
    ensure(started > 1, || {
        format!("{started} tools were used where several are needed:{}", story(&run.frames, &[]))
    })?;
    lawful(trial, &run, |violation| {
        matches!(violation.rule, Rule::ToolNotOpen { .. } | Rule::ToolOpen { .. })
    })?;
    // Where the profile asks for no order of tools, their number is still the same.
    ensure(started == ended, || {
        format!("{started} tools started and {ended} ended:{}", story(&run.frames, &[]))
    })?;
    pass(format!("{started} tools at once, each ended once"))
}

pub(super) async fn result(trial: &Trial<'_>) -> Outcome {
    let fields = &trial.profile.fields;
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let run = whole(trial, &session, &trial.sum()?.prompt).await?;
    let ended: Vec<_> = run.of(Kind::ToolCompleted).collect();
    ensure(!ended.is_empty(), || {
        format!("no tool ended in a run that needs one:{}", story(&run.frames, &[]))
    })?;
    for seen in &ended {
        let says = fields.result.of(&seen.json).or_else(|| fields.tool_error.of(&seen.json));
        ensure(says.is_some(), || {
            format!("{} says nothing of what came of it:\n  {}", seen.name, seen.text)
        })?;
    }
    pass(format!("{} tools ended, each with a result", ended.len()))
}

pub(super) async fn failed(trial: &Trial<'_>) -> Outcome {
    let fields = &trial.profile.fields;
    let session = trial.connect(&trial.visitor("ada")?).await?;
    let prompt = trial.prompt(&trial.profile.prompts.failing_tool, "failing_tool")?;
    let run = whole(trial, &session, prompt).await?;
    let ended: Vec<_> = run.of(Kind::ToolCompleted).collect();
    let failed = ended.iter().filter(|seen| fields.tool_error.of(&seen.json).is_some()).count();
    ensure(failed > 0, || match ended.first() {
        Some(seen) => {
            format!("no tool is told to have failed, but one ended as if it had gone well:\n  {}", seen.text)
        }
        None => format!("no tool is told to have ended:{}", story(&run.frames, &[])),
    })?;
    pass(format!("{failed} of {} tools failed and said so, and the run ended", ended.len()))
}
