//! How runs end: each of them, once, and before all of a user's devices.

use std::time::Duration;

use crate::{
    check::{
        CheckContext, CheckOutcome, ensure,
        list::whole_runs::{lawful, listen, prompts, settled, whole},
        pass,
        rules::Rule,
        timeline,
    },
    profile::Kind,
};

/// Connections that see one run.
const DEVICES: usize = 3;

pub(super) async fn one_end(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let prompts = prompts(context)?;
    let mut runs = Vec::new();
    for (_, prompt) in &prompts {
        runs.push(whole(context, &session, prompt).await?);
    }
    listen(&session, &mut runs).await;
    for ((name, _), run) in prompts.iter().zip(&runs) {
        lawful(context, run, |violation| violation.rule == Rule::EndedTwice)?;
        let ends = run.of(Kind::Completed).count();
        ensure(ends == 1, || format!("the run of {name} has {ends} ends:{}", timeline(&run.frames, &[])))?;
    }
    pass(format!("{} runs with one end each, and nothing of another behind it", prompts.len()))
}

pub(super) async fn an_end(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let prompts = prompts(context)?;
    let mut longest = Duration::ZERO;
    for (_, prompt) in &prompts {
        let run = session.run(prompt).await?;
        let end = run.of(Kind::Completed).next().map(|seen| seen.at.saturating_duration_since(run.asked_at));
        longest = longest.max(end.unwrap_or_default());
    }
    let names: Vec<_> = prompts.iter().map(|(name, _)| *name).collect();
    pass(format!(
        "{} runs ended ({}), the slowest after {} ms",
        names.len(),
        names.join(", "),
        longest.as_millis()
    ))
}

pub(super) async fn all_devices(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(context.connect(&ada).await?);
    }
    let before: Vec<usize> = devices.iter().map(|device| device.count()).collect();
    let asked = devices[0].ask(&context.plain("wk1devices")?).await?;
    let run = settled(context, &devices[0], &asked).await?;
    let events: Vec<_> = run.frames.iter().map(|seen| &seen.name).collect();
    for (device, from) in devices.iter().zip(before).skip(1) {
        // The run is over where it was asked for: an answer's time is enough for the others.
        let ours = |seen: &crate::check::ReceivedFrame| seen.kind == Kind::Completed && seen.run == run.run;
        device.wait("end of the run of another device", from, device.patience(), ours).await?;
        let frames = device.frames_of(from, &run.run);
        let seen: Vec<_> = frames.iter().map(|seen| &seen.name).collect();
        // A device that was behind may have got pieces merged.
        let without = |names: &[&String]| {
            let deltas = &context.profile.events.delta;
            names
                .iter()
                .filter(|name| !deltas.contains(name))
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        ensure(without(&seen) == without(&events), || {
            let (there, here) = (timeline(&run.frames, &[]), timeline(&frames, &[]));
            format!(
                "{} saw another run than the device that asked for it:{here}\n  in place of{there}",
                device.name
            )
        })?;
    }
    pass(format!("{DEVICES} connections, {} events each", events.len()))
}
