//! One simulated user: its clients, its requests, and what it knows of its runs.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Shared, marker_key, sim_client::SimClient, with_marker};
use crate::{
    context::TestPrincipal,
    outcome::Failure,
    profile::Kind,
    proof::{
        marker::MarkerKey,
        plan::{Act, Id, Prompt, Trespass},
    },
    received_frame::ReceivedFrame,
    record::{Action, Op, note},
    session::Session,
};

/// How long a tail may be behind its head once the connection has answered.
const TAIL: Duration = Duration::from_secs(2);
/// Between two looks at several connections at once.
const LOOK: Duration = Duration::from_millis(250);
/// What everything but a server that is gone comes to: the judge will tell.
const GO_ON: Result<(), Failure> = Ok(());

pub(super) struct SimUser<'a> {
    shared: &'a Shared<'a>,
    pub(super) index: usize,
    principal: TestPrincipal,
    marker_key: MarkerKey,
    devices: Vec<SimClient<'a>>,
    asked: Vec<Asked>,
    ended: BTreeSet<String>,
    /// Ends that came where runs have no names.
    ends: usize,
}

/// A request on its way.
struct Asked {
    id: String,
    text: String,
    device: usize,
    run: Option<String>,
    /// On which connection of the device it was sent last.
    sent_on: u64,
    /// It was refused, or waited for long enough.
    given_up: bool,
    over: bool,
}

impl<'a> SimUser<'a> {
    pub(super) async fn begin(
        shared: &'a Shared<'a>,
        index: usize,
        principal: TestPrincipal,
        wire: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let mut devices = Vec::new();
        for number in 0..shared.plan.size.devices {
            let letter = char::from(b'a' + (number % 26) as u8);
            let seed = shared.plan.seed.wrapping_mul(31).wrapping_add((index * 8 + number) as u64);
            devices.push(SimClient::new(shared.context, &principal, letter, wire, seed).await);
        }
        let marker_key = marker_key(shared, &principal.user);
        let (asked, ended) = (Vec::new(), BTreeSet::new());
        Ok(Self { shared, index, principal, marker_key, devices, asked, ended, ends: 0 })
    }

    /// Does what the plan has for it in a round, with a pause before each act.
    pub(super) async fn turn(&mut self, round: usize, pause: Duration) -> Result<(), Failure> {
        let shared = self.shared;
        let round = &shared.plan.rounds[round];
        for device in &mut self.devices {
            device.ensure(!round.at_once).await?;
        }
        for act in &round.turns[self.index].acts {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.act(act).await?;
        }
        GO_ON
    }

    async fn act(&mut self, act: &Act) -> Result<(), Failure> {
        match act {
            Act::Ask { device, request, prompt, number } => {
                self.ask(*device, request, *prompt, *number).await
            }
            Act::Cancel => self.cancel().await,
            Act::Trespass(trespass, owner) => self.trespass(*trespass, *owner).await,
            Act::Leave { device, politely } => {
                self.devices[*device].leave(*politely).await;
                GO_ON
            }
            Act::Arm { device, toxic } => {
                self.devices[*device].ensure(true).await?;
                self.devices[*device].arm(toxic);
                GO_ON
            }
        }
    }

    async fn ask(
        &mut self,
        device: usize,
        request: &Id,
        prompt: Prompt,
        number: usize,
    ) -> Result<(), Failure> {
        let prompts = &self.shared.context.profile.prompts;
        let prompt = match prompt {
            Prompt::Plain => &prompts.plain,
            Prompt::Tool => &prompts.tool,
            Prompt::Parallel => &prompts.parallel,
            Prompt::Failing => &prompts.failing_tool,
            Prompt::Slow => &prompts.slow,
        };
        let (marker, nonce) = (self.marker_key.marker(number, "text"), &self.shared.nonce);
        let text = with_marker(prompt.as_deref().unwrap_or_default(), &marker);
        let id = match request {
            Id::Marked => {
                let marker = self.marker_key.marker(number, "id");
                self.own(&marker);
                format!("{nonce}-{marker}")
            }
            Id::Shared(name) => format!("{nonce}-{name}"),
        };
        self.own(&marker);
        self.devices[device].ensure(false).await?;
        self.asked.push(Asked { id, text, device, run: None, sent_on: 0, given_up: false, over: false });
        self.say(self.asked.len() - 1).await;
        GO_ON
    }

    /// From now on nobody else may have the marker.
    fn own(&self, marker: &str) {
        let (user, ev) = (self.principal.user.clone(), Some(note::MARKER.to_owned()));
        self.shared.context.recorder.note(Op {
            user,
            f: Action::Note,
            ev,
            text: marker.to_owned(),
            ..Op::default()
        });
    }

    async fn say(&mut self, place: usize) {
        let asked = &mut self.asked[place];
        let device = &self.devices[asked.device];
        let Some(session) = &device.session else { return };
        asked.sent_on = device.tried;
        // One that is lost on the way is asked again once the device is back.
        let sent = session.ask_as(&asked.id, &asked.text).await;
        if matches!(sent, Err(Failure::NotDone(_))) {
            asked.given_up = true;
        }
    }

    async fn cancel(&mut self) -> Result<(), Failure> {
        let (context, Some(asked)) = (self.shared.context, self.asked.last()) else { return GO_ON };
        let (id, device) = (asked.id.clone(), &self.devices[asked.device]);
        let (Some(cancel), Some(session)) = (&context.profile.messages.cancel, &device.session) else {
            return GO_ON;
        };
        let answers = |seen: &ReceivedFrame| seen.request.as_deref() == Some(&id) && seen.run.is_some();
        if let Ok(accepted) = session.wait("answer", 0, session.patience(), answers).await {
            // Refused when it is over already.
            let _ = session.request(cancel, &[("run", json!(accepted.run))]).await;
        }
        GO_ON
    }

    /// Does what only another may do; what comes of it is the judge's to tell.
    async fn trespass(&mut self, trespass: Trespass, owner: usize) -> Result<(), Failure> {
        let (context, known) = (self.shared.context, self.shared.known()[owner].clone());
        let messages = &context.profile.messages;
        if trespass == Trespass::Position && known.position.is_some() {
            let mut stranger =
                SimClient::new(context, &self.principal, 'x', None, 0).await.at(known.position);
            stranger.ensure(true).await?;
            if let Some(session) = &stranger.session {
                let _ = session.barrier().await;
            }
            stranger.leave(true).await;
            return GO_ON;
        }
        let Some(session) =
            self.devices.iter().find(|device| device.is_open()).and_then(|device| device.session.as_ref())
        else {
            return GO_ON;
        };
        match (trespass, known.thread, known.run) {
            (Trespass::Thread, Some(thread), _) => {
                for message in [&messages.ask_in, &messages.history].into_iter().flatten() {
                    let values = [("thread", json!(thread)), ("text", json!("Who was here?"))];
                    let _ = session.request(message, &values).await;
                }
            }
            (Trespass::Run, _, Some(run)) => {
                if let Some(cancel) = &messages.cancel {
                    let _ = session.request(cancel, &[("run", json!(run))]).await;
                }
            }
            _ => {}
        }
        GO_ON
    }

    /// Waits until all its runs have ended on one of its devices, coming back where a connection was lost; gives up on
    /// those that take longer.
    pub(super) async fn settle(&mut self, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        let resumes = self.shared.context.profile.resume.is_some();
        loop {
            self.look();
            if self.asked.iter().all(|asked| asked.over || asked.given_up) {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.asked.iter_mut().for_each(|asked| asked.given_up = true);
                break;
            }
            if resumes {
                self.come_back().await?;
            }
            self.wait(left.min(LOOK)).await;
        }
        self.devices.iter_mut().for_each(SimClient::heal);
        self.tell();
        GO_ON
    }

    /// Opens what was lost, and sends the requests again to which no answer came on a connection that is gone: under the
    /// same ids they are the same requests.
    async fn come_back(&mut self) -> Result<(), Failure> {
        for device in &mut self.devices {
            device.ensure(true).await?;
        }
        self.look();
        for place in 0..self.asked.len() {
            let asked = &self.asked[place];
            let open = asked.run.is_none() && !asked.over && !asked.given_up;
            if open && asked.sent_on != self.devices[asked.device].tried {
                self.say(place).await;
            }
        }
        GO_ON
    }

    /// Waits until something comes on any of its connections.
    async fn wait(&self, within: Duration) {
        let news = self.devices.iter().filter_map(|device| {
            let session = device.session.as_ref().filter(|_| device.is_open())?;
            let fits =
                |seen: &ReceivedFrame| matches!(seen.kind, Kind::Completed | Kind::Error | Kind::Accepted);
            Some(Box::pin(session.wait("news", session.count(), within, fits)))
        });
        let news: Vec<_> = news.collect();
        if news.is_empty() {
            return;
        }
        // Nothing came, or a connection was lost: the next look tells.
        let _ = futures_util::future::select_all(news).await;
    }

    /// Takes in what came.
    fn look(&mut self) {
        let fresh: Vec<_> = self.devices.iter_mut().flat_map(SimClient::look).collect();
        let named = self.shared.context.profile.fields.run.is_known();
        for seen in &fresh {
            let asked =
                seen.request.as_ref().and_then(|id| self.asked.iter_mut().find(|asked| asked.id == *id));
            match (seen.kind, asked) {
                (Kind::Accepted, Some(asked)) => asked.run = seen.run.clone(),
                (Kind::Error, Some(asked)) => asked.given_up = true,
                (Kind::Completed, asked) => {
                    self.ended.extend(seen.run.clone());
                    self.ends += 1;
                    if let Some(asked) = asked {
                        asked.over = true;
                    }
                }
                _ => {}
            }
            if seen.kind == Kind::Accepted {
                let thread = self.shared.context.profile.fields.thread.text(&seen.json);
                let known = &mut self.shared.known()[self.index];
                (known.thread, known.run) = (thread, seen.run.clone());
            }
        }
        let answers = !self.shared.context.profile.events.accepted.is_empty();
        for (place, asked) in self.asked.iter_mut().enumerate() {
            let ended = asked.run.as_ref().is_some_and(|run| self.ended.contains(run));
            // Where nothing says which run is whose, so many ends are as many runs.
            let counted = (!named && self.ends > place) || (named && !answers && self.ended.len() > place);
            asked.over |= ended || counted;
        }
    }

    /// Lets others know where it is.
    fn tell(&self) {
        let position = self.devices.first().and_then(|device| device.position.clone());
        self.shared.known()[self.index].position = position;
    }

    /// The end: no faults, all devices back, all runs over; then one more connection that gets all of it again, and time
    /// for everybody.
    pub(super) async fn drain(&mut self) -> Result<(), Failure> {
        let context = self.shared.context;
        self.devices.iter_mut().for_each(SimClient::heal);
        if context.profile.resume.is_some() {
            self.come_back().await?;
        }
        // What was given up is waited for once more: only now nothing is in its way.
        self.asked.iter_mut().for_each(|asked| asked.given_up &= asked.run.is_none());
        self.settle(Duration::from_secs_f64(context.profile.timing.run_seconds)).await?;
        let (user, ev) = (self.principal.user.clone(), Some(note::HEALED.to_owned()));
        context.recorder.note(Op { user, f: Action::Note, ev, ..Op::default() });
        let began = self.devices.first().and_then(|device| device.began.clone());
        if context.profile.resume.is_some() && began.is_some() {
            let mut audit = SimClient::new(context, &self.principal, 'z', None, 0).await.at(began);
            audit.ensure(true).await?;
            self.devices.push(audit);
        }
        if context.profile.fields.seq.is_known() {
            self.catch_up().await;
        }
        for device in &mut self.devices {
            device.leave(true).await;
        }
        GO_ON
    }

    async fn catch_up(&mut self) {
        for device in &mut self.devices {
            // With a ping that is answered, all that was stored before is here.
            if let Some(session) =
                device.session.as_ref().filter(|_| self.shared.context.profile.messages.ping.is_some())
            {
                let _ = Session::barrier(session).await;
            }
        }
        self.look();
        let head =
            self.devices.iter().filter_map(|device| device.position.as_ref()).map(|(_, seq)| *seq).max();
        for device in &mut self.devices {
            if let Some(head) = head.filter(|_| device.is_open()) {
                device.reach(head, TAIL).await;
                device.drained();
            }
        }
    }
}
