//! What is delivered to a user is the user's own: live, after a reconnect, and from the beginning of the log.

use futures_util::future::join_all;
use tokio::sync::Barrier;

use crate::{
    check::{
        CheckContext, CheckOutcome, Session, ensure,
        list::{
            log::{epoch_of, missing, ranges},
            requests::settle,
            secrets::Secrets,
        },
        pass,
    },
    profile::Kind,
};

/// How often one user leaves while another comes.
const ROUNDS: u64 = 4;

pub(super) async fn live(context: &CheckContext<'_>) -> CheckOutcome {
    let users = [context.principal("ada")?, context.principal("bob")?];
    let (start, mut secrets) = (Barrier::new(2), Vec::new());
    let mut devices = Vec::new();
    for user in &users {
        devices.push([context.connect(user).await?, context.connect(user).await?]);
        secrets.push(Secrets::of(&user.user));
    }
    // With a tool and without, twice: each kind of event has its turn to go astray.
    for turn in 0..4 {
        let (mut missed, mut prompts) = (None, Vec::new());
        for secrets in &mut secrets {
            let tool = if turn % 2 == 0 { secrets.tool_prompt(context)? } else { None };
            prompts.push(tool.map_or_else(|| secrets.prompt(context), Ok)?);
        }
        let both = prompts.iter().zip(&devices).map(async |(prompt, devices)| {
            start.wait().await;
            devices[0].run(prompt).await
        });
        for (run, secrets) in join_all(both).await.into_iter().zip(&mut secrets) {
            match run {
                Ok(run) => secrets.add(context, &run),
                Err(fault) => missed = Some(fault),
            }
        }
        if let Some(missed) = missed {
            // What reached another user says more than what did not reach its own.
            for (own, other) in [(0, 1), (1, 0)] {
                for session in &devices[other] {
                    secrets[own].hidden_from(session)?;
                }
            }
            return Err(missed);
        }
    }
    let mut frames = 0;
    for session in devices.iter().flatten() {
        settle(session).await?;
    }
    for (own, other) in [(0, 1), (1, 0)] {
        secrets[own].reach(&devices[own][0])?;
        for session in &devices[other] {
            frames += secrets[own].hidden_from(session)?;
        }
    }
    pass(format!(
        "two users ran side by side on two connections each; none of {frames} frames had anything of the other"
    ))
}

pub(super) async fn reconnect(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let first = context.connect(&bob).await?;
    let epoch = epoch_of(context, &first);
    first.close(1000).await;
    let (mut secrets, mut frames) = (Secrets::of(&ada.user), 0);
    for round in 0..ROUNDS {
        let leaving = context.connect(&ada).await?;
        let run = leaving.run(&secrets.prompt(context)?).await?;
        secrets.add(context, &run);
        secrets.reach(&leaving)?;
        // Another run goes on while its user leaves.
        leaving.ask(&secrets.prompt(context)?).await?;
        let end = async {
            if round % 2 == 0 {
                leaving.cut().await;
            } else {
                leaving.close(1000).await;
            }
            leaving.ended(leaving.patience()).await
        };
        let come = async |wait: bool| {
            if wait {
                // On the heels of the other, or on the same instant.
                for _ in 0..context.chance(4) {
                    tokio::task::yield_now().await;
                }
            }
            context.resume(&bob, &epoch, 0).await
        };
        let back = if round < ROUNDS / 2 {
            end.await?;
            come(false).await?
        } else {
            let (ended, back) = tokio::join!(end, come(true));
            ended?;
            back?
        };
        settle(&back).await?;
        frames += secrets.hidden_from(&back)?;
    }
    pass(format!(
        "a user resumed {ROUNDS} times as another left; none of {frames} frames had anything of the other"
    ))
}

pub(super) async fn own_log(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let (hers, his) = (context.connect(&ada).await?, context.connect(&bob).await?);
    let epoch = epoch_of(context, &his);
    let (mut of_ada, mut of_bob) = (Secrets::of(&ada.user), Secrets::of(&bob.user));
    for _ in 0..2 {
        let run = hers.run(&of_ada.prompt(context)?).await?;
        of_ada.add(context, &run);
        let (one, other) = tokio::join!(async { hers.run(&of_ada.prompt(context)?).await }, async {
            his.run(&of_bob.prompt(context)?).await
        });
        of_ada.add(context, &one?);
        other?;
    }
    of_ada.reach(&hers)?;
    of_bob.reach(&his)?;
    let again = context.resume(&bob, &epoch, 0).await?;
    settle(&again).await?;
    settle(&his).await?;
    let frames = of_ada.hidden_from(&again)? + of_ada.hidden_from(&his)?;
    if context.profile.endpoint.shared {
        no_gap(&his)?;
    }
    let replayed =
        again.seen().iter().filter(|seen| seen.seq.is_some() || seen.kind == Kind::Snapshot).count();
    ensure(replayed > 0, || format!("{}: nothing came from the beginning of the user's log", again.name))?;
    pass(format!(
        "{replayed} events from the beginning of a user's log; none of {frames} frames had anything of another user"
    ))
}

/// What others do takes no numbers of a user's log.
fn no_gap(session: &Session) -> Result<(), crate::check::Failure> {
    let ranges = ranges(session, 0);
    let (Some((first, _)), Some((_, last))) = (ranges.first(), ranges.last()) else { return Ok(()) };
    let missing = missing(&ranges, first.saturating_sub(1), *last);
    ensure(missing.is_empty(), || {
        format!(
            "{}: the numbers {missing:?} are not the user's own: other users' events took them",
            session.name
        )
    })
}
