//! What was asked on a connection that is lost: it goes on, and asking again does not ask twice.

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, ReceivedFrame, ensure,
        list::{
            log::{epoch_of, last},
            requests::{accepted, ask_with_id, settle},
        },
        pass,
        session::{Asked, new_id},
    },
    profile::Kind,
};

/// Runs whose connection is lost.
const LOST: usize = 3;

/// How a run ended that nobody touched: what its end says, and whether there is an answer.
fn end_of(context: &CheckContext<'_>, end: &ReceivedFrame) -> (Option<String>, bool) {
    let fields = &context.profile.fields;
    (fields.outcome.text(&end.json), fields.answer.of(&end.json).is_some())
}

/// Holds that a run ended as one does that nobody touched.
fn lived(
    context: &CheckContext<'_>,
    usual: &(Option<String>, bool),
    end: &ReceivedFrame,
) -> Result<(), Failure> {
    ensure(end_of(context, end) == *usual, || {
        let (outcome, told) = (&usual.0, end.brief());
        format!(
            "a run did not end as others do ({outcome:?}) after a connection of its user was lost: {told}"
        )
    })
}

pub(super) async fn run_survives(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let witness = context.connect(&ada).await?;
    let quiet = witness.run(&context.plain("wk1quiet")?).await?;
    let usual = quiet.of(Kind::Completed).next().map(|end| end_of(context, end)).unwrap_or_default();
    if usual == (None, false) {
        return Err(Failure::NotDone(
            "the end of a run does not say how it ended (fields.outcome, fields.answer)".to_owned(),
        ));
    }
    let slow = context.prompt(&context.profile.prompts.slow, "slow")?;
    let (from, mut runs) = (witness.count(), Vec::new());
    for place in 0..LOST {
        let session = context.connect(&ada).await?;
        let asked = session.ask(slow).await?;
        let run = session.run_of(&asked).await?.unwrap_or_default();
        for _ in 0..context.chance(4) {
            let next = session.count();
            session.wait("event of a run", next, session.patience(), |_| true).await?;
        }
        // Looked at before: with the connection gone, the run may be over because of that.
        let seen = session.seen();
        let over = seen.iter().find(|seen| seen.kind == Kind::Completed && seen.is_of_run(&run));
        if let Some(end) = over {
            lived(context, &usual, end)?;
            return Err(Failure::NotDone(
                "prompts.slow was over before its connection could be lost".to_owned(),
            ));
        }
        if place % 2 == 0 {
            session.cut().await;
        } else {
            session.close(1000).await;
        }
        session.ended(session.patience()).await?;
        runs.push(run);
    }
    let within = std::time::Duration::from_secs_f64(context.profile.timing.run_seconds);
    for run in &runs {
        let end = witness
            .wait("end of a run", from, within, |seen| seen.kind == Kind::Completed && seen.is_of_run(run));
        let end = end.await?;
        lived(context, &usual, &end)?;
    }
    pass(format!("{LOST} runs went on without the connection that asked for them, and ended as others do"))
}

pub(super) async fn resent_request(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let ask = ask_with_id(context)?;
    let mut sent_again = 0;
    for wait in [true, false, true] {
        let session = context.connect(&ada).await?;
        let (epoch, marker) =
            (epoch_of(context, &session), format!("wk1again{:x}", context.chance(u64::MAX)));
        let (id, text) = (new_id(), context.plain(&marker)?);
        session.run(&context.plain("wk1before")?).await?;
        let position = last(&session);
        let asked = session.ask_as(&id, &text).await?;
        let before = if wait { Some(accepted(&session, &asked).await?) } else { None };
        session.cut().await;
        let back = match position {
            Some(position) => context.resume(&ada, &epoch, position).await?,
            None => context.connect(&ada).await?,
        };
        let again = back.ask_as(&id, &text).await?;
        let run = accepted(&back, &again).await?;
        ensure(before.as_ref().is_none_or(|before| *before == run), || {
            format!("a request that was sent again became another run: {run}, and {before:?} before")
        })?;
        // Once more, to a run that is over.
        let within = std::time::Duration::from_secs_f64(context.profile.timing.run_seconds);
        let ended = |seen: &ReceivedFrame| seen.kind == Kind::Completed && seen.is_of_run(&run);
        back.wait("end of the run", 0, within, ended).await?;
        back.send(ask.fill(&[("text", json!(text)), ("id", json!(id))])).await?;
        let third = Asked { id: id.clone(), from: again.from + 1, at: again.at };
        settle(&back).await?;
        let later = accepted(&back, &third).await?;
        ensure(later == run, || {
            format!("a request that was sent again after its run became another one: {later}, not {run}")
        })?;
        let said = back
            .seen()
            .iter()
            .filter(|seen| seen.kind == Kind::Message && seen.text.contains(&marker))
            .count();
        ensure(said <= 1, || {
            format!(
                "{}: a message that was sent three times under one id stands {said} times in the log",
                back.name
            )
        })?;
        sent_again += 2;
    }
    pass(format!("{sent_again} requests that were sent again became no run of their own"))
}
