//! How fast a user may be.

use crate::{
    check::{Fault, Outcome, Session, Trial, ensure, pass, session::Asked},
    profile::Kind,
};

/// What became of messages that were sent at once.
#[derive(Default)]
struct Sent {
    taken: usize,
    /// The refusals, and those of them that say when to come back.
    refused: usize,
    dated: usize,
    /// The number of the first that was refused, from 1.
    first_refused: Option<usize>,
    /// A refusal that does not say when to come back.
    undated: Option<String>,
}

/// Sends so many questions without waiting, then waits for what becomes of each.
async fn send(trial: &Trial<'_>, session: &Session, count: usize) -> Result<Sent, Fault> {
    let mut asked = Vec::with_capacity(count);
    for number in 0..count {
        asked.push(session.ask(&trial.plain(&format!("message {number}"))?).await?);
    }
    let mut sent = Sent::default();
    for (index, asked) in asked.iter().enumerate() {
        became(trial, session, asked, index + 1, &mut sent).await?;
    }
    Ok(sent)
}

async fn became(trial: &Trial<'_>, session: &Session, asked: &Asked, number: usize, sent: &mut Sent) -> Result<(), Fault> {
    let ours = |seen: &crate::check::Seen| seen.request.as_deref() == Some(&asked.id);
    let answer = session.wait("answer", asked.from, session.patience(), ours).await;
    let answer = answer.map_err(|fault| Fault::Broken(format!("message {number} ({}) was dropped: {fault}", asked.id)))?;
    if answer.kind != Kind::Error {
        sent.taken += 1;
        return Ok(());
    }
    sent.refused += 1;
    sent.first_refused.get_or_insert(number);
    match trial.profile.fields.retry_after_ms.number(&answer.json) {
        Some(1..) => sent.dated += 1,
        _ => drop(sent.undated.get_or_insert_with(|| answer.brief())),
    }
    Ok(())
}

pub(super) async fn rate(trial: &Trial<'_>) -> Outcome {
    let burst = trial.profile.limits.burst.unwrap_or_default();
    let session = trial.connect(&trial.visitor("ada")?).await?;
    // Twice as many: what comes back to a user in the meantime is far less.
    let sent = send(trial, &session, 2 * burst).await?;
    ensure(sent.first_refused.is_none_or(|first| first > burst), || {
        format!("message {} of {} was refused, and {burst} may be sent at once", sent.first_refused.unwrap_or_default(), 2 * burst)
    })?;
    ensure(sent.refused > 0, || {
        format!("{} messages sent at once were taken, all of them, where {burst} are allowed", sent.taken)
    })?;
    let dates = trial.profile.fields.retry_after_ms.is_known();
    ensure(!dates || sent.dated > 0, || {
        let refusal = sent.undated.clone().unwrap_or_default();
        format!("of {} messages sent at once {} were refused, and none for the rate, with a time to come back: {refusal}", 2 * burst, sent.refused)
    })?;
    // The connection serves on, at a pace.
    session.barrier().await?;
    pass(format!("of {} messages sent at once {} were taken and {} refused, none dropped", 2 * burst, sent.taken, sent.refused))
}

pub(super) async fn per_user(trial: &Trial<'_>) -> Outcome {
    let burst = trial.profile.limits.burst.unwrap_or_default();
    let (hers, his) = (trial.connect(&trial.visitor("ada")?).await?, trial.connect(&trial.visitor("bob")?).await?);
    let greedy = send(trial, &hers, 2 * burst).await?;
    if greedy.refused == 0 {
        return Err(Fault::NotDone(format!("nobody is too fast here: {} messages at once were taken", greedy.taken)));
    }
    let modest = send(trial, &his, burst).await?;
    ensure(modest.refused == 0, || {
        format!(
            "{} was too fast, and message {} of {burst} of {} was refused: {}",
            hers.user,
            modest.first_refused.unwrap_or_default(),
            his.user,
            modest.undated.clone().unwrap_or("for the rate".to_owned())
        )
    })?;
    pass(format!("{} was refused {} messages, and {} none of {burst}", hers.user, greedy.refused, his.user))
}
