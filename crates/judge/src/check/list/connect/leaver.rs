//! A client that is gone before it was answered, as a tab that is closed or a train in a tunnel.

use crate::{
    check::{CheckContext, CheckOutcome, Failure, Session, TestPrincipal, pass},
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

pub(super) async fn leaver(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    // Where only one user's token was given, one user has to do.
    let bob = context.principal("bob").unwrap_or_else(|_| ada.clone());
    let witness = context.connect(&bob).await?;
    witness.barrier().await?;
    let prompt = match &context.profile.prompts.slow {
        Some(slow) => slow.clone(),
        None => context.plain("wk1leave")?,
    };
    for leave in [Leave::Reset, Leave::Close].into_iter().cycle().take(2 * TIMES) {
        leave_midway(context, &ada, &prompt, leave).await?;
        let how = match leave {
            Leave::Reset => "was reset",
            Leave::Close => "closed its connection",
        };
        let told = |fault| match fault {
            Failure::Broken(why) | Failure::Gone(why) => {
                Failure::Broken(format!("after a client left in the middle of its answer (it {how}): {why}"))
            }
            other => other,
        };
        serves(context, &witness, &bob).await.map_err(told)?;
    }
    pass(format!("{} clients left in the middle of an answer, and all others were served", 2 * TIMES))
}

async fn leave_midway(
    context: &CheckContext<'_>,
    principal: &TestPrincipal,
    prompt: &str,
    leave: Leave,
) -> Result<(), Failure> {
    let session = context.connect(principal).await?;
    let asked = session.ask(prompt).await?;
    let has_begun = |kind: Kind| kind.is_of_a_run() && kind != Kind::BeforeStart;
    session
        .wait("beginning of an answer", asked.from, session.patience(), |seen| has_begun(seen.kind))
        .await?;
    match leave {
        Leave::Reset => session.cut().await,
        Leave::Close => session.close(1000).await,
    }
    session.ended(session.patience()).await.map(drop)
}

/// Who was there before is answered, and so is somebody new.
async fn serves(
    context: &CheckContext<'_>,
    witness: &Session,
    principal: &TestPrincipal,
) -> Result<(), Failure> {
    witness.barrier().await?;
    let new = context.connect(principal).await?;
    new.barrier().await?;
    witness.run(&context.plain("wk1beside")?).await.map(drop)
}
