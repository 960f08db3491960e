//! Bad frames and their answers.

use std::sync::Arc;

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, ReceivedFrame, Session, broken, ensure, pass, session::new_id,
    },
    profile::{Kind, Profile, Template},
};

/// Texts that are no JSON.
const NO_JSON: [&str; 5] = ["{\"type\":", "hello", "{'type':'ping'}", "{\"type\":\"ping\"}}", "\u{1}\u{7f}"];
/// JSON that is no object.
const NO_OBJECT: [&str; 7] = ["[]", "[1,2,3]", "[{\"type\":\"ping\"}]", "\"ping\"", "42", "null", "true"];
/// Bad frames in a row.
const ROW: usize = 6;
/// Closes that say that a frame was not understood.
const SAYS_SO: [u16; 3] = [1003, 1007, 1008];
/// How deep JSON is nested, at most.
const DEPTH: usize = 20_000;

/// A frame of each kind that the profile knows to be bad, with what it is.
pub(super) fn bad_frames(profile: &Profile) -> Vec<(&'static str, String)> {
    let filled = |template: &Template| template.fill(&[("id", json!(new_id()))]);
    let mut frames =
        vec![("a text that is no JSON", NO_JSON[0].to_owned()), ("an array", NO_OBJECT[1].to_owned())];
    frames.extend(
        profile.messages.unknown.as_ref().map(|unknown| ("a frame of an unknown type", filled(unknown))),
    );
    frames.extend(profile.messages.incomplete.as_ref().map(|frame| ("an incomplete frame", filled(frame))));
    frames
}

/// Sends a frame and waits for the error that answers it.
pub(super) async fn refused(
    session: &Session,
    what: &str,
    frame: &str,
) -> Result<Arc<ReceivedFrame>, Failure> {
    let from = session.count();
    session.send(frame).await?;
    let error = session.wait("error", from, session.patience(), |seen| seen.kind == Kind::Error).await;
    error.map_err(|fault| match fault {
        Failure::Broken(why) => Failure::Broken(format!("{what} ({}): {why}", short(frame))),
        other => other,
    })
}

fn short(frame: &str) -> String {
    frame.escape_debug().take(60).collect()
}

async fn each_refused(context: &CheckContext<'_>, what: &str, frames: &[String]) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    for frame in frames {
        refused(&session, what, frame).await?;
    }
    session.barrier().await?;
    pass(format!(
        "{} answered with an error: {}",
        frames.len(),
        frames.iter().map(|frame| short(frame)).collect::<Vec<_>>().join(" ")
    ))
}

pub(super) async fn invalid_json(context: &CheckContext<'_>) -> CheckOutcome {
    each_refused(context, "a text that is no JSON", &NO_JSON.map(str::to_owned)).await
}

pub(super) async fn not_an_object(context: &CheckContext<'_>) -> CheckOutcome {
    each_refused(context, "JSON that is no object", &NO_OBJECT.map(str::to_owned)).await
}

pub(super) async fn unknown_type(context: &CheckContext<'_>) -> CheckOutcome {
    let Some(unknown) = &context.profile.messages.unknown else {
        return Err(Failure::NotDone("the profile has no messages.unknown".to_owned()));
    };
    each_refused(context, "a frame of an unknown type", &[unknown.fill(&[("id", json!(new_id()))])]).await
}

pub(super) async fn incomplete(context: &CheckContext<'_>) -> CheckOutcome {
    let Some(incomplete) = &context.profile.messages.incomplete else {
        return Err(Failure::NotDone("the profile has no messages.incomplete".to_owned()));
    };
    each_refused(context, "an incomplete frame", &[incomplete.fill(&[("id", json!(new_id()))])]).await
}

pub(super) async fn binary(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    session.barrier().await?;
    let from = session.count();
    session.send_binary(vec![0xff, 0x00, 0xfe, 0x01, 0x80]).await?;
    let error =
        session.wait("error or close", from, session.patience(), |seen| seen.kind == Kind::Error).await;
    match (error, session.end()) {
        (Ok(error), _) => pass(format!("a binary frame was answered with {}", error.brief())),
        (Err(_), Some(ended)) if ended.code.is_some_and(|code| SAYS_SO.contains(&code)) => {
            pass(format!("a binary frame was answered with a close: {ended}"))
        }
        (Err(_), Some(ended)) => {
            broken(format!("a binary frame ended the connection without saying why: {ended}"))
        }
        (Err(fault), None) => Err(fault),
    }
}

pub(super) async fn one_each(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    session.barrier().await?;
    // With ids, where errors name what they refuse: their order can be seen.
    let profile = &context.profile;
    let named = [&profile.messages.unknown, &profile.messages.incomplete]
        .into_iter()
        .flatten()
        .find(|frame| frame.names("id"));
    let ids: Vec<String> = (0..ROW).map(|_| new_id()).collect();
    let (from, row) = (session.count(), ids.iter().enumerate());
    for (index, id) in row {
        let frame =
            named.map_or_else(|| format!("{{\"row\": {index}"), |frame| frame.fill(&[("id", json!(id))]));
        session.send(frame).await?;
    }
    let mut next = from;
    for index in 0..ROW {
        let error = session.wait("error", next, session.patience(), |seen| seen.kind == Kind::Error).await;
        let error = error.map_err(|fault| {
            Failure::Broken(format!("{ROW} bad frames in a row, {index} answers: {fault}"))
        })?;
        next = error.index + 1;
    }
    session.barrier().await?;
    let errors: Vec<_> =
        session.seen().into_iter().skip(from).filter(|seen| seen.kind == Kind::Error).collect();
    ensure(errors.len() == ROW, || {
        format!("{ROW} bad frames in a row were answered with {} errors", errors.len())
    })?;
    let answered: Vec<&String> = errors.iter().filter_map(|error| error.request.as_ref()).collect();
    let in_order = answered.len() < ROW || answered.iter().zip(&ids).all(|(answered, id)| *answered == id);
    ensure(in_order, || format!("bad frames {} were answered in the order {answered:?}", ids.join(", ")))?;
    pass(format!(
        "{ROW} bad frames in a row, {ROW} errors{}",
        if answered.len() == ROW { ", in their order" } else { "" }
    ))
}

pub(super) async fn connection_survives(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let frames = bad_frames(&context.profile);
    for (what, frame) in &frames {
        refused(&session, what, frame).await?;
        session
            .barrier()
            .await
            .map_err(|fault| Failure::Broken(format!("after {what} was refused: {fault}")))?;
    }
    pass(format!("the connection answered after each of {} errors", frames.len()))
}

pub(super) async fn deep_json(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) =
        (context.principal("ada")?, context.principal("bob").or_else(|_| context.principal("ada"))?);
    let (session, other) = (context.connect(&ada).await?, context.connect(&bob).await?);
    // Under the size that is refused for itself.
    let room = context.profile.limits.message_bytes.unwrap_or(usize::MAX);
    let (flat, keyed) = (DEPTH.min(room / 3), DEPTH.min(room / 8));
    let arrays = "[".repeat(flat) + &"]".repeat(flat);
    let objects = "{\"a\":".repeat(keyed) + "1" + &"}".repeat(keyed);
    let open = "[".repeat(flat);
    for (what, frame) in [("arrays", arrays), ("objects", objects), ("arrays that never close", open)] {
        session.send(frame).await?;
        session
            .barrier()
            .await
            .map_err(|fault| Failure::Broken(format!("after {what}, nested deep: {fault}")))?;
    }
    other.barrier().await?;
    pass(format!("arrays nested {flat} deep and objects nested {keyed} deep: both connections answer"))
}
