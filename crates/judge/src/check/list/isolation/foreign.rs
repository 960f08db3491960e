//! Who knows the name of another user's thread, run or position can do nothing with it.

use std::sync::Arc;

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, ReceivedFrame, Session, TestPrincipal, ensure,
        list::{
            log::{epoch_of, last, resume_here},
            requests::{message, settle},
            secrets::Secrets,
            whole_runs::unnamed,
        },
        pass,
        session::{Asked, RunSeen, new_id},
    },
    profile::{Kind, Template},
};

/// A user with a run in a thread, and what nobody else may see of it.
struct Owner {
    user: TestPrincipal,
    session: Session,
    thread: String,
    secrets: Secrets,
}

impl Owner {
    async fn new(context: &CheckContext<'_>) -> Result<Self, Failure> {
        let user = context.principal("ada")?;
        let session = context.connect(&user).await?;
        let mut secrets = Secrets::of(&user.user);
        let run = session.run(&secrets.prompt(context)?).await?;
        let thread = run.frames.iter().find_map(|seen| context.profile.fields.thread.text(&seen.json));
        match thread {
            Some(thread) => Ok(Self { user, session, thread, secrets }),
            None => Err(unnamed("thread", &run)),
        }
    }
}

impl Owner {
    /// True when a text tells something of the thread.
    fn shown_in(&self, text: &str) -> bool {
        text.contains(&self.thread) || self.secrets.hidden_in("", "", text).is_err()
    }
}

/// What a user gets who asks for a thread, by each way that the profile knows: how, whether it is a refusal, and the text.
async fn read(
    context: &CheckContext<'_>,
    user: &TestPrincipal,
    session: &Session,
    thread: &str,
) -> Result<Vec<(&'static str, bool, String)>, Failure> {
    let mut answers = Vec::new();
    if let Some(history) = &context.profile.messages.history {
        let from = session.count();
        session.send(history.fill(&[("thread", json!(thread)), ("id", json!(new_id()))])).await?;
        settle(session).await?;
        let seen: Vec<Arc<ReceivedFrame>> = session.seen().into_iter().skip(from).collect();
        let refused = seen.iter().any(|seen| seen.kind == Kind::Error);
        let texts: Vec<&str> = seen.iter().map(|seen| seen.text.as_str()).collect();
        answers.push(("over the socket", refused, texts.join("\n")));
    }
    if let Some(path) = &context.profile.http.thread {
        let path = Template::new(path.clone()).fill_plain(&[("thread", json!(thread))]);
        let answer = context.http("GET", &path, user.token.as_deref(), None).await?;
        answers.push((
            "over HTTP",
            (400..500).contains(&answer.status),
            format!("{} {}", answer.status, answer.body),
        ));
    }
    Ok(answers)
}

pub(super) async fn thread(context: &CheckContext<'_>) -> CheckOutcome {
    let owner = Owner::new(context).await?;
    let bob = context.principal("bob")?;
    let session = context.connect(&bob).await?;
    let own = read(context, &owner.user, &owner.session, &owner.thread).await?;
    if own.is_empty() {
        let why = "the profile does not say how a thread is read (messages.history, http.thread)";
        return Err(Failure::NotDone(why.to_owned()));
    }
    if let Some((how, _, text)) = own.iter().find(|(_, refused, text)| *refused || !owner.shown_in(text)) {
        let why = format!("a user does not get the user's own thread {how}: {text}");
        return Err(Failure::NotDone(why));
    }
    let foreign = read(context, &bob, &session, &owner.thread).await?;
    for (how, refused, text) in &foreign {
        owner.secrets.hidden_in(
            &session.name,
            &format!("the answer {how} for another user's thread"),
            text,
        )?;
        // Over a socket there may be other ways to say that there is nothing.
        ensure(*refused || *how == "over the socket", || {
            format!("{}: another user's thread was not refused {how}: {text}", session.name)
        })?;
    }
    let ways: Vec<&str> = foreign.iter().map(|(how, ..)| *how).collect();
    pass(format!("a thread was shown to its user and not to another one, {}", ways.join(" and ")))
}

/// Waits for what becomes of a request: its run, or nothing when it is refused or passed over.
async fn taken(session: &Session, asked: &Asked) -> Result<Option<RunSeen>, Failure> {
    match session.finish(asked).await {
        Ok(run) => Ok(Some(run)),
        Err(Failure::Broken(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

pub(super) async fn write(context: &CheckContext<'_>) -> CheckOutcome {
    let owner = Owner::new(context).await?;
    let bob = context.principal("bob")?;
    let session = context.connect(&bob).await?;
    let mut his = Secrets::of(&bob.user);
    let ask = message(&context.profile.messages.ask_in, "ask_in")?;
    let id = if ask.names("id") { new_id() } else { String::new() };
    let asked = Asked { id, from: session.count(), at: std::time::Instant::now() };
    let text = his.prompt(context)?;
    let values = [("text", json!(text)), ("thread", json!(owner.thread)), ("id", json!(asked.id))];
    session.send(ask.fill(&values)).await?;
    let run = taken(&session, &asked).await?;
    owner.secrets.hidden_from(&session)?;
    settle(&owner.session).await?;
    his.hidden_from(&owner.session)?;
    let thread = read(context, &owner.user, &owner.session, &owner.thread).await?;
    for (how, _, text) in &thread {
        his.hidden_in(&owner.session.name, &format!("the user's own thread {how}"), text)?;
    }
    match (run, thread.is_empty()) {
        (None, true) if !context.profile.endpoint.shared => Err(Failure::NotDone(
            "the profile does not say how to look at a thread (messages.history, http.thread)".to_owned(),
        )),
        (None, _) => pass("a message into another user's thread was refused, and nothing of it is there"),
        (Some(_), false) => {
            pass("a message that names another user's thread went somewhere else: nothing of it is there")
        }
        (Some(_), true) => Err(Failure::NotDone(
            "the message was taken, and the profile does not say how to look at a thread (messages.history)"
                .to_owned(),
        )),
    }
}

/// How a run ended, as the profile tells it.
async fn outcome(context: &CheckContext<'_>, session: &Session, asked: &Asked) -> Result<String, Failure> {
    let run = session.finish(asked).await?;
    let end = run.of(Kind::Completed).next().map(|seen| context.profile.fields.outcome.text(&seen.json));
    end.flatten().ok_or_else(|| {
        Failure::Broken(format!("{}: the end of a run does not say how it ended", session.name))
    })
}

pub(super) async fn cancel(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (hers, his) = (context.connect(&ada).await?, context.connect(&bob).await?);
    let cancel = message(&context.profile.messages.cancel, "cancel")?;
    let slow = context.prompt(&context.profile.prompts.slow, "slow")?;
    if context.profile.limits.runs.is_some_and(|runs| runs < 3) {
        return Err(Failure::NotDone("it takes three runs of a user at once (limits.runs)".to_owned()));
    }
    // The same three times: one that nobody touches, one that its user cancels, and one that somebody else would like to.
    let (untouched, stopped, wanted) = (hers.ask(slow).await?, hers.ask(slow).await?, hers.ask(slow).await?);
    let run = hers.run_of(&wanted).await?.unwrap_or_default();
    let own = hers.run_of(&stopped).await?.unwrap_or_default();
    his.send(cancel.fill(&[("run", json!(run)), ("id", json!(new_id()))])).await?;
    his.barrier().await?;
    let over = hers.seen().iter().any(|seen| seen.kind == Kind::Completed && seen.is_of_run(&run));
    hers.send(cancel.fill(&[("run", json!(own)), ("id", json!(new_id()))])).await?;
    let stopped = outcome(context, &hers, &stopped).await?;
    let (untouched, wanted) =
        (outcome(context, &hers, &untouched).await?, outcome(context, &hers, &wanted).await?);
    ensure(wanted == untouched, || {
        format!(
            "the run that another user asked to cancel ended as {wanted:?}, the same that nobody touched as {untouched:?}"
        )
    })?;
    if over {
        return Err(Failure::NotDone("prompts.slow was over before anybody could cancel it".to_owned()));
    }
    if stopped == untouched {
        return Err(Failure::NotDone(format!(
            "a cancel by the run's own user changes nothing either: {stopped:?}"
        )));
    }
    pass(format!(
        "another user's cancel left a run as it was ({wanted:?}); its own user's ended one as {stopped:?}"
    ))
}

pub(super) async fn position(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let hers = context.connect(&ada).await?;
    let mut secrets = Secrets::of(&ada.user);
    for _ in 0..2 {
        let run = hers.run(&secrets.prompt(context)?).await?;
        secrets.add(context, &run);
    }
    secrets.reach(&hers)?;
    let (epoch, head) = (epoch_of(context, &hers), last(&hers).unwrap_or_default());
    let mut frames = 0;
    for after in [0, context.chance(head.max(1)), head] {
        match context.resume(&bob, &epoch, after).await {
            Ok(session) => {
                settle(&session).await?;
                frames += secrets.hidden_from(&session)?;
            }
            // A refusal tells nothing.
            Err(Failure::Broken(_)) => {}
            Err(other) => return Err(other),
        }
    }
    let his = context.connect(&bob).await?;
    if resume_here(context, &his, &epoch, 0).await?.is_some() {
        settle(&his).await?;
        frames += secrets.hidden_from(&his)?;
    }
    pass(format!("three positions of another user's log brought {frames} frames, and nothing of the other"))
}
