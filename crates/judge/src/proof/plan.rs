//! What everybody does in a proof, decided from a seed before anything happens: the same seed, the same plan. Users get in
//! each other's way on purpose: with the same request ids and their neighbours, with each other's positions, threads and
//! runs, and by coming when another goes.

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use wireproof_faultproxy::{Afterwards, Cut, Fault, Toxic, Trigger};

use crate::profile::{Profile, Transport};

mod rounds;

use rounds::Drafter;

/// How many take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Users.
    pub users: usize,
    /// Connections of each.
    pub devices: usize,
    /// Runs of each before anything is made difficult; more follow.
    pub runs: usize,
}

impl Size {
    /// So many users with two connections and three calm runs each.
    pub fn of(users: usize) -> Self {
        Self { users, devices: 2, runs: 3 }
    }

    /// Eight users with two calm runs: what takes a second or so.
    pub fn small() -> Self {
        Self { users: 8, devices: 2, runs: 2 }
    }
}

/// How the users of a round come one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All begin at once, and wait for each other behind every round.
    Lockstep,
    /// Each waits for a few milliseconds of its own before each act.
    Random,
    /// One after the other by a priority that changes from round to round; their runs go on beside each other.
    Priority,
}

/// What a plan may ask of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Abilities {
    /// A client can go on where it stopped: connections may be cut in the middle of runs.
    pub resumes: bool,
    /// A request that is sent again under its id is one request.
    pub ids: bool,
    /// Messages that it has: several tools at once, a tool that fails, an answer that takes its time.
    pub prompts: Vec<Prompt>,
    /// A run can be cancelled.
    pub cancels: bool,
    /// A message may name a thread.
    pub threads: bool,
    /// Every connection of a user gets all events.
    pub shared: bool,
    /// Faults are made on the wire; otherwise connections are cut at the client's end.
    pub wire: bool,
    /// Texts in whose frames a connection is cut.
    pub cut_at: Vec<String>,
    /// Requests that a user may make at once.
    pub burst: usize,
}

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// Any.
    Plain,
    /// One that takes a tool.
    Tool,
    /// One that takes several tools at once.
    Parallel,
    /// One whose tool fails.
    Failing,
    /// One that is answered over a second or two.
    Slow,
}

/// One thing that a user does.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Asks the agent on a connection, under an id.
    Ask {
        /// Which of its connections.
        device: usize,
        /// The id; unless it is shared on purpose, nobody else has it.
        request: Id,
        /// What is asked.
        prompt: Prompt,
        /// Which of the user's requests it is, for its marker.
        number: usize,
    },
    /// Cancels the run that was asked for last.
    Cancel,
    /// Does what only another user may.
    Trespass(Trespass, usize),
    /// Ends a connection; the user comes back with the position that it has.
    Leave {
        /// Which of its connections.
        device: usize,
        /// True to say goodbye first.
        politely: bool,
    },
    /// Has a fault made on a connection that is open.
    Arm {
        /// Which of its connections.
        device: usize,
        /// The fault.
        toxic: Toxic,
    },
}

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// One with a marker of the user.
    Marked,
    /// One that another user has as well, or whose neighbour another has.
    Shared(String),
}

/// What only another user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trespass {
    /// Resume at the other's position.
    Position,
    /// Write into the other's thread, and ask for it.
    Thread,
    /// Cancel the other's run.
    Run,
}

/// A part of the proof: behind it all wait for each other, and for their runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Its name.
    pub name: &'static str,
    /// True when the users do not wait for their welcomes before they ask.
    pub at_once: bool,
    /// True when all that is done is over before the runs are waited for; otherwise the next round meets them.
    pub settles: bool,
    /// What each user does.
    pub turns: Vec<Turn>,
    /// The users in the order of their priority.
    pub order: Vec<usize>,
}

/// What a user does in a round.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// Milliseconds before each act, where users come as they like.
    pub pause_ms: u64,
    /// What it does, in this order.
    pub acts: Vec<Act>,
}

/// What everybody does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What chance was made of.
    pub seed: u64,
    /// How many take part.
    pub size: Size,
    /// How they come one after the other.
    pub mode: Mode,
    /// What they do.
    pub rounds: Vec<Round>,
}

impl Abilities {
    /// What the server of a profile can be asked for; `wire` where faults can be made on the way to it.
    pub fn of(profile: &Profile, wire: bool) -> Self {
        let prompts = &profile.prompts;
        let has = [
            (Prompt::Plain, prompts.plain.is_some()),
            (Prompt::Tool, prompts.tool.is_some()),
            (Prompt::Parallel, prompts.parallel.is_some()),
            (Prompt::Failing, prompts.failing_tool.is_some()),
            (Prompt::Slow, prompts.slow.is_some()),
        ];
        let events = &profile.events;
        let names = [
            &events.started,
            &events.thinking,
            &events.tool_started,
            &events.tool_completed,
            &events.completed,
        ];
        let ids = profile.fields.request.is_known() && !events.accepted.is_empty();
        let resumes = profile.resume.is_some() && profile.endpoint.transport == Transport::WebSocket;
        Self {
            resumes: resumes && ids && profile.fields.run.is_known(),
            ids,
            prompts: has.into_iter().filter(|(_, has)| *has).map(|(prompt, _)| prompt).collect(),
            cancels: profile.messages.cancel.is_some() && profile.fields.run.is_known() && ids,
            threads: profile.messages.ask_in.is_some() && profile.fields.thread.is_known() && ids,
            shared: profile.endpoint.shared,
            wire,
            cut_at: names.into_iter().flatten().cloned().collect(),
            burst: profile.limits.burst.unwrap_or(usize::MAX),
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, size: Size, abilities: &Abilities) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mode = match rng.random_range(0..3) {
            0 => Mode::Lockstep,
            1 => Mode::Random,
            _ => Mode::Priority,
        };
        let devices = if abilities.shared { size.devices.max(1) } else { 1 };
        let size = Size { users: size.users.max(1), devices, ..size };
        let rounds = Drafter::new(&mut rng, size, abilities).rounds();
        Self { seed, size, mode, rounds }
    }

    /// How many runs it asks for.
    pub fn asks(&self) -> usize {
        let acts = self.rounds.iter().flat_map(|round| &round.turns).flat_map(|turn| &turn.acts);
        acts.filter(|act| matches!(act, Act::Ask { .. })).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities() -> Abilities {
        Abilities::of(&Profile::find("wireproof").unwrap(), true)
    }

    #[test]
    fn the_same_seed_is_the_same_plan_and_another_is_another() {
        let plan = |seed| Plan::new(seed, Size::of(50), &abilities());
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn all_modes_all_faults_and_all_trespasses_are_planned_and_no_user_asks_too_much() {
        let plans: Vec<_> = (0..40).map(|seed| Plan::new(seed, Size::of(12), &abilities())).collect();
        for mode in [Mode::Lockstep, Mode::Random, Mode::Priority] {
            assert!(plans.iter().any(|plan| plan.mode == mode), "{mode:?}");
        }
        let (mut faults, mut trespasses, mut shared) = (std::collections::BTreeSet::new(), [0; 3], 0);
        for plan in &plans {
            for user in 0..plan.size.users {
                let acts = plan.rounds.iter().flat_map(|round| &round.turns[user].acts);
                let mut requests = 0;
                for act in acts {
                    match act {
                        Act::Ask { request, .. } => {
                            requests += 1;
                            shared += usize::from(matches!(request, Id::Shared(_)));
                        }
                        Act::Arm { toxic, .. } => {
                            assert!(!toxic.fault.alters(), "what alters messages judges no server");
                            toxic.check().unwrap();
                            faults.insert(toxic.fault.name());
                        }
                        Act::Trespass(trespass, owner) => {
                            assert_ne!(*owner, user);
                            trespasses[*trespass as usize] += 1;
                            requests += 1;
                        }
                        Act::Cancel => requests += 1,
                        Act::Leave { .. } => {}
                    }
                }
                assert!(requests <= 18, "{requests} requests of one user");
            }
        }
        assert!(faults.len() >= 9, "{faults:?}");
        assert!(trespasses.iter().all(|n| *n > 0) && shared > 0);
    }

    #[test]
    fn who_cannot_resume_is_not_cut_and_who_does_not_share_has_one_connection() {
        let abilities = Abilities { prompts: vec![Prompt::Plain], burst: usize::MAX, ..Abilities::default() };
        let plan = Plan::new(3, Size::of(5), &abilities);
        let acts = plan.rounds.iter().flat_map(|round| &round.turns).flat_map(|turn| &turn.acts);
        assert!(acts.into_iter().all(|act| matches!(act, Act::Ask { device: 0, prompt: Prompt::Plain, .. })));
        assert!(plan.asks() >= 10);
    }
}
