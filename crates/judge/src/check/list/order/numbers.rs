//! The order of a user's events by their numbers, on each connection and between them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, ReceivedFrame, Session, broken, ensure,
        list::whole_runs::{numbered, pieces, prompts},
        pass,
        session::RunSeen,
        timeline,
    },
    profile::Kind,
};

#[cfg(test)]
mod tests;

/// What is wrong with the numbers of a connection's events between two positions that are known: at which of them, and
/// what.
type Judge = fn(&[Arc<ReceivedFrame>], Known) -> Vec<(usize, String)>;

/// The positions between which a connection must have every number, as far as they are known.
#[derive(Clone, Copy)]
struct Known {
    /// Where the welcome said that the log was.
    begin: Option<u64>,
    /// What another connection of the user got to.
    end: u64,
}

pub(super) async fn gapless(context: &CheckContext<'_>) -> CheckOutcome {
    judged(context, gaps).await
}

pub(super) async fn increasing(context: &CheckContext<'_>) -> CheckOutcome {
    judged(context, steps_back).await
}

pub(super) async fn once(context: &CheckContext<'_>) -> CheckOutcome {
    judged(context, repeats).await
}

/// Asks everything there is, on two connections if both see it: first one by one, then all at once.
async fn judged(context: &CheckContext<'_>, judge: Judge) -> CheckOutcome {
    let sessions = devices(context).await?;
    // Only a user of our own is quiet while we look at one connection after the other.
    let is_quiet = context.target.given().is_empty();
    let look = || {
        let highest =
            |session: &Session| numbered(session).iter().filter_map(|seen| seen.seq).max().unwrap_or(0);
        let end = if is_quiet { sessions.iter().map(highest).max().unwrap_or(0) } else { 0 };
        for session in &sessions {
            let events = numbered(session);
            let notes = judge(&events, Known { begin: position(context, session), end });
            let (Some((_, first)), Some(at)) = (notes.first(), notes.first().map(|(at, _)| *at)) else {
                continue;
            };
            // What is wrong is told with its neighbours.
            let (from, to) = (at.saturating_sub(6), (at + 6).min(events.len()));
            let near: Vec<_> = notes.iter().filter(|(at, _)| (from..to).contains(at)).collect();
            let near: Vec<_> = near.into_iter().map(|(at, note)| (at - from, note.clone())).collect();
            return broken(format!(
                "{}: {first}; there came{}",
                session.name,
                timeline(&events[from..to], &near)
            ));
        }
        Ok(())
    };
    let prompts = prompts(context)?;
    for (_, prompt) in &prompts {
        let run = sessions[0].run(prompt).await;
        // A run whose end does not come may be one whose end was lost: the numbers know.
        barriers(&sessions).await.and_then(|()| look()).and(run.map(|_| ()))?;
    }
    let mut asked = Vec::new();
    for (place, (_, prompt)) in prompts.iter().enumerate() {
        let session = &sessions[place % sessions.len()];
        asked.push((session, session.ask(prompt).await?));
    }
    let mut ended = Ok(());
    for (session, asked) in &asked {
        ended = ended.and(session.finish(asked).await.map(|_| ()));
    }
    barriers(&sessions).await.and_then(|()| look()).and(ended)?;
    let events: usize = sessions.iter().map(|session| numbered(session).len()).sum();
    ensure(events > 0, || "no event has a number".to_owned())?;
    pass(format!("{events} numbers on {} connections, in {} runs", sessions.len(), 2 * prompts.len()))
}

/// Where the log was when the connection began, if the welcome says so and a position is what one resumes from.
fn position(context: &CheckContext<'_>, session: &Session) -> Option<u64> {
    let seen = session.seen();
    let welcome = seen.iter().find(|seen| seen.kind == Kind::Welcome)?;
    context.profile.resume.as_ref().and_then(|_| context.profile.fields.seq.number(&welcome.json))
}

/// Two connections of a user that nobody else has; one where each sees only what it asked for itself.
async fn devices(context: &CheckContext<'_>) -> Result<Vec<Session>, Failure> {
    let shared = context.profile.endpoint.shared;
    if !shared && !context.target.given().is_empty() {
        let why = "connections see only what they asked for, and the user whose token was given may be busy elsewhere";
        return Err(Failure::NotDone(why.to_owned()));
    }
    let ada = context.principal("ada")?;
    let mut sessions = vec![context.connect(&ada).await?];
    if shared {
        sessions.push(context.connect(&ada).await?);
    }
    Ok(sessions)
}

async fn barriers(sessions: &[Session]) -> Result<(), Failure> {
    for session in sessions {
        session.barrier().await?;
    }
    Ok(())
}

fn range(seen: &ReceivedFrame) -> (u64, u64) {
    let last = seen.seq.unwrap_or_default();
    (seen.first_seq.unwrap_or(last), last)
}

/// Numbers that never came, though later ones did. In whatever order they came: that is another promise.
fn gaps(events: &[Arc<ReceivedFrame>], known: Known) -> Vec<(usize, String)> {
    let mut by_number: Vec<(u64, u64, usize)> =
        events.iter().enumerate().map(|(at, seen)| (range(seen).0, range(seen).1, at)).collect();
    by_number.sort_unstable();
    let mut notes = Vec::new();
    let lowest = by_number.first().map_or(0, |(first, ..)| first.saturating_sub(1));
    let mut to = known.begin.unwrap_or(lowest);
    for (first, last, at) in by_number {
        if first > to + 1 {
            let lost =
                if first == to + 2 { format!("{}", to + 1) } else { format!("{} to {}", to + 1, first - 1) };
            notes.push((at, format!("number {lost} never came")));
        }
        to = to.max(last);
    }
    if to < known.end {
        let note = format!("number {} never came, which another connection has", known.end);
        notes.push((events.len().saturating_sub(1), note));
    }
    notes
}

/// Events that came behind one with a higher number. Whether they came twice is another promise.
fn steps_back(events: &[Arc<ReceivedFrame>], _: Known) -> Vec<(usize, String)> {
    let (mut highest, mut known, mut notes) = (0, std::collections::BTreeSet::new(), Vec::new());
    for (at, seen) in events.iter().enumerate() {
        let (first, last) = range(seen);
        if first <= highest && known.insert(last) {
            notes.push((at, format!("number {first} came behind {highest}")));
        }
        known.insert(last);
        highest = highest.max(last);
    }
    notes
}

/// Numbers that came again.
fn repeats(events: &[Arc<ReceivedFrame>], _: Known) -> Vec<(usize, String)> {
    let (mut known, mut notes) = (BTreeMap::new(), Vec::new());
    for (at, seen) in events.iter().enumerate() {
        let (first, last) = range(seen);
        // Ranges do not overlap unless something came twice: the next that ends at or behind this beginning tells.
        if let Some((end, begin)) = known.range(first..).next()
            && *begin <= last
        {
            notes.push((at, format!("number {} came a second time", first.max(*begin).min(*end))));
        }
        known.insert(last, first);
    }
    notes
}

pub(super) async fn devices_agree(context: &CheckContext<'_>) -> CheckOutcome {
    let sessions = devices(context).await?;
    let (from, prompts) = (sessions.iter().map(Session::count).collect::<Vec<_>>(), prompts(context)?);
    let mut asked = Vec::new();
    for (_, prompt) in &prompts {
        asked.push(sessions[0].ask(prompt).await?);
    }
    let mut runs = Vec::new();
    for asked in &asked {
        runs.push(sessions[0].finish(asked).await?);
    }
    barriers(&sessions).await?;
    let here: BTreeMap<_, _> = numbered(&sessions[0]).into_iter().map(|seen| (range(&seen), seen)).collect();
    let mut compared = 0;
    for other in numbered(&sessions[1]) {
        let Some(one) = here.get(&range(&other)) else { continue };
        ensure(one.json == other.json, || {
            let (here, there) = (&sessions[0].name, &sessions[1].name);
            let differences = differences(&one.json, &other.json);
            format!("number {} is not the same on {here} and on {there}:{differences}", range(&other).1)
        })?;
        compared += 1;
    }
    ensure(compared > 0, || "the two connections have no number in common".to_owned())?;
    // Pieces that were merged differently are the same put together.
    for run in runs {
        let there = sessions[1].frames_of(from[1], &run.run);
        let there = RunSeen { run: run.run.clone(), frames: there, asked_at: run.asked_at };
        let (one, other) = (pieces(&context.profile, &run), pieces(&context.profile, &there));
        ensure(one == other, || {
            format!("one answer is\n  {one:?}\n  on one connection and\n  {other:?}\n  on another")
        })?;
        let ends = there.of(Kind::Completed).count();
        ensure(ends == 1, || {
            format!("a run has {ends} ends on another connection:{}", timeline(&there.frames, &[]))
        })?;
    }
    pass(format!("{compared} events the same on both connections, under the same numbers"))
}

/// The fields that two frames do not have in common, side by side.
fn differences(one: &Value, other: &Value) -> String {
    let (Value::Object(here), Value::Object(there)) = (one, other) else {
        return format!("\n  {one}\n  {other}");
    };
    let names: std::collections::BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let differing = names.into_iter().filter(|name| here.get(*name) != there.get(*name));
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    differing
        .map(|name| format!("\n  {name}: {} and {}", shown(here.get(name)), shown(there.get(name))))
        .collect()
}
