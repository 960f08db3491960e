//! Carries a plan out over real sockets. All that is done and all that comes goes into one history with one clock; nothing is
//! judged here, and nothing that goes wrong ends it but a server that is gone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use serde_json::json;

use crate::{
    context::{CheckContext, TestPrincipal},
    outcome::Failure,
    proof::{
        marker::MarkerKey,
        plan::{Abilities, Mode, Plan, Round, Size},
    },
    record::{Action, Header, Op, note},
};

mod faults;
mod sim_client;
mod sim_user;

use sim_user::SimUser;

/// What users know of each other, as a guesser might: where each is, and what it has.
#[derive(Debug, Clone, Default)]
struct Known {
    position: Option<(String, u64)>,
    thread: Option<String>,
    run: Option<String>,
}

/// What all users of a workload share.
struct Shared<'a> {
    context: &'a CheckContext<'a>,
    plan: &'a Plan,
    /// A part of all request ids: the same seed may run twice on one server.
    nonce: String,
    known: Mutex<Vec<Known>>,
}

impl Shared<'_> {
    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws up a plan for the server of a check, carries it out, and gives the header of its history.
pub async fn run(context: &CheckContext<'_>, size: Size) -> Result<Header, Failure> {
    let principals = principals(context, size.users)?;
    let wire = faults::upstream(context.target).await;
    let abilities = Abilities::of(&context.profile, wire.is_some());
    let plan = Plan::new(context.chance(u64::MAX), Size { users: principals.len(), ..size }, &abilities);
    let nonce = format!("{:08x}", rand::random::<u32>());
    let known = Mutex::new(vec![Known::default(); principals.len()]);
    let shared = Shared { context, plan: &plan, nonce, known };
    let beginning = |(index, principal)| SimUser::begin(&shared, index, principal, wire);
    let mut users = try_join_all(principals.into_iter().enumerate().map(beginning)).await?;
    for (number, round) in plan.rounds.iter().enumerate() {
        phase(context, round.name);
        act(&shared, &mut users, number, round).await?;
        if round.settles {
            let patience = Duration::from_secs_f64(context.profile.timing.answer_seconds);
            each(&mut users, |user| Box::pin(user.settle(patience))).await?;
        }
    }
    phase(context, "drain");
    each(&mut users, |user| Box::pin(user.drain())).await?;
    drop(users);
    context.recorder.settle();
    Ok(Header::of(context.target.url(), &context.profile, context.seed))
}

fn phase(context: &CheckContext<'_>, name: &str) {
    let ev = Some(note::PHASE.to_owned());
    context.recorder.note(Op { f: Action::Note, ev, text: name.to_owned(), ..Op::default() });
}

type UserFuture<'p> = std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'p>>;

async fn each<'a>(
    users: &mut [SimUser<'a>],
    step: impl for<'p> Fn(&'p mut SimUser<'a>) -> UserFuture<'p>,
) -> Result<(), Failure> {
    join_all(users.iter_mut().map(step)).await.into_iter().collect()
}

/// Everybody's turn, one after the other as the mode of the plan has it.
async fn act(
    shared: &Shared<'_>,
    users: &mut [SimUser<'_>],
    number: usize,
    round: &Round,
) -> Result<(), Failure> {
    match shared.plan.mode {
        Mode::Lockstep => each(users, |user| Box::pin(user.turn(number, Duration::ZERO))).await,
        Mode::Random => {
            each(users, |user| {
                let pause = Duration::from_millis(round.turns[user.index].pause_ms);
                Box::pin(user.turn(number, pause))
            })
            .await
        }
        Mode::Priority => {
            for index in &round.order {
                users[*index].turn(number, Duration::ZERO).await?;
            }
            Ok(())
        }
    }
}

/// Those who take part: made up where the judge has the key, else those whose tokens were given.
fn principals(context: &CheckContext<'_>, users: usize) -> Result<Vec<TestPrincipal>, Failure> {
    let given = context.target.given();
    if !given.is_empty() {
        let principal = |(user, token): &(String, String)| TestPrincipal {
            user: user.clone(),
            token: Some(token.clone()),
        };
        return Ok(given.iter().take(users).map(principal).collect());
    }
    (0..users).map(|index| context.principal(&format!("u{index:02}"))).collect()
}

/// The text of a message with a marker in it, wherever the profile has its place.
fn with_marker(prompt: &str, marker: &str) -> String {
    let template = crate::profile::Template::new(prompt);
    let filled = template.fill_plain(&[("marker", json!(marker)), ("a", json!(17)), ("b", json!(23))]);
    if template.names("marker") { filled } else { format!("{filled} {marker}") }
}

/// The markers of a user.
fn marker_key(shared: &Shared<'_>, user: &str) -> MarkerKey {
    MarkerKey::new(shared.plan.seed, user)
}
