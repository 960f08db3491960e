//! Which events a run has, and what stands in them.

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, broken, ensure, list::whole_runs::whole, pass, rules::missing,
        session::RunSeen, timeline,
    },
    profile::{Kind, at},
};

pub(super) async fn critical(context: &CheckContext<'_>) -> CheckOutcome {
    let order = &context.profile.order;
    if order.required.is_empty() {
        return Err(Failure::NotDone("the profile requires no kinds of events (order.required)".to_owned()));
    }
    let run = tool_run(context).await?;
    let missing = missing(order, run.kinds());
    ensure(missing.is_empty(), || {
        format!("a run that needs a tool came without {missing:?}: it was{}", timeline(&run.frames, &[]))
    })?;
    pass(format!("{} events with all of {:?}", run.frames.len(), order.required))
}

pub(super) async fn run_named(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    whole(context, &session, &context.sum()?.prompt).await?;
    let of_a_run =
        [Kind::Started, Kind::Thinking, Kind::ToolStarted, Kind::ToolCompleted, Kind::Delta, Kind::Completed];
    let seen = session.seen();
    let events: Vec<_> = seen.into_iter().filter(|seen| of_a_run.contains(&seen.kind)).collect();
    let nameless = |seen: &crate::check::ReceivedFrame| seen.run.is_none().then(|| "says no run".to_owned());
    let notes: Vec<_> =
        events.iter().enumerate().filter_map(|(at, seen)| Some((at, nameless(seen)?))).collect();
    ensure(notes.is_empty(), || {
        format!(
            "{} of {} events of a run do not say which:{}",
            notes.len(),
            events.len(),
            timeline(&events, &notes)
        )
    })?;
    pass(format!("{} events, each with its run", events.len()))
}

pub(super) async fn required_fields(context: &CheckContext<'_>) -> CheckOutcome {
    let required = &context.profile.fields.required;
    if required.is_empty() {
        return Err(Failure::NotDone("the profile requires no fields (fields.required)".to_owned()));
    }
    let session = context.connect(&context.principal("ada")?).await?;
    whole(context, &session, &context.sum()?.prompt).await?;
    let (mut looked_at, mut types) = (0, std::collections::BTreeSet::new());
    for seen in session.seen() {
        let Some(paths) = required.get(&seen.name) else { continue };
        let absent: Vec<_> = paths.iter().filter(|path| at(&seen.json, path).is_none()).collect();
        ensure(absent.is_empty(), || format!("{} lacks {absent:?}\n  it is  {}", seen.name, seen.text))?;
        looked_at += paths.len();
        types.insert(seen.name.clone());
    }
    ensure(looked_at > 0, || {
        format!("a run that needs a tool had no event of {:?}", required.keys().collect::<Vec<_>>())
    })?;
    pass(format!("{looked_at} fields of {} types of events", types.len()))
}

pub(super) async fn reasoning(context: &CheckContext<'_>) -> CheckOutcome {
    let run = tool_run(context).await?;
    let mut thoughts = 0;
    for seen in run.of(Kind::Thinking) {
        let text = context.profile.fields.reasoning.text(&seen.json).unwrap_or_default();
        ensure(!text.trim().is_empty(), || {
            format!(
                "{} comes with {text:?} in place of what the agent thinks:{}",
                seen.name,
                timeline(&run.frames, &[])
            )
        })?;
        thoughts += 1;
    }
    if thoughts == 0 {
        return broken(format!("the run told of no thought:{}", timeline(&run.frames, &[])));
    }
    pass(format!("{thoughts} thoughts, each with its text"))
}

async fn tool_run(context: &CheckContext<'_>) -> Result<RunSeen, Failure> {
    let session = context.connect(&context.principal("ada")?).await?;
    whole(context, &session, &context.sum()?.prompt).await
}

pub(super) async fn times(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let mut prompts = vec![context.plain("wk1times")?];
    prompts.extend(context.profile.prompts.slow.clone());
    let mut told = 0;
    for prompt in &prompts {
        let run = whole(context, &session, prompt).await?;
        let mut latest = f64::MIN;
        for (at, seen) in run.frames.iter().enumerate() {
            let Some(value) = context.profile.fields.timestamp.of(&seen.json) else { continue };
            let Some(time) = seconds(value) else {
                return broken(format!("{} has a time that is none: {value}", seen.name));
            };
            ensure(time >= latest, || {
                let note = format!("{:.6} s before the time of an earlier event", latest - time);
                format!(
                    "the time of {} goes back; the run was{}",
                    seen.name,
                    timeline(&run.frames, &[(at, note)])
                )
            })?;
            latest = time;
            told += 1;
        }
    }
    if told == 0 {
        return Err(Failure::NotDone("no event of a run says its time".to_owned()));
    }
    pass(format!("{told} times of {} runs, none before an earlier one", prompts.len()))
}

/// A time as a number, of whatever unit, or as a date.
fn seconds(value: &serde_json::Value) -> Option<f64> {
    let text = match value {
        serde_json::Value::String(text) => text,
        other => return other.as_f64(),
    };
    let exact = text.parse::<jiff::Timestamp>().ok();
    // Some leave the zone out.
    let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let exact = exact.or_else(|| civil().map(|zoned| zoned.timestamp()));
    exact.map(|time| time.as_nanosecond() as f64 / 1e9).or_else(|| text.parse().ok())
}
