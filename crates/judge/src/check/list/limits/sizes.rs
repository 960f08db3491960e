//! How large a message may be.

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, broken, ensure, pass,
        session::{Asked, new_id},
    },
    profile::Kind,
};

/// Bytes by which a message stays under a limit: what a server counts may be the text, the frame, or its envelope.
const MARGIN: usize = 256;

/// A question of this many bytes, its envelope included.
fn question(context: &CheckContext<'_>, id: &str, bytes: usize) -> Result<String, Failure> {
    let Some(ask) = &context.profile.messages.ask else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask an agent (messages.ask)".to_owned(),
        ));
    };
    let plain = context.plain("{size}")?;
    let of = |filling: usize| {
        let text = plain.replace("{size}", &"x".repeat(filling));
        ask.fill(&[("text", json!(text)), ("id", json!(id))])
    };
    Ok(of(bytes.saturating_sub(of(0).len())))
}

pub(super) async fn message(context: &CheckContext<'_>) -> CheckOutcome {
    let limits = &context.profile.limits;
    let limit = limits.message_bytes.unwrap_or_default();
    let session = context.connect(&context.principal("ada")?).await?;
    let (id, from) = (new_id(), session.count());
    let under = question(context, &id, limit.saturating_sub(MARGIN))?;
    let bytes = under.len();
    session.send(under).await?;
    let asked = Asked { id, from, at: std::time::Instant::now() };
    session.finish(&asked).await.map_err(|fault| {
        Failure::Broken(format!(
            "a message of {bytes} bytes, where {limit} are allowed, was not answered: {fault}"
        ))
    })?;
    let from = session.count();
    // Over the limit however it is counted, and under the one that ends connections.
    let over = question(context, &new_id(), limit + 2 * MARGIN)?;
    let bytes = over.len();
    session.send(over).await?;
    let answers =
        |kind| matches!(kind, Kind::Error | Kind::Accepted | Kind::Started | Kind::Completed | Kind::Message);
    let told = session.wait("answer", from, session.patience(), |seen| answers(seen.kind)).await;
    let told = told.map_err(|fault| {
        Failure::Broken(format!(
            "a message of {bytes} bytes, where {limit} are allowed, was not refused: {fault}"
        ))
    })?;
    ensure(told.kind == Kind::Error, || {
        format!("a message of {bytes} bytes was taken, where {limit} are allowed: {}", told.brief())
    })?;
    session.barrier().await?;
    pass(format!("{bytes} bytes, where {limit} are allowed, were answered with {}", told.brief()))
}

pub(super) async fn hard(context: &CheckContext<'_>) -> CheckOutcome {
    let limit = context.profile.limits.hard_bytes.unwrap_or_default();
    let ada = context.principal("ada")?;
    let (session, other) = (context.connect(&ada).await?, context.connect(&ada).await?);
    let over = question(context, &new_id(), limit + 2 * MARGIN)?;
    let bytes = over.len();
    // A server that ends the connection in the middle takes not all of it: how it ends is what is looked at.
    let _ = session.send(over).await;
    let ended = ended(&session, bytes, limit).await?;
    other.barrier().await?;
    pass(format!(
        "{bytes} bytes, where {limit} are allowed, ended the connection: {ended}; another one answers"
    ))
}

async fn ended(session: &Session, bytes: usize, limit: usize) -> Result<String, Failure> {
    let what = format!("a message of {bytes} bytes, where {limit} are allowed,");
    match session.ended(session.patience()).await {
        Ok(ended) if ended.code == Some(1009) => Ok(ended.to_string()),
        Ok(ended) => broken(format!("{what} did not end the connection with 1009: {ended}")),
        Err(_) => {
            let told = session.seen().last().map(|seen| seen.brief()).unwrap_or_default();
            broken(format!("{what} did not end the connection; the last that came is {told}"))
        }
    }
}
