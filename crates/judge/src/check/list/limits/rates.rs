//! How fast a user may be.

use std::time::Duration;

use crate::{
    check::{CheckContext, CheckOutcome, Failure, Session, ensure, pass, session::Asked},
    profile::Kind,
};

/// What became of messages that were sent at once.
#[derive(Default)]
struct Sent {
    taken: usize,
    /// Refused for the rate: where errors say when to come back, those that do.
    refused: usize,
    /// The number of the first of those, from 1.
    first_refused: usize,
    /// Refused without a time to come back, where errors have one.
    undated: Vec<String>,
}

/// Sends so many questions without waiting, then waits for what becomes of each.
async fn send(context: &CheckContext<'_>, session: &Session, count: usize) -> Result<Sent, Failure> {
    let mut asked = Vec::with_capacity(count);
    for number in 0..count {
        asked.push(session.ask(&context.plain(&format!("message {number}"))?).await?);
    }
    let mut sent = Sent::default();
    for (index, asked) in asked.iter().enumerate() {
        became(context, session, asked, index + 1, &mut sent).await?;
    }
    Ok(sent)
}

async fn became(
    context: &CheckContext<'_>,
    session: &Session,
    asked: &Asked,
    number: usize,
    sent: &mut Sent,
) -> Result<(), Failure> {
    let ours = |seen: &crate::check::ReceivedFrame| seen.request.as_deref() == Some(&asked.id);
    let answer = session.wait("answer", asked.from, session.patience(), ours).await;
    let answer = answer
        .map_err(|fault| Failure::Broken(format!("message {number} ({}) was dropped: {fault}", asked.id)))?;
    if answer.kind != Kind::Error {
        sent.taken += 1;
        return Ok(());
    }
    let later = &context.profile.fields.retry_after_ms;
    if later.is_known() && !matches!(later.number(&answer.json), Some(1..)) {
        sent.undated.push(answer.brief());
        return Ok(());
    }
    if sent.refused == 0 {
        sent.first_refused = number;
    }
    sent.refused += 1;
    Ok(())
}

pub(super) async fn rate(context: &CheckContext<'_>) -> CheckOutcome {
    let burst = context.profile.limits.burst.unwrap_or_default();
    let session = context.connect(&context.principal("ada")?).await?;
    // Twice as many: what comes back to a user in the meantime is far less.
    let sent = send(context, &session, 2 * burst).await?;
    ensure(sent.refused == 0 || sent.first_refused > burst, || {
        format!(
            "message {} of {} was refused, and {burst} may be sent at once",
            sent.first_refused,
            2 * burst
        )
    })?;
    ensure(sent.refused > 0 || !sent.undated.is_empty(), || {
        format!("{} messages sent at once were taken, all of them, where {burst} are allowed", sent.taken)
    })?;
    ensure(sent.refused > 0, || {
        let (all, others, first) = (2 * burst, sent.undated.len(), &sent.undated[0]);
        format!(
            "of {all} messages sent at once {others} were refused, none of them with a time to come back: {first}"
        )
    })?;
    // The connection serves on, at a pace.
    session.barrier().await?;
    pass(format!(
        "of {} messages sent at once {} were taken and {} refused, none dropped",
        2 * burst,
        sent.taken,
        sent.refused
    ))
}

pub(super) async fn per_user(context: &CheckContext<'_>) -> CheckOutcome {
    let burst = context.profile.limits.burst.unwrap_or_default();
    let (hers, his) = (
        context.connect(&context.principal("ada")?).await?,
        context.connect(&context.principal("bob")?).await?,
    );
    let greedy = send(context, &hers, 2 * burst).await?;
    if greedy.refused == 0 {
        return Err(Failure::NotDone(format!(
            "nobody is too fast here: {} messages at once were taken",
            greedy.taken
        )));
    }
    let modest = send(context, &his, burst).await?;
    ensure(modest.refused == 0, || {
        format!(
            "{} was too fast, and message {} of {burst} of {} was refused for the rate",
            hers.user, modest.first_refused, his.user
        )
    })?;
    pass(format!("{} was refused {} messages, and {} none of {burst}", hers.user, greedy.refused, his.user))
}

/// The longest wait that is worth a check.
const WORTH: Duration = Duration::from_secs(20);

pub(super) async fn retry_after(context: &CheckContext<'_>) -> CheckOutcome {
    let burst = context.profile.limits.burst.unwrap_or_default();
    let session = context.connect(&context.principal("ada")?).await?;
    let sent = send(context, &session, 2 * burst).await?;
    if sent.refused == 0 {
        return Err(Failure::NotDone(format!(
            "nobody is too fast here: {} messages at once were taken",
            sent.taken
        )));
    }
    // The last one tells how it is now.
    let asked = session.ask(&context.plain("one more")?).await?;
    let ours = |id: String| move |seen: &crate::check::ReceivedFrame| seen.request.as_deref() == Some(&id);
    let refusal = session.wait("answer", asked.from, session.patience(), ours(asked.id)).await?;
    let Some(wait) = context.profile.fields.retry_after_ms.number(&refusal.json) else {
        return Err(Failure::NotDone("the rate is back before it can be asked about".to_owned()));
    };
    let wait = Duration::from_millis(wait);
    if wait > WORTH {
        return Err(Failure::NotDone(format!(
            "the server says to come back in {wait:?}, which is too long for a check"
        )));
    }
    tokio::time::sleep_until((refusal.at + wait).into()).await;
    let again = session.ask(&context.plain("again, in time")?).await?;
    let answer = session.wait("answer", again.from, session.patience(), ours(again.id)).await?;
    ensure(answer.kind != Kind::Error, || {
        format!("a message was refused that came when the refusal said, {wait:?} later: {}", answer.brief())
    })?;
    pass(format!("refused, and taken {wait:?} later as the refusal said"))
}
