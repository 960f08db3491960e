//! What opens a connection, and what takes it away again: places, tickets, revocations, the end of a token.

use std::time::Duration;

use serde_json::json;

use crate::{
    check::{
        Attempt, CheckContext, CheckOutcome, Failure, TestPrincipal, broken, ensure, pass, session::new_id,
        with_query,
    },
    profile::Kind,
};

/// How long a token lives that shall expire under the eyes of the check, in seconds.
const LIFE: u64 = 4;

pub(super) async fn places(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut opened = Vec::new();
    for place in context.places() {
        let session = context.connect_as(&Attempt { place: Some(place), ..context.attempt(&ada) }).await;
        let session = session.map_err(|fault| match fault {
            Failure::Broken(why) => Failure::Broken(format!("a good token in the place {place:?}: {why}")),
            other => other,
        })?;
        session.barrier().await?;
        opened.push(format!("{place:?}"));
    }
    pass(format!("a good token opened a connection from each place: {}", opened.join(", ")))
}

pub(super) async fn revoked(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (Some(revoke), Some(admin)) = (&context.profile.http.revoke, context.target.admin_token()) else {
        return Err(Failure::NotDone(
            "the profile has no http.revoke, or the judge is no administrator".to_owned(),
        ));
    };
    let (hers, again, his) =
        (context.connect(&ada).await?, context.connect(&ada).await?, context.connect(&bob).await?);
    let body = revoke.body.fill(&[("user", json!(ada.user))]);
    let body = serde_json::from_str(&body)
        .map_err(|error| Failure::NotDone(format!("http.revoke.body is no JSON: {error}")))?;
    let answer = context.http("POST", &revoke.path, Some(&admin), Some(body)).await?;
    if matches!(answer.status, 401 | 403) {
        return Err(Failure::NotDone(format!(
            "the judge is no administrator here: {} answered {} (auth.jwt.admin)",
            revoke.path, answer.status
        )));
    }
    ensure((200..300).contains(&answer.status), || {
        format!("an administrator's revocation was answered with {}: {}", answer.status, answer.body)
    })?;
    for session in [&hers, &again] {
        session.ended(session.patience()).await.map_err(|fault| {
            Failure::Broken(format!("all tokens of {} were revoked, and {fault}", ada.user))
        })?;
    }
    let connect =
        context.target.connect(context.target.url(), ada.token.as_deref(), context.profile.auth.place);
    let shown =
        ada.token.as_deref().filter(|_| context.profile.auth.place == Some(crate::profile::Place::Frame));
    let how = context.assert_no_access(connect, shown, "a revoked token").await?;
    his.barrier().await?;
    pass(format!("both connections ended, a new one was refused ({how}), another user's went on"))
}

/// A user whose token ends under the eyes of the check, and by how many seconds a connection may outlive it.
fn short_lived(context: &CheckContext<'_>) -> Result<(TestPrincipal, f64), Failure> {
    let (ada, Some(grace)) = (context.principal("ada")?, context.profile.limits.token_grace_seconds) else {
        return Err(Failure::NotDone("the profile has no limits.token_grace_seconds".to_owned()));
    };
    let Some(issuer) = context.target.issuer() else {
        return Err(Failure::NotDone("the judge has no key to make tokens with".to_owned()));
    };
    let mut claims = context.target.claims(&ada.user);
    let made = claims["iat"].as_u64().unwrap_or_default();
    claims["exp"] = json!(made + LIFE);
    Ok((TestPrincipal { token: Some(issuer.sign_claims(&claims)), ..ada }, grace))
}

pub(super) async fn expiry_ends(context: &CheckContext<'_>) -> CheckOutcome {
    let (short, grace) = short_lived(context)?;
    let session = context.connect(&short).await?;
    session.barrier().await?;
    let within = Duration::from_secs_f64(LIFE as f64 + grace) + session.patience();
    let ended = session.ended(within).await.map_err(|fault| {
        Failure::Broken(format!("the token expired after {LIFE} s and may be outlived by {grace} s: {fault}"))
    })?;
    pass(format!("the connection ended with its token: {ended}"))
}

pub(super) async fn renewal_counts(context: &CheckContext<'_>) -> CheckOutcome {
    let (short, grace) = short_lived(context)?;
    let session = context.connect(&short).await?;
    let long = context.target.sign(&short.user).unwrap_or_default();
    let Some(authenticate) = &context.profile.messages.authenticate else {
        return Err(Failure::NotDone("the profile has no messages.authenticate".to_owned()));
    };
    let from = session.count();
    session.send(authenticate.fill(&[("token", json!(long)), ("id", json!(new_id()))])).await?;
    session.barrier().await?;
    let refusal = session.seen().into_iter().skip(from).find(|seen| seen.kind == Kind::Error);
    ensure(refusal.is_none(), || {
        let told = refusal.as_ref().map(|seen| seen.brief()).unwrap_or_default();
        format!("a new token of the connection's own user was refused: {told}")
    })?;
    // Past the end of the first token and all that it may be outlived by.
    let past = Duration::from_secs_f64(LIFE as f64 + grace + 1.0);
    if let Ok(ended) = session.ended(past).await {
        return broken(format!("a connection that was renewed ended with its first token: {ended}"));
    }
    session.barrier().await?;
    pass(format!("the connection answers {past:?} later, as its second token lives"))
}

pub(super) async fn ticket_once(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let path = context.profile.http.ticket.as_deref();
    let path = path.ok_or_else(|| Failure::NotDone("the profile has no http.ticket".to_owned()))?;
    let nobody = context.http("POST", path, None, None).await?;
    ensure(matches!(nobody.status, 401 | 403), || {
        format!(
            "a ticket was asked for without credentials, and the answer was {}: {}",
            nobody.status, nobody.body
        )
    })?;
    let sold = context.http("POST", path, ada.token.as_deref(), None).await?;
    let Some(ticket) = sold.json.get("ticket").and_then(|ticket| ticket.as_str()) else {
        return broken(format!(
            "a ticket was asked for with a good token, and the answer was {}: {}",
            sold.status, sold.body
        ));
    };
    let url = with_query(context.target.url(), &format!("ticket={ticket}"));
    let bearer = TestPrincipal { user: ada.user.clone(), token: None };
    let session = context.connect_as(&Attempt { url: &url, place: None, ..context.attempt(&bearer) }).await?;
    session.barrier().await?;
    let named = session
        .seen()
        .iter()
        .find(|seen| seen.kind == Kind::Welcome)
        .and_then(|seen| context.profile.fields.user.text(&seen.json));
    ensure(named.as_ref().is_none_or(|named| *named == ada.user), || {
        format!("the ticket of {} opened a connection of {}", ada.user, named.unwrap_or_default())
    })?;
    let connect = context.target.connect(&url, None, None);
    let how = context.assert_no_access(connect, None, "a ticket that was used").await?;
    pass(format!("the ticket opened a connection of its buyer, and then no more: {how}"))
}
