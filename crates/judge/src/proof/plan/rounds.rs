//! The rounds of a plan: calm, collisions, faults, a storm of reconnects.

use super::*;

/// Requests that are kept for what the server may count besides.
const SPARE: usize = 2;

/// Draws the rounds up.
pub(super) struct Drafter<'a> {
    rng: &'a mut SmallRng,
    size: Size,
    abilities: &'a Abilities,
    /// Requests of each user so far.
    asked: Vec<usize>,
}

impl<'a> Drafter<'a> {
    pub(super) fn new(rng: &'a mut SmallRng, size: Size, abilities: &'a Abilities) -> Self {
        Self { rng, size, abilities, asked: vec![0; size.users] }
    }

    pub(super) fn rounds(mut self) -> Vec<Round> {
        let mut rounds = Vec::new();
        for calm in 0..self.size.runs.max(1) {
            let turns =
                self.each(|draft, user| draft.ask(user, &[Prompt::Plain, Prompt::Tool, Prompt::Parallel]));
            let name = if calm == 0 { "opening" } else { "calm" };
            rounds.push(self.round(name, turns));
        }
        rounds[0].at_once = self.abilities.resumes;
        let collisions = self.each(Self::collide);
        rounds.push(self.round("collisions", collisions));
        if self.abilities.resumes {
            let faults = self.each(Self::fault);
            rounds.push(self.round("faults", faults));
            let storm = self.each(Self::storm);
            rounds.push(Round { settles: false, ..self.round("storm", storm) });
            let back = self.each(|draft, user| draft.ask(user, &[Prompt::Plain]));
            rounds.push(Round { at_once: true, ..self.round("return", back) });
        }
        rounds
    }

    fn each(&mut self, mut acts: impl FnMut(&mut Self, usize) -> Vec<Act>) -> Vec<Vec<Act>> {
        (0..self.size.users).map(|user| acts(self, user)).collect()
    }

    fn round(&mut self, name: &'static str, acts: Vec<Vec<Act>>) -> Round {
        let mut turn = |acts| Turn { pause_ms: self.rng.random_range(0..4), acts };
        let turns: Vec<Turn> = acts.into_iter().map(&mut turn).collect();
        let mut order: Vec<usize> = (0..turns.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, self.rng.random_range(0..=place));
        }
        Round { name, at_once: false, settles: true, turns, order }
    }

    fn device(&mut self) -> usize {
        self.rng.random_range(0..self.size.devices)
    }

    fn often(&mut self, one_in: u32) -> bool {
        self.rng.random_range(0..one_in) == 0
    }

    /// A run of one of these kinds, as far as the server has them and the user may still ask.
    fn ask(&mut self, user: usize, kinds: &[Prompt]) -> Vec<Act> {
        let known: Vec<Prompt> =
            kinds.iter().copied().filter(|kind| self.abilities.prompts.contains(kind)).collect();
        if known.is_empty() || !self.may(user) {
            return Vec::new();
        }
        let prompt = known[self.rng.random_range(0..known.len())];
        let number = self.count(user);
        vec![Act::Ask { device: self.device(), request: Id::Marked, prompt, number }]
    }

    fn may(&self, user: usize) -> bool {
        self.asked[user] + SPARE < self.abilities.burst
    }

    fn count(&mut self, user: usize) -> usize {
        self.asked[user] += 1;
        self.asked[user] - 1
    }

    /// The same id as a neighbour at the same time, then an id that is the neighbour's next; what is another's; a tool
    /// that fails; a cancel.
    fn collide(&mut self, user: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        let pair = user / 2;
        if self.abilities.ids {
            for name in [format!("same-{pair}"), format!("next-{}", 1000 + user)] {
                if self.may(user) {
                    let (device, number) = (self.device(), self.count(user));
                    acts.push(Act::Ask { device, request: Id::Shared(name), prompt: Prompt::Plain, number });
                }
            }
        }
        acts.extend(self.ask(user, &[Prompt::Failing]));
        if self.abilities.cancels && self.often(4) {
            let slow = self.ask(user, &[Prompt::Slow]);
            if !slow.is_empty() && self.may(user) {
                self.count(user);
                acts.extend(slow);
                acts.push(Act::Cancel);
            }
        }
        acts.extend(self.trespass(user));
        acts
    }

    fn trespass(&mut self, user: usize) -> Option<Act> {
        if self.size.users < 2 || !self.may(user) {
            return None;
        }
        let owner = (user + 1 + self.rng.random_range(0..self.size.users - 1)) % self.size.users;
        let trespass = match self.rng.random_range(0..3) {
            0 if self.abilities.resumes => Trespass::Position,
            1 if self.abilities.threads => Trespass::Thread,
            2 if self.abilities.cancels => Trespass::Run,
            _ => return None,
        };
        self.count(user);
        Some(Act::Trespass(trespass, owner))
    }

    /// A fault on the way of a run, or a connection that is lost in its middle.
    fn fault(&mut self, user: usize) -> Vec<Act> {
        let device = self.device();
        let mut acts = Vec::new();
        if self.abilities.wire {
            let toxic = self.toxic();
            acts.push(Act::Arm { device, toxic });
        }
        let slow = if self.often(4) { Prompt::Slow } else { Prompt::Parallel };
        acts.extend(self.ask(user, &[slow, Prompt::Plain]));
        if !self.abilities.wire || self.often(4) {
            acts.push(Act::Leave { device, politely: false });
        }
        acts.extend(self.ask(user, &[Prompt::Plain]));
        acts
    }

    fn toxic(&mut self) -> Toxic {
        let at = self.rng.random_range(0..self.abilities.cut_at.len().max(1));
        let text =
            self.abilities.cut_at.get(at).map_or_else(|| "\"".to_owned(), |name| format!("\"{name}\""));
        let n = self.rng.random_range(2..9);
        match self.rng.random_range(0..13) {
            0 => Toxic::to_client(Fault::Cut(Cut::Reset)).when(Trigger::AfterText(text)),
            1 => Toxic::to_client(Fault::Cut(Cut::Reset)).when(Trigger::AtText(text)),
            2 => Toxic::to_client(Fault::Cut(Cut::Fin)).when(Trigger::AfterText(text)),
            3 => Toxic::to_client(Fault::CutInHeader(Cut::Reset)).when(Trigger::AtText(text)),
            4 => Toxic::to_client(Fault::Latency { ms: 3, jitter_ms: 12 }),
            5 => Toxic::to_client(Fault::Slice { bytes: 7, pause_ms: 0 }),
            6 => Toxic::to_server(Fault::Slice { bytes: 1, pause_ms: 0 }),
            7 => Toxic::to_client(Fault::Coalesce { bytes: 4096, within_ms: 30 }),
            8 => Toxic::to_client(Fault::Stall { for_ms: Some(150) }),
            9 => Toxic::new(Fault::BlackHole { for_ms: Some(60), then: Afterwards::Reset }),
            10 => Toxic::to_server(Fault::Fragment { frames: 3 }),
            11 => Toxic::to_client(Fault::Pings { count: 5 }),
            _ => Toxic::to_client(Fault::DelayMessage { ms: 20 }).when(Trigger::AtMessage(n)),
        }
    }

    /// A run that is going, then all connections are gone at once: half of them with a goodbye, so that some go as
    /// others come.
    fn storm(&mut self, user: usize) -> Vec<Act> {
        let mut acts = self.ask(user, &[Prompt::Parallel, Prompt::Plain]);
        let politely = self.often(2);
        acts.extend((0..self.size.devices).map(|device| Act::Leave { device, politely }));
        acts
    }
}
