//! Plays a plan over real sockets. All that is done and all that comes goes into one history with one clock; nothing is
//! judged here, and nothing that goes wrong ends the play but a server that is gone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use serde_json::json;

use crate::{
    outcome::Fault,
    proof::{
        marker::Mint,
        plan::{Abilities, Mode, Plan, Round, Size},
    },
    record::{Action, Header, Op, note},
    trial::{Trial, Visitor},
};

mod device;
mod faults;
mod player;

use player::Player;

/// What users know of each other, as a guesser might: where each is, and what it has.
#[derive(Debug, Clone, Default)]
struct Known {
    position: Option<(String, u64)>,
    thread: Option<String>,
    run: Option<String>,
}

/// What all players share.
struct Stage<'a> {
    trial: &'a Trial<'a>,
    plan: &'a Plan,
    /// A part of all request ids: the same seed may be played twice on one server.
    nonce: String,
    known: Mutex<Vec<Known>>,
}

impl Stage<'_> {
    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws a plan up for a trial's server, plays it, and gives the header of its history.
pub async fn play(trial: &Trial<'_>, size: Size) -> Result<Header, Fault> {
    let visitors = visitors(trial, size.users)?;
    let wire = faults::upstream(trial.target).await;
    let abilities = Abilities::of(&trial.profile, wire.is_some());
    let plan = Plan::new(trial.chance(u64::MAX), Size { users: visitors.len(), ..size }, &abilities);
    let nonce = format!("{:08x}", rand::random::<u32>());
    let known = Mutex::new(vec![Known::default(); visitors.len()]);
    let stage = Stage { trial, plan: &plan, nonce, known };
    let beginning = |(index, visitor)| Player::begin(&stage, index, visitor, wire);
    let mut players = try_join_all(visitors.into_iter().enumerate().map(beginning)).await?;
    for (number, round) in plan.rounds.iter().enumerate() {
        phase(trial, round.name);
        act(&stage, &mut players, number, round).await?;
        if round.settles {
            let patience = Duration::from_secs_f64(trial.profile.timing.answer_seconds);
            each(&mut players, |player| Box::pin(player.settle(patience))).await?;
        }
    }
    phase(trial, "drain");
    each(&mut players, |player| Box::pin(player.drain())).await?;
    drop(players);
    trial.recorder.settle();
    Ok(Header::of(trial.target.url(), &trial.profile, trial.seed))
}

fn phase(trial: &Trial<'_>, name: &str) {
    let ev = Some(note::PHASE.to_owned());
    trial.recorder.note(Op { f: Action::Note, ev, text: name.to_owned(), ..Op::default() });
}

type Step<'p> = std::pin::Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'p>>;

async fn each<'a>(
    players: &mut [Player<'a>],
    step: impl for<'p> Fn(&'p mut Player<'a>) -> Step<'p>,
) -> Result<(), Fault> {
    join_all(players.iter_mut().map(step)).await.into_iter().collect()
}

/// Everybody's turn, one after the other as the mode of the plan has it.
async fn act(
    stage: &Stage<'_>,
    players: &mut [Player<'_>],
    number: usize,
    round: &Round,
) -> Result<(), Fault> {
    match stage.plan.mode {
        Mode::Lockstep => each(players, |player| Box::pin(player.turn(number, Duration::ZERO))).await,
        Mode::Random => {
            each(players, |player| {
                let pause = Duration::from_millis(round.turns[player.index].pause_ms);
                Box::pin(player.turn(number, pause))
            })
            .await
        }
        Mode::Priority => {
            for user in &round.order {
                players[*user].turn(number, Duration::ZERO).await?;
            }
            Ok(())
        }
    }
}

/// Those who take part: made up where the judge has the key, else those whose tokens were given.
fn visitors(trial: &Trial<'_>, users: usize) -> Result<Vec<Visitor>, Fault> {
    let given = trial.target.given();
    if !given.is_empty() {
        let visitor =
            |(user, token): &(String, String)| Visitor { user: user.clone(), token: Some(token.clone()) };
        return Ok(given.iter().take(users).map(visitor).collect());
    }
    (0..users).map(|index| trial.visitor(&format!("u{index:02}"))).collect()
}

/// The text of a message with a marker in it, wherever the profile has its place.
fn with_marker(prompt: &str, marker: &str) -> String {
    let template = crate::profile::Template::new(prompt);
    let filled = template.fill_plain(&[("marker", json!(marker)), ("a", json!(17)), ("b", json!(23))]);
    if template.names("marker") { filled } else { format!("{filled} {marker}") }
}

/// The markers of a user.
fn mint(stage: &Stage<'_>, user: &str) -> Mint {
    Mint::new(stage.plan.seed, user)
}
