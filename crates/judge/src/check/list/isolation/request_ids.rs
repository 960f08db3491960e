//! Names that two users give and errors that two users cause have nothing to do with each other.

use futures_util::future::try_join_all;
use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, ensure,
        list::{
            requests::{ask_with_id, settle},
            secrets::Secrets,
        },
        pass,
        session::new_id,
    },
    profile::Kind,
};

pub(super) async fn request_ids(context: &CheckContext<'_>) -> CheckOutcome {
    let users = [context.principal("ada")?, context.principal("bob")?];
    let sessions = try_join_all(users.iter().map(|user| context.connect(user))).await?;
    ask_with_id(context)?;
    let mut runs = 0;
    for (same_text, at_once) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut secrets = Secrets::of(&users[0].user);
        let hers = secrets.prompt(context)?;
        let his = if same_text { hers.clone() } else { Secrets::of(&users[1].user).prompt(context)? };
        let id = new_id();
        let told = |fault| match fault {
            Failure::Broken(why) => {
                Failure::Broken(format!("a request under an id that another user has used as well: {why}"))
            }
            other => other,
        };
        let mut asked = vec![sessions[0].ask_as(&id, &hers).await?];
        let mut ended = Vec::new();
        if !at_once {
            ended.push(sessions[0].finish(&asked[0]).await?);
        }
        asked.push(sessions[1].ask_as(&id, &his).await?);
        for (session, asked) in sessions.iter().zip(&asked).skip(ended.len()) {
            // Known before its end is waited for: another user's run never ends here.
            let run = session.run_of(asked).await.map_err(told)?;
            let foreign = ended.first().is_some_and(|first| first.run.is_some() && first.run == run);
            ensure(!foreign, || {
                format!("{}: the answer names the run of the other user who used the id", session.name)
            })?;
            ended.push(session.finish(asked).await.map_err(told)?);
        }
        ensure(ended[0].run.is_none() || ended[0].run != ended[1].run, || {
            format!("two users' requests of one id became one run: {:?}", ended[0].run)
        })?;
        for session in &sessions {
            settle(session).await?;
        }
        if !same_text {
            secrets.add(context, &ended[0]);
            secrets.hidden_from(&sessions[1])?;
        }
        runs += ended.len();
    }
    pass(format!(
        "4 ids were used by two users each, with the same text and others: {runs} runs, each its user's own"
    ))
}

pub(super) async fn error_text(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (hers, mut his) = (context.connect(&ada).await?, Vec::new());
    let messages = &context.profile.messages;
    let mut secrets = Secrets::of(&ada.user);
    let mut frames = Vec::new();
    let unknown = new_id();
    for (template, values) in [
        (&messages.unknown, vec![]),
        (&messages.incomplete, vec![]),
        (&messages.cancel, vec![("run", json!(unknown))]),
        (&messages.history, vec![("thread", json!(unknown))]),
        (&messages.ask_in, vec![("thread", json!(unknown)), ("text", json!(context.plain("nobody")?))]),
    ] {
        frames.extend(template.as_ref().map(|template| {
            let id = [("id", json!(new_id()))];
            template.fill(&[&values[..], &id].concat())
        }));
    }
    frames.push("{ this is no JSON".to_owned());
    for frame in &frames {
        // Whatever was asked last is another user's, and still at work.
        let asked = hers.ask(&secrets.prompt(context)?).await?;
        hers.run_of(&asked).await?;
        // A connection of its own: an error may end it.
        let session = context.connect(&bob).await?;
        session.send(frame.clone()).await?;
        match settle(&session).await {
            Ok(()) | Err(Failure::Broken(_)) => his.push(session),
            Err(other) => return Err(other),
        }
        let run = hers.finish(&asked).await?;
        secrets.add(context, &run);
    }
    if let Some(failing) = &context.profile.prompts.failing_tool {
        let session = context.connect(&bob).await?;
        let (bobs, adas) =
            tokio::join!(session.run(failing), async { hers.run(&secrets.prompt(context)?).await });
        bobs?;
        adas?;
        his.push(session);
    }
    secrets.reach(&hers)?;
    let mut errors = 0;
    for session in &his {
        secrets.hidden_from(session)?;
        errors += session.seen().iter().filter(|seen| seen.kind == Kind::Error).count();
    }
    if errors == 0 {
        return Err(Failure::NotDone(
            "nothing that was sent is answered with an error (events.error)".to_owned(),
        ));
    }
    pass(format!("{errors} errors of one user told nothing of another one who was at work"))
}
