//! A user's log as connections see it: which numbers came, which did not, and what a resume says of itself.

use std::sync::Arc;

use serde_json::json;

use crate::{
    check::{CheckContext, Failure, ReceivedFrame, Session, broken, session::new_id},
    profile::Kind,
};

/// The numbers that a connection got from a frame on, in their order; one event may stand for several.
pub(super) fn ranges(session: &Session, from: usize) -> Vec<(u64, u64)> {
    ranges_of(session.seen().iter().skip(from))
}

/// The numbers of some frames.
pub(super) fn ranges_of<'a>(frames: impl Iterator<Item = &'a Arc<ReceivedFrame>>) -> Vec<(u64, u64)> {
    frames.filter_map(|seen| Some((seen.first_seq?, seen.seq?))).collect()
}

/// The numbers after one and up to another that are not among those that came.
pub(super) fn missing(came: &[(u64, u64)], after: u64, to: u64) -> Vec<u64> {
    (after + 1..=to)
        .filter(|number| !came.iter().any(|(first, last)| (first..=last).contains(&number)))
        .collect()
}

/// The last number that a connection got.
pub(super) fn last(session: &Session) -> Option<u64> {
    ranges(session, 0).last().map(|(_, last)| *last)
}

/// The number line of a connection, by its welcome; empty where the profile has none.
pub(super) fn epoch_of(context: &CheckContext<'_>, session: &Session) -> String {
    let welcome = session.seen().into_iter().find(|seen| seen.kind == Kind::Welcome);
    welcome.and_then(|welcome| context.profile.fields.epoch.text(&welcome.json)).unwrap_or_default()
}

/// True when the welcome of a connection says that it goes on at the position that was asked for.
pub(super) fn claims(context: &CheckContext<'_>, session: &Session) -> bool {
    session.seen().iter().any(|seen| context.profile.resumed(seen.kind, &seen.json) == Some(true))
}

/// True when a connection got a state in the place of events, from a frame on.
pub(super) fn has_snapshot(session: &Session, from: usize) -> bool {
    session.seen().iter().skip(from).any(|seen| seen.kind == Kind::Snapshot)
}

/// An epoch that is none of this server's, but looks like one.
pub(super) fn unused_epoch(context: &CheckContext<'_>, epoch: &str) -> Result<String, Failure> {
    let named = context.profile.resume.as_ref().is_some_and(|resume| resume.query.contains("{epoch}"));
    let digit = epoch.char_indices().rev().find(|(_, letter)| letter.is_ascii_hexdigit());
    match digit.filter(|_| named) {
        Some((at, letter)) => {
            let other = if letter == '0' { '1' } else { '0' };
            Ok(format!("{}{other}{}", &epoch[..at], &epoch[at + 1..]))
        }
        None => Err(Failure::NotDone("positions have no epoch (fields.epoch, resume.query)".to_owned())),
    }
}

/// Waits until a resumed connection has all up to a number, or says that it has.
pub(super) async fn caught_up(session: &Session, from: usize, to: u64) -> Result<(), Failure> {
    let there = |seen: &ReceivedFrame| seen.seq.is_some_and(|seq| seq >= to) || seen.kind == Kind::CaughtUp;
    match session.wait("end of the replay", from, session.patience(), there).await {
        // What never came is told by what came.
        Ok(_) | Err(Failure::Broken(_)) if session.end().is_none() => session.barrier().await,
        Ok(_) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Asks to go on at a position on an open connection, if the profile says how; gives the first frame that can be of it.
pub(super) async fn resume_here(
    context: &CheckContext<'_>,
    session: &Session,
    epoch: &str,
    after: u64,
) -> Result<Option<usize>, Failure> {
    let frame = context.profile.resume.as_ref().and_then(|resume| resume.frame.as_ref());
    let Some(frame) = frame else { return Ok(None) };
    let (from, id) = (session.count(), new_id());
    session.send(frame.fill(&[("epoch", json!(epoch)), ("after", json!(after)), ("id", json!(id))])).await?;
    let answers = |seen: &ReceivedFrame| {
        matches!(seen.kind, Kind::CaughtUp | Kind::Snapshot | Kind::Error)
            || seen.request.as_deref() == Some(&id)
    };
    session.wait("answer to a resume", from, session.patience(), answers).await?;
    session.barrier().await?;
    Ok(Some(from))
}

/// Holds that a connection has all numbers after one and up to another.
pub(super) fn complete(session: &Session, from: usize, after: u64, to: u64) -> Result<(), Failure> {
    let came = ranges(session, from);
    let missing = missing(&came, after, to);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = session
        .seen()
        .iter()
        .skip(from)
        .map(|seen| match seen.seq {
            Some(seq) => format!("{} {seq}", seen.name),
            None => seen.name.clone(),
        })
        .collect();
    broken(format!(
        "{}: resumed after {after} of a log that goes to {to}, and {} of the {} events did not come: {missing:?}; there came {}",
        session.name,
        missing.len(),
        to - after,
        names.join(", ")
    ))
}
