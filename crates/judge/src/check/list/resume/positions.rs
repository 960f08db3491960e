//! Positions that can be served, and such that cannot: nothing is passed over in silence.

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, TestPrincipal, broken, ensure,
        list::log::{
            caught_up, claims, complete, epoch_of, has_snapshot, last, missing, ranges, resume_here,
            unused_epoch,
        },
        pass,
    },
    profile::Kind,
};

/// How far ahead of the log a position is that there is not.
const AHEAD: u64 = 1000;

/// A user's log, of which a connection has seen some.
struct Log {
    user: TestPrincipal,
    epoch: String,
    /// The first number that was seen.
    first: u64,
    /// The last one.
    head: u64,
}

impl Log {
    async fn new(context: &CheckContext<'_>) -> Result<Self, Failure> {
        let user = context.principal("ada")?;
        let session = context.connect(&user).await?;
        session.run(&context.plain("wk1log")?).await?;
        let first = ranges(&session, 0).first().map(|(first, _)| *first);
        match (first, last(&session)) {
            (Some(first), Some(head)) if (1..=head).contains(&first) => {
                Ok(Self { user, epoch: epoch_of(context, &session), first, head })
            }
            (Some(first), Some(head)) => {
                broken(format!("the events of a run begin at {first}, in a log that ends at {head}"))
            }
            _ => broken("the events of a run have no numbers (fields.seq)"),
        }
    }

    /// A number in the log with something behind it.
    fn inside(&self, context: &CheckContext<'_>) -> u64 {
        self.first - 1 + context.chance(self.head - self.first + 1)
    }

    /// Connects at a position; nothing when that is refused.
    async fn open_at(
        &self,
        context: &CheckContext<'_>,
        epoch: &str,
        after: u64,
    ) -> Result<Option<Session>, Failure> {
        match context.resume(&self.user, epoch, after).await {
            Ok(session) => Ok(Some(session)),
            Err(Failure::Broken(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// True when nothing on a connection says that it is not what was asked for: no snapshot and no error.
fn says_nothing(session: &Session, from: usize) -> bool {
    let error = session.seen().iter().skip(from).any(|seen| seen.kind == Kind::Error);
    !error && !has_snapshot(session, from)
}

pub(super) async fn honest(context: &CheckContext<'_>) -> CheckOutcome {
    let log = Log::new(context).await?;
    let mut positions = vec![(log.epoch.clone(), log.first - 1), (log.epoch.clone(), log.inside(context))];
    if let Ok(other) = unused_epoch(context, &log.epoch) {
        positions.extend([(other.clone(), log.inside(context)), (other, log.first - 1)]);
    }
    let (mut resumed, mut told) = (0, 0);
    for (epoch, after) in &positions {
        let Some(session) = log.open_at(context, epoch, *after).await? else {
            told += 1;
            continue;
        };
        if claims(context, &session) && !has_snapshot(&session, 0) {
            caught_up(&session, 0, log.head).await?;
            complete(&session, 0, *after, log.head)?;
            resumed += 1;
        } else {
            told += 1;
        }
        let open = context.connect(&log.user).await?;
        let Some(from) = resume_here(context, &open, epoch, *after).await? else { continue };
        if says_nothing(&open, from) {
            caught_up(&open, from, log.head).await?;
            complete(&open, from, *after, log.head)?;
        }
    }
    pass(format!("{resumed} positions were resumed whole, {told} were said not to be"))
}

pub(super) async fn other_epoch(context: &CheckContext<'_>) -> CheckOutcome {
    let log = Log::new(context).await?;
    let other = unused_epoch(context, &log.epoch)?;
    let after = log.inside(context);
    if let Some(session) = log.open_at(context, &other, after).await? {
        session.barrier().await?;
        ensure(!claims(context, &session), || {
            format!(
                "{}: the welcome says that it goes on after {after} of {other:?}, an epoch that never was",
                session.name
            )
        })?;
    }
    let open = context.connect(&log.user).await?;
    if let Some(from) = resume_here(context, &open, &other, after).await? {
        ensure(!says_nothing(&open, from), || {
            format!(
                "{}: a resume after {after} of {other:?}, an epoch that never was, was served like any other",
                open.name
            )
        })?;
    }
    pass(format!("a position of the epoch {other:?} was not taken for one of {:?}", log.epoch))
}

pub(super) async fn ahead(context: &CheckContext<'_>) -> CheckOutcome {
    let log = Log::new(context).await?;
    let after = log.head + AHEAD;
    let Some(session) = log.open_at(context, &log.epoch, after).await? else {
        return pass(format!("a connection at {after} of a log that ends at {} was refused", log.head));
    };
    if let Err(fault) = session.barrier().await {
        return match session.end() {
            Some(ended) => {
                pass(format!("a connection at {after} of a log that ends at {} was ended: {ended}", log.head))
            }
            None => Err(fault),
        };
    }
    let silent = claims(context, &session) && says_nothing(&session, 0);
    ensure(!silent, || {
        format!(
            "{}: the welcome says that it goes on after {after}, and the log ends at {}",
            session.name, log.head
        )
    })?;
    let from = session.count();
    let run = session.run(&context.plain("wk1ahead")?).await?;
    session.barrier().await?;
    let came = ranges(&session, from);
    if let (Some((first, _)), Some(end)) = (came.first(), run.of(Kind::Completed).find_map(|seen| seen.seq)) {
        let missing = missing(&came, first - 1, end);
        ensure(missing.is_empty() || !context.profile.endpoint.shared, || {
            format!("{}: {missing:?} did not come after a position ahead of the log", session.name)
        })?;
    }
    pass(format!(
        "a position at {after} of a log that ends at {} was not taken, and a run after it came whole",
        log.head
    ))
}
