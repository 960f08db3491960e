//! How many connections and runs a user has, and how long somebody may stay unknown.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    check::{CheckContext, CheckOutcome, Failure, ReceivedFrame, Session, broken, ensure, pass},
    profile::{Kind, Place},
};

/// The longest wait that a refusal may ask for before the same is asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3);
/// Times that a refusal which says when to come back is believed.
const BELIEVED: usize = 3;
/// Between two tries at a place that was left.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn connections(context: &CheckContext<'_>) -> CheckOutcome {
    let most = context.profile.limits.connections.unwrap_or_default();
    let ada = context.principal("ada")?;
    let mut sessions = Vec::with_capacity(most);
    for _ in 0..most {
        sessions.push(context.connect(&ada).await?);
    }
    let connect =
        context.target.connect(context.target.url(), ada.token.as_deref(), context.profile.auth.place);
    let shown = ada.token.as_deref().filter(|_| context.profile.auth.place == Some(Place::Frame));
    let whom = format!("connection {} of {}, where {most} are allowed,", most + 1, ada.user);
    // Said once by a server that is full for this user, and by nobody else: it is no "later" for all.
    let how = context.assert_no_access_once(connect, shown, &whom).await?;
    for session in &sessions {
        session.barrier().await?;
    }
    let Some(left) = sessions.pop() else {
        return Err(Failure::NotDone("the profile allows no connection (limits.connections)".to_owned()));
    };
    left.close(1000).await;
    left.ended(left.patience()).await?;
    let deadline = Instant::now() + left.patience();
    loop {
        match context.connect(&ada).await {
            Ok(_) => break,
            // The server may notice the end a moment after the client.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(fault) => {
                return broken(format!("a connection of {most} was left, and no other is let in: {fault}"));
            }
        }
    }
    pass(format!("{most} connections, one more refused ({how}), and let in when one had left"))
}

pub(super) async fn places_freed(context: &CheckContext<'_>) -> CheckOutcome {
    let most = context.profile.limits.connections.unwrap_or_default();
    let ada = context.principal("ada")?;
    let mut sessions = Vec::with_capacity(most);
    for _ in 0..most {
        sessions.push(context.connect(&ada).await?);
    }
    for session in &sessions {
        session.cut().await;
        session.ended(session.patience()).await?;
    }
    let deadline = Instant::now() + Duration::from_secs_f64(context.profile.timing.answer_seconds);
    let mut again = Vec::with_capacity(most);
    while again.len() < most {
        match context.connect(&ada).await {
            Ok(session) => again.push(session),
            // The server may notice the end a moment after the client.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(fault) => {
                let open = again.len();
                return broken(format!(
                    "{most} connections broke, and with {open} new ones no other is let in: {fault}"
                ));
            }
        }
    }
    pass(format!("{most} connections broke, and {most} others were let in"))
}

pub(super) async fn runs(context: &CheckContext<'_>) -> CheckOutcome {
    let most = context.profile.limits.runs.unwrap_or_default();
    let session = context.connect(&context.principal("ada")?).await?;
    let prompt = context.prompt(&context.profile.prompts.slow_tool, "slow_tool")?;
    for number in 1..=most {
        let answer = ask(context, &session, prompt).await?;
        let over = session.seen().iter().filter(|seen| seen.kind == Kind::Completed).count();
        if over > 0 {
            return Err(Failure::NotDone(format!(
                "runs end faster than {most} can be asked for: {over} of {number} are over"
            )));
        }
        ensure(answer.kind == Kind::Accepted, || {
            format!("run {number} was refused, and {most} are allowed: {}", answer.brief())
        })?;
    }
    let answer = ask(context, &session, prompt).await?;
    let ended = |seen: &&Arc<ReceivedFrame>| seen.kind == Kind::Completed && seen.index < answer.index;
    let over = session.seen().iter().filter(ended).count();
    if over > 0 {
        return Err(Failure::NotDone(format!("{over} runs ended before the last was asked for")));
    }
    ensure(answer.kind == Kind::Error, || {
        format!("run {} was taken, and {most} are allowed: {}", most + 1, answer.brief())
    })?;
    session.barrier().await?;
    pass(format!("{most} runs taken, one more refused: {}", answer.brief()))
}

/// The answer to a question; one that was too fast is asked again, under another id, when the server says so.
async fn ask(
    context: &CheckContext<'_>,
    session: &Session,
    prompt: &str,
) -> Result<Arc<ReceivedFrame>, Failure> {
    let mut tries = 0;
    loop {
        let asked = session.ask(prompt).await?;
        let ours = |seen: &ReceivedFrame| {
            seen.request.as_deref() == Some(&asked.id) && matches!(seen.kind, Kind::Error | Kind::Accepted)
        };
        let answer = session.wait("answer", asked.from, session.patience(), ours).await?;
        let wait =
            context.profile.fields.retry_after_ms.number(&answer.json).filter(|_| answer.kind == Kind::Error);
        match wait {
            Some(wait) if tries < BELIEVED => {
                tokio::time::sleep(Duration::from_millis(wait).min(MAX_RETRY_AFTER)).await
            }
            _ => return Ok(answer),
        }
        tries += 1;
    }
}

pub(super) async fn stranger(context: &CheckContext<'_>) -> CheckOutcome {
    let seconds = context.profile.limits.stranger_seconds.unwrap_or_default();
    context.assert_good_credentials_work().await?;
    let connect = context.target.connect(context.target.url(), None, None);
    let session = match context.open(connect, "a stranger").await {
        Ok(session) => session,
        Err(error @ wireproof_client::OpenError::Refused { .. }) => {
            return pass(format!("a stranger is refused at once: {error}"));
        }
        Err(error) => return Err(Failure::Gone(error.to_string())),
    };
    let within = Duration::from_secs_f64(seconds) + session.patience();
    let ended = session.ended(within).await.map_err(|fault| {
        Failure::Broken(format!("who never says who it is has {seconds} s to do so: {fault}"))
    })?;
    let told = session
        .seen()
        .into_iter()
        .find(|seen| seen.kind != Kind::Error && !context.profile.events.other.contains(&seen.name));
    ensure(told.is_none(), || {
        format!("a stranger was told {}", told.map(|seen| seen.brief()).unwrap_or_default())
    })?;
    pass(format!("a stranger's connection ended: {ended}"))
}
