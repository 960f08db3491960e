//! Requests: the profile's messages, what a request became, and whom a check has for how many of them.

use crate::{
    check::{CheckContext, Failure, ReceivedFrame, Session, TestPrincipal, broken, session::Asked},
    profile::{Kind, Template},
};

/// Messages that a user may send at once where the profile does not say how many.
const BURST: usize = 20;

/// A message of the profile that a check cannot do without.
pub(super) fn message<'t>(message: &'t Option<Template>, name: &str) -> Result<&'t Template, Failure> {
    message.as_ref().ok_or_else(|| Failure::NotDone(format!("the profile has no messages.{name}")))
}

/// The message that asks the agent, if it carries an id.
pub(super) fn ask_with_id<'t>(context: &'t CheckContext<'_>) -> Result<&'t Template, Failure> {
    let ask = message(&context.profile.messages.ask, "ask")?;
    match ask.names("id") {
        true => Ok(ask),
        false => Err(Failure::NotDone("requests have no ids (messages.ask has no {id})".to_owned())),
    }
}

/// Waits until what was on its way to a connection is there, what the server queues behind an answer included.
pub(super) async fn settle(session: &Session) -> Result<(), Failure> {
    session.barrier().await?;
    session.barrier().await
}

/// The run that a request was accepted as, by the answer to it.
pub(super) async fn accepted(session: &Session, asked: &Asked) -> Result<String, Failure> {
    let answers = |seen: &ReceivedFrame| {
        matches!(seen.kind, Kind::Accepted | Kind::Error) && seen.request.as_deref() == Some(&asked.id)
    };
    let answer = session.wait("answer to a request", asked.from, session.patience(), answers).await?;
    match (&answer.run, answer.kind) {
        (Some(run), Kind::Accepted) => Ok(run.clone()),
        _ => broken(format!("{}: the request was not accepted: {}", session.name, answer.brief())),
    }
}

/// How often a check may do what takes some messages of a user: `most` where every round can have a user of its own
/// ([`user_of`]), and else what a user may say at once, with room for other checks.
pub(super) fn rounds(context: &CheckContext<'_>, most: usize, messages: usize) -> usize {
    let burst = context.profile.limits.burst.unwrap_or(BURST);
    if context.target.issuer().is_some() { most } else { most.min(burst / 2 / messages.max(1)).max(1) }
}

/// The user of a round: one of its own where the judge can make users.
pub(super) fn user_of(context: &CheckContext<'_>, round: usize) -> Result<TestPrincipal, Failure> {
    match context.target.issuer() {
        Some(_) => context.principal(&format!("ada{round}")),
        None => context.principal("ada"),
    }
}
