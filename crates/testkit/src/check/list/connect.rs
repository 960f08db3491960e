//! What a client may count on when it connects.

use super::check;
use crate::{
    check::{Check, Need, Outcome, Trial, ensure, pass},
    profile::Kind,
};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[check!(
    "connect.welcome_first",
    Major,
    Quick,
    [Need::WebSocket, Need::Welcome],
    "welcome_late",
    "The first frame of a connection is the welcome.",
    welcome_first
)];

async fn welcome_first(trial: &Trial<'_>) -> Outcome {
    let ada = trial.visitor("ada")?;
    let session = trial.connect(&ada).await?;
    session.barrier().await?;
    let seen = session.seen();
    ensure(seen[0].kind == Kind::Welcome, || format!("the first frame was {}", seen[0].brief()))?;
    let welcomes = seen.iter().filter(|seen| seen.kind == Kind::Welcome).count();
    ensure(welcomes == 1, || format!("{welcomes} welcomes came on one connection"))?;
    pass("the welcome came first, and once")
}
