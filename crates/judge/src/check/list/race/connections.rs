//! Connections that come and go while others of their user stay, come or write.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::{sync::Barrier, time::sleep};

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, TestPrincipal, ensure,
        list::{
            log::{caught_up, complete, epoch_of, last},
            requests::{rounds, user_of},
        },
        pass,
    },
    profile::Kind,
};

/// Connections that open at once.
const AT_ONCE: usize = 8;
/// The same where one user is all there is, and other checks have connections of it as well.
const OF_A_GIVEN_USER: usize = 3;
/// How often they do.
const WAVES: usize = 3;
/// How often a connection is exchanged before it is looked at.
const EXCHANGES: usize = 5;
/// How often a connection closes while something is written.
const CLOSES: usize = 8;
/// The furthest that two things are apart which happen at once, in microseconds.
const APART: u64 = 3000;

/// Holds that connections of a user get a run, whoever asked for it: one that came later where all get all, else each
/// its own.
async fn all_get_a_run(
    context: &CheckContext<'_>,
    user: &TestPrincipal,
    sessions: &[Session],
) -> Result<(), Failure> {
    let prompt = context.plain("wk1race")?;
    if !context.profile.endpoint.shared {
        return try_join_all(sessions.iter().map(|session| session.run(&prompt))).await.map(drop);
    }
    let asker = context.connect(user).await?;
    let from: Vec<usize> = sessions.iter().map(Session::count).collect();
    let run = asker.run(&prompt).await?;
    for (session, from) in sessions.iter().zip(from) {
        // Behind the end of the run that the other one has seen. Who gets no events may get no answer either.
        let answered = session.barrier().await;
        let frames = session.frames_of(from, &run.run);
        let ended = frames.iter().any(|seen| seen.kind == Kind::Completed);
        ensure(ended, || {
            let (name, all, came) = (&session.name, run.frames.len(), frames.len());
            format!("{name}: of {all} events of a run that another connection of its user saw, {came} came")
        })?;
        answered?;
    }
    Ok(())
}

pub(super) async fn simultaneous(context: &CheckContext<'_>) -> CheckOutcome {
    let most = if context.target.issuer().is_some() { AT_ONCE } else { OF_A_GIVEN_USER };
    // One more asks.
    let most =
        context.profile.limits.connections.map_or(most, |limit| most.min(limit.saturating_sub(1)).max(1));
    let waves = rounds(context, WAVES, most);
    for wave in 0..waves {
        let user = user_of(context, wave)?;
        let start = Barrier::new(most);
        let opened = join_all((0..most).map(async |_| {
            start.wait().await;
            context.connect(&user).await
        }));
        let sessions: Vec<Session> = opened.await.into_iter().collect::<Result<_, _>>()?;
        all_get_a_run(context, &user, &sessions).await?;
    }
    pass(format!("{waves} times {most} connections of a user opened at once, and all got its run"))
}

pub(super) async fn rapid(context: &CheckContext<'_>) -> CheckOutcome {
    let rounds = rounds(context, 6, 1);
    for round in 0..rounds {
        let user = user_of(context, round)?;
        let mut session = context.connect(&user).await?;
        for _ in 0..EXCHANGES {
            session = exchange(context, &user, session).await?;
        }
        // At last the new one is there for certain before the old one is gone.
        let new = context.connect(&user).await?;
        session.close(1000).await;
        session.ended(session.patience()).await?;
        all_get_a_run(context, &user, &[new]).await?;
    }
    pass(format!(
        "{rounds} connections were exchanged {EXCHANGES} times in a row, and the last one got its user's run"
    ))
}

/// Ends a connection as another one opens: before, after, or at once.
async fn exchange(
    context: &CheckContext<'_>,
    user: &TestPrincipal,
    old: Session,
) -> Result<Session, Failure> {
    match context.chance(3) {
        0 => {
            old.cut().await;
            context.connect(user).await
        }
        1 => {
            let new = context.connect(user).await;
            old.cut().await;
            new
        }
        _ => tokio::join!(context.connect(user), old.close(1000)).0,
    }
}

pub(super) async fn close_and_append(context: &CheckContext<'_>) -> CheckOutcome {
    let closes = rounds(context, CLOSES, 1);
    let user = context.principal("ada")?;
    let writer = context.connect(&user).await?;
    let mut reader = context.connect(&user).await?;
    let epoch = epoch_of(context, &reader);
    writer.run(&context.plain("wk1first")?).await?;
    reader.barrier().await?;
    let mut position = last(&reader).unwrap_or_default();
    let mut missed = 0;
    for _ in 0..closes {
        let (apart, first) = (Duration::from_micros(context.chance(APART)), context.chance(2) == 0);
        let (prompt, hard, start) = (context.plain("wk1append")?, context.chance(2) == 0, Barrier::new(2));
        let close = async {
            start.wait().await;
            sleep(if first { Duration::ZERO } else { apart }).await;
            if hard {
                reader.cut().await
            } else {
                reader.close(1000).await
            }
            reader.ended(reader.patience()).await
        };
        let append = async {
            start.wait().await;
            sleep(if first { apart } else { Duration::ZERO }).await;
            writer.run(&prompt).await
        };
        let (closed, run) = tokio::join!(close, append);
        closed?;
        let head = run?.of(Kind::Completed).find_map(|seen| seen.seq).unwrap_or_default();
        position = last(&reader).unwrap_or(position);
        let back = context.resume(&user, &epoch, position).await?;
        caught_up(&back, 0, head).await?;
        complete(&back, 0, position, head)?;
        missed += head.saturating_sub(position);
        reader = back;
    }
    pass(format!(
        "{closes} connections closed as a run was written; the {missed} events that they missed came with the resume"
    ))
}
