//! As whom somebody is here: as the token says, whatever else says otherwise.

use serde_json::{Value, json};

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, TestPrincipal, broken, ensure, pass, session::new_id,
    },
    profile::Kind,
};

/// Names that clients give to the field for a user.
const NAMES: [&str; 4] = ["user_id", "userId", "user", "sender_id"];

pub(super) async fn token_user(context: &CheckContext<'_>) -> CheckOutcome {
    let mut named = 0;
    for name in ["ada", "bob"] {
        let principal = context.principal(name)?;
        let session = context.connect(&principal).await?;
        session.run(&context.plain(&format!("of {name}"))?).await?;
        named += whose(context, &session, &principal)?;
    }
    ensure(named > 0, || "no frame names a user where the profile says it (fields.user)".to_owned())?;
    pass(format!("{named} frames of two users name the user of the token"))
}

/// How many frames name a user, which must be this one.
fn whose(context: &CheckContext<'_>, session: &Session, principal: &TestPrincipal) -> Result<usize, Failure> {
    let mut named = 0;
    for seen in session.seen() {
        let Some(user) = context.profile.fields.user.text(&seen.json) else { continue };
        ensure(user == principal.user, || {
            format!(
                "{}: a frame on the connection of {} names {user}: {}",
                session.name,
                principal.user,
                seen.brief()
            )
        })?;
        named += 1;
    }
    Ok(named)
}

pub(super) async fn message_user(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (hers, his) = (context.connect(&ada).await?, context.connect(&bob).await?);
    let Some(ask) = &context.profile.messages.ask else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask an agent (messages.ask)".to_owned(),
        ));
    };
    let marker = new_id();
    let (id, from) = (new_id(), hers.count());
    let message = ask.fill(&[("text", json!(context.plain(&marker)?)), ("id", json!(id))]);
    let asked = crate::check::session::Asked { id, from, at: std::time::Instant::now() };
    hers.send(naming(&message, &bob.user)?).await?;
    // Whatever comes of it is hers: its end, or a refusal. What comes to him meanwhile ends the wait at once.
    let his_from = his.count();
    let leaked = his.wait("event", his_from, hers.patience() * 2, |seen| {
        seen.kind.is_of_a_run() || seen.text.contains(&marker)
    });
    let finished = hers.finish(&asked);
    let what = tokio::select! {
        biased;
        Ok(seen) = leaked => return broken(format!(
            "{} named {} in a message, and {} got what came of it: {}", ada.user, bob.user, bob.user, seen.brief()
        )),
        finished = finished => match (finished, refusal(&hers, from)) {
            (Ok(run), _) => format!("a run of {} events was its sender's", run.frames.len()),
            (Err(_), Some(refusal)) => format!("it was refused: {refusal}"),
            (Err(fault), None) => return Err(fault),
        },
    };
    whose(context, &hers, &ada)?;
    his.barrier().await?;
    let foreign = his.seen().into_iter().skip(his_from).find(|seen| seen.text.contains(&marker));
    ensure(foreign.is_none(), || {
        let told = foreign.as_ref().map(|seen| seen.brief()).unwrap_or_default();
        format!("{} named {} in a message, and {} got {told}", ada.user, bob.user, bob.user)
    })?;
    pass(format!("a message of {} that names {}: {what}", ada.user, bob.user))
}

fn refusal(session: &Session, from: usize) -> Option<String> {
    let seen = session.seen();
    seen.iter().skip(from).find(|seen| seen.kind == Kind::Error).map(|seen| seen.brief())
}

/// The message with a user in it, under all names and in every object of it.
fn naming(message: &str, user: &str) -> Result<String, Failure> {
    let mut frame: Value = serde_json::from_str(message).map_err(|error| {
        Failure::NotDone(format!("messages.ask is no JSON, and names no user so: {error}"))
    })?;
    name_in(&mut frame, user);
    Ok(frame.to_string())
}

fn name_in(value: &mut Value, user: &str) {
    let Value::Object(fields) = value else { return };
    fields.values_mut().for_each(|inner| name_in(inner, user));
    for name in NAMES {
        fields.insert(name.to_owned(), json!(user));
    }
}

pub(super) async fn renewal(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (hers, his) = (context.connect(&ada).await?, context.connect(&bob).await?);
    let Some(authenticate) = &context.profile.messages.authenticate else {
        return Err(Failure::NotDone("the profile has no messages.authenticate".to_owned()));
    };
    let (id, from) = (new_id(), hers.count());
    let token = bob.token.clone().unwrap_or_default();
    hers.send(authenticate.fill(&[("token", json!(token)), ("id", json!(id))])).await?;
    let answers =
        |seen: &crate::check::ReceivedFrame| seen.kind == Kind::Error || seen.request.as_deref() == Some(&id);
    let how = match (hers.wait("answer", from, hers.patience(), answers).await, hers.end()) {
        (Ok(told), _) if told.kind == Kind::Error => format!("it was refused: {}", told.brief()),
        (Ok(told), _) => {
            return broken(format!(
                "the token of {} was taken on the connection of {}: {}",
                bob.user,
                ada.user,
                told.brief()
            ));
        }
        (Err(_), Some(ended)) => return pass(format!("another user's token ended the connection: {ended}")),
        (Err(fault), None) => return Err(fault),
    };
    let (marker, his_from) = (new_id(), his.count());
    if hers.end().is_none() {
        match hers.run(&context.plain(&marker)?).await {
            // A server may end the connection over it, and says so with the refusal.
            Err(_) if hers.end().is_some() => {}
            ran => drop(ran?),
        }
    }
    whose(context, &hers, &ada)?;
    his.barrier().await?;
    let taken = his
        .seen()
        .into_iter()
        .skip(his_from)
        .find(|seen| seen.kind.is_of_a_run() || seen.text.contains(&marker));
    ensure(taken.is_none(), || {
        format!(
            "after the token of {} on the connection of {}, {} got what was asked on it",
            bob.user, ada.user, bob.user
        )
    })?;
    pass(format!("{how}; the connection stayed its user's"))
}

pub(super) async fn exact(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut told = Vec::new();
    for alike in [ada.user.to_uppercase(), format!("{} ", ada.user), format!("{}\u{301}", ada.user)] {
        let token = context.target.sign(&alike);
        let hers = context.connect(&ada).await?;
        let other = TestPrincipal { user: alike.clone(), token };
        let his = match context.connect(&other).await {
            Ok(his) => his,
            // A name that a server does not take is nobody's.
            Err(Failure::Broken(why)) => {
                told.push(format!("{alike:?} is refused: {why}"));
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let (marker, from) = (new_id(), his.count());
        hers.run(&context.plain(&marker)?).await?;
        his.barrier().await?;
        whose(context, &his, &other)?;
        let leaked = his
            .seen()
            .into_iter()
            .skip(from)
            .find(|seen| seen.kind.is_of_a_run() || seen.text.contains(&marker));
        ensure(leaked.is_none(), || {
            let told = leaked.as_ref().map(|seen| seen.brief()).unwrap_or_default();
            format!("{alike:?} got what {:?} asked for: {told}", ada.user)
        })?;
        told.push(format!("{alike:?} is somebody else"));
    }
    pass(told.join("; "))
}
