//! A connection is cut in the middle of a run, at an event that chance picks, and comes back with its position.

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, broken, ensure,
        list::log::{self, complete as holds_all, epoch_of, last, ranges},
        pass,
        session::Asked,
    },
    profile::Kind,
};

/// How often a connection is cut.
const ROUNDS: usize = 3;
/// How often it is tried: a run may be over before the cut.
const TRIES: usize = 8;

/// A connection that went on where another was cut.
struct Back {
    session: Session,
    /// The last number before the cut.
    after: u64,
    /// The last number of the run, which was over before the connection came back.
    head: u64,
}

/// What a run is asked for: one that goes on for a while where there is one, so that a cut falls into it.
fn prompt(context: &CheckContext<'_>, round: usize) -> Result<String, Failure> {
    let prompts = &context.profile.prompts;
    match (&prompts.slow, prompts.tool.is_some()) {
        (Some(slow), _) if round == 0 => Ok(slow.clone()),
        (_, true) => Ok(context.sum()?.prompt),
        _ => context.plain("wk1cut"),
    }
}

/// Waits until a connection has so many numbered events of a request.
async fn until(session: &Session, asked: &Asked, count: usize) -> Result<(), Failure> {
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let fits = |frame: &crate::check::ReceivedFrame| {
        let numbered = usize::from(frame.seq.is_some());
        let enough = seen.fetch_add(numbered, std::sync::atomic::Ordering::Relaxed) + numbered >= count;
        // A short run is over before.
        enough || frame.kind == Kind::Completed
    };
    session.wait("numbered event of a run", asked.from, session.patience(), fits).await.map(drop)
}

/// Cuts connections in runs that a second device sees to their end, and brings them back.
async fn cut_and_back(context: &CheckContext<'_>) -> Result<Vec<Back>, Failure> {
    let ada = context.principal("ada")?;
    let witness = context.connect(&ada).await?;
    let mut backs = Vec::new();
    for round in 0..TRIES {
        let session = context.connect(&ada).await?;
        let (epoch, from) = (epoch_of(context, &session), witness.count());
        let asked = session.ask(&prompt(context, round)?).await?;
        let run = session.run_of(&asked).await?;
        until(&session, &asked, 1 + context.chance(6) as usize).await?;
        // From here on the server talks to nobody, and does not know it.
        session.hang().await?;
        let within = std::time::Duration::from_secs_f64(context.profile.timing.run_seconds);
        let end = witness.wait("end of the run", from, within, |seen| {
            seen.kind == Kind::Completed && run.as_ref().is_none_or(|run| seen.is_of_run(run))
        });
        let (Some(after), Some(head)) = (last(&session), end.await?.seq) else {
            return broken("the events of a run have no numbers (fields.seq)");
        };
        session.cut().await;
        if after < head {
            let session = context.resume(&ada, &epoch, after).await?;
            log::caught_up(&session, 0, head).await?;
            backs.push(Back { session, after, head });
        }
        if backs.len() == ROUNDS {
            return Ok(backs);
        }
    }
    match backs.is_empty() {
        true => Err(Failure::NotDone("every run was over before its connection could be cut".to_owned())),
        false => Ok(backs),
    }
}

fn told(backs: &[Back]) -> String {
    let missed: Vec<String> = backs.iter().map(|back| (back.head - back.after).to_string()).collect();
    format!("{} connections were cut in a run; {} events were missed", backs.len(), missed.join(", "))
}

pub(super) async fn complete(context: &CheckContext<'_>) -> CheckOutcome {
    let backs = cut_and_back(context).await?;
    for back in &backs {
        holds_all(&back.session, 0, back.after, back.head)?;
    }
    pass(format!("{} and came with the resume", told(&backs)))
}

pub(super) async fn once(context: &CheckContext<'_>) -> CheckOutcome {
    let backs = cut_and_back(context).await?;
    for back in &backs {
        let mut reached = back.after;
        for (first, seq) in ranges(&back.session, 0) {
            ensure(first > reached, || {
                let name = &back.session.name;
                format!(
                    "{name}: {seq} came, and up to {reached} all had come; the connection resumed after {}",
                    back.after
                )
            })?;
            reached = seq;
        }
        ensure(reached >= back.head, || format!("{}: nothing came beyond {reached}", back.session.name))?;
    }
    pass(format!("{} and none came again", told(&backs)))
}

pub(super) async fn caught_up(context: &CheckContext<'_>) -> CheckOutcome {
    if context.profile.resume.as_ref().is_some_and(|resume| resume.caught_up.is_empty()) {
        return Err(Failure::NotDone("the profile names no end of a replay (resume.caught_up)".to_owned()));
    }
    let backs = cut_and_back(context).await?;
    for Back { session, head, .. } in &backs {
        let seen = session.seen();
        let ends: Vec<usize> =
            seen.iter().filter(|seen| seen.kind == Kind::CaughtUp).map(|seen| seen.index).collect();
        ensure(ends.len() == 1, || {
            format!("{}: the end of the replay was told {} times", session.name, ends.len())
        })?;
        let late = seen.iter().skip(ends[0]).find(|seen| seen.seq.is_some_and(|seq| seq <= *head));
        ensure(late.is_none(), || {
            let late = late.map(|seen| seen.brief()).unwrap_or_default();
            format!(
                "{}: the end of the replay was told before an event that was missed: {late}",
                session.name
            )
        })?;
    }
    pass(format!("{}, and the end of the replay was told behind them", told(&backs)))
}
