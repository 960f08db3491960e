//! What a server tells of itself to those who look after it.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::check;
use crate::check::{Check, CheckContext, CheckOutcome, Failure, Need, Session, broken, ensure, pass};

/// Connections that have to be counted.
const OPENED: usize = 3;
/// How often the count is looked at again when connections of others came and went between.
const ROUNDS: usize = 3;
/// How long a count has to follow.
const FOLLOWS: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the health is asked for.
const ASKED: usize = 5;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "health.answers",
        Major,
        Quick,
        [Need::Http("health")],
        "health_fails",
        "The health address of a server that serves answers 200, every time.",
        answers
    ),
    check!(
        "health.honest",
        Major,
        Alone,
        [Need::WebSocket, Need::Http("status")],
        "health_lies",
        "The number of connections that the server tells goes up with connections and down with their ends.",
        honest
    ),
    check!(
        "health.open",
        Minor,
        Quick,
        [Need::Http("health")],
        "health_needs_token",
        "The health address asks for no credentials, so that what looks after the server needs none.",
        open
    ),
    check!(
        "health.discreet",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Http("health")],
        "health_names_users",
        "What the server tells of its health to anybody names no user, no connection and no token.",
        discreet
    ),
];

async fn answers(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, path) = (context.principal("ada")?, health(context)?);
    for turn in 1..=ASKED {
        let answer = context.http("GET", path, ada.token.as_deref(), None).await?;
        ensure(answer.status == 200, || {
            format!("{path} answered {} at try {turn}: {}", answer.status, answer.body)
        })?;
    }
    pass(format!("{path} answered 200, {ASKED} times"))
}

async fn open(context: &CheckContext<'_>) -> CheckOutcome {
    let path = health(context)?;
    let answer = context.http("GET", path, None, None).await?;
    ensure(!matches!(answer.status, 401 | 403), || {
        format!("{path} answers {} to who shows no credentials", answer.status)
    })?;
    pass(format!("{path} answered {} without credentials", answer.status))
}

fn health<'t>(context: &'t CheckContext<'_>) -> Result<&'t str, Failure> {
    context
        .profile
        .http
        .health
        .as_deref()
        .ok_or_else(|| Failure::NotDone("the profile has no http.health".to_owned()))
}

async fn honest(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut told = Vec::new();
    // Others may come and go on the same server: what they did in one round they do not do in all.
    for _ in 0..ROUNDS {
        let before = count(context).await?;
        let sessions = try_join_all((0..OPENED).map(|_| context.connect(&ada))).await?;
        let up = count_until(context, |now| now >= before + OPENED as u64).await?;
        leave(sessions).await;
        // Gone before the next round begins, or that would count them as others.
        let most = up.max(OPENED as u64);
        let down = count_until(context, |now| now + OPENED as u64 <= most).await?;
        if up < before + OPENED as u64 {
            told.push(format!("{before}, then {up} with {OPENED} more"));
            continue;
        }
        if down + OPENED as u64 <= up {
            return pass(format!(
                "{before} connections were told, {up} with {OPENED} more, {down} when these were gone"
            ));
        }
        told.push(format!("{before}, then {up} with {OPENED} more, then {down} without these"));
    }
    broken(format!("the connections that were told do not follow ours: {}", told.join("; ")))
}

async fn leave(sessions: Vec<Session>) {
    for session in &sessions {
        session.close(1000).await;
    }
}

/// How many connections the server tells of.
async fn count(context: &CheckContext<'_>) -> Result<u64, Failure> {
    let path = context.profile.http.status.as_deref();
    let path = path.ok_or_else(|| Failure::NotDone("the profile has no http.status".to_owned()))?;
    let answer = context.http("GET", path, None, None).await?;
    let count = context.profile.http.connections.number(&answer.json);
    count.ok_or_else(|| {
        Failure::Broken(format!("{path} tells no number of connections: {} {}", answer.status, answer.body))
    })
}

/// The count as soon as it fits, or the last one that was told.
async fn count_until(context: &CheckContext<'_>, fits: impl Fn(u64) -> bool) -> Result<u64, Failure> {
    let deadline = Instant::now() + FOLLOWS;
    loop {
        let now = count(context).await?;
        if fits(now) || Instant::now() >= deadline {
            return Ok(now);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn discreet(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let session = context.connect(&ada).await?;
    session.barrier().await?;
    let connection =
        session.seen().iter().find_map(|seen| context.profile.fields.connection.text(&seen.json));
    let http = &context.profile.http;
    let mut read = Vec::new();
    for path in [&http.health, &http.status].into_iter().flatten() {
        let answer = context.http("GET", path, None, None).await?;
        let secrets = [
            ("the user", Some(&ada.user)),
            ("the connection", connection.as_ref()),
            ("the token", ada.token.as_ref()),
        ];
        for (what, secret) in secrets {
            ensure(!secret.is_some_and(|secret| answer.body.contains(secret.as_str())), || {
                format!("{path} tells {what} of {} to anybody: {}", session.name, answer.body)
            })?;
        }
        read.push(path.as_str());
    }
    // It was there to be told of all the time.
    session.barrier().await?;
    pass(format!("nothing of a connected user in {}", read.join(", ")))
}
