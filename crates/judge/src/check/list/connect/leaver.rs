//! A client that is gone before it was answered, as a tab that is closed or a train in a tunnel.

use crate::{
    check::{Fault, Outcome, Session, Trial, Visitor, pass},
    profile::Kind,
};

/// How often each way of leaving is tried.
const TIMES: usize = 2;

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Reset,
    Close,
}

pub(super) async fn leaver(trial: &Trial<'_>) -> Outcome {
    let ada = trial.visitor("ada")?;
    // Where only one user's token was given, one user has to do.
    let bob = trial.visitor("bob").unwrap_or_else(|_| ada.clone());
    let witness = trial.connect(&bob).await?;
    witness.barrier().await?;
    let prompt = match &trial.profile.prompts.slow {
        Some(slow) => slow.clone(),
        None => trial.plain("wk1leave")?,
    };
    for leave in [Leave::Reset, Leave::Close].into_iter().cycle().take(2 * TIMES) {
        leave_midway(trial, &ada, &prompt, leave).await?;
        let how = match leave {
            Leave::Reset => "was reset",
            Leave::Close => "closed its connection",
        };
        let told = |fault| match fault {
            Fault::Broken(why) | Fault::Gone(why) => {
                Fault::Broken(format!("after a client left in the middle of its answer (it {how}): {why}"))
            }
            other => other,
        };
        serves(trial, &witness, &bob).await.map_err(told)?;
    }
    pass(format!("{} clients left in the middle of an answer, and all others were served", 2 * TIMES))
}

async fn leave_midway(trial: &Trial<'_>, visitor: &Visitor, prompt: &str, leave: Leave) -> Result<(), Fault> {
    let session = trial.connect(visitor).await?;
    let asked = session.ask(prompt).await?;
    let has_begun = |kind| !kind_is_of_no_run(kind);
    session
        .wait("beginning of an answer", asked.from, session.patience(), |seen| has_begun(seen.kind))
        .await?;
    match leave {
        Leave::Reset => session.cut().await,
        Leave::Close => session.close(1000).await,
    }
    session.ended(session.patience()).await.map(drop)
}

fn kind_is_of_no_run(kind: Kind) -> bool {
    kind.is_control() || matches!(kind, Kind::Other | Kind::Message | Kind::BeforeStart)
}

/// Who was there before is answered, and so is somebody new.
async fn serves(trial: &Trial<'_>, witness: &Session, visitor: &Visitor) -> Result<(), Fault> {
    witness.barrier().await?;
    let new = trial.connect(visitor).await?;
    new.barrier().await?;
    witness.run(&trial.plain("wk1beside")?).await.map(drop)
}
