//! One user through many servers: remembers all that it was told, and asks each new server whether it is still so.

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::mpsc;
use wireproof_client::{Connection, RecvError};
use wireproof_protocol::{
    ClientFrame, Control, ControlBody, Epoch, Event, Incoming, Outcome, Position, RequestId, RunId, UserState,
};

use crate::{
    history::{all_ended, fold, is_kept, read_log, until_caught_up},
    process::{Server, WITHIN},
};

/// Something that a witness was told.
pub(crate) enum Sign {
    Accepted,
    Delivered,
}

struct Promise {
    run_id: RunId,
    seq: u64,
}

pub(crate) struct Witness {
    pub(crate) name: String,
    token: String,
    epoch: Option<Epoch>,
    connection: Option<Connection>,
    /// Every event that was delivered, in order, and what they say together.
    pub(crate) known: Vec<Event>,
    state: UserState,
    /// Requests without an answer: sent again to the next server, under the same id.
    asked: Vec<(RequestId, &'static str)>,
    pub(crate) asked_again: usize,
    requests: usize,
    accepted: Vec<Promise>,
}

impl Witness {
    pub(crate) fn new(token: String, name: String) -> Self {
        Self {
            name,
            token,
            epoch: None,
            connection: None,
            known: Vec::new(),
            state: UserState::default(),
            asked: Vec::new(),
            asked_again: 0,
            requests: 0,
            accepted: Vec::new(),
        }
    }

    pub(crate) fn runs(&self) -> usize {
        self.state.runs.len()
    }

    /// Runs that a kill ended.
    pub(crate) fn cut_runs(&self) -> usize {
        self.state.runs.values().filter(|run| run.outcome == Some(Outcome::Failed)).count()
    }

    /// Connects to a server that nobody has asked for anything yet, resumes, and holds its log against all it knows.
    pub(crate) async fn question(&mut self, server: &Server) -> Result<()> {
        let position = self.epoch.map(|epoch| Position { epoch, seq: self.state.seq });
        let connect = server.connect(&self.token).resume(position);
        let (mut connection, welcome) = connect.open_welcomed().await?;
        let epoch = *self.epoch.get_or_insert(welcome.epoch);
        ensure!(welcome.epoch == epoch, "the epoch was {epoch} and is {}", welcome.epoch);
        ensure!(
            welcome.active_runs.is_empty(),
            "runs of a dead process are alive: {:?}",
            welcome.active_runs
        );
        if position.is_some() {
            ensure!(welcome.resumed, "the position {position:?} is not served; the head is {}", welcome.seq);
            for event in until_caught_up(&mut connection).await? {
                self.take(event)?;
            }
        }
        let log = read_log(server, &self.token, epoch).await?;
        is_kept(&self.known, &log)?;
        let state = fold(&log)?;
        ensure!(state == self.state, "the log tells {state:#?}\nand a client was told {:#?}", self.state);
        all_ended(&state)?;
        self.accepted.iter().try_for_each(|promise| promise.is_kept(&log))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Asks for runs, and takes what it is told until the server is dead.
    pub(crate) async fn live(mut self, asks: Vec<&'static str>, told: mpsc::Sender<Sign>) -> Result<Self> {
        let mut connection = self.connection.take().context("not connected")?;
        self.ask_again(&mut connection).await;
        for ask in asks {
            self.requests += 1;
            let id = RequestId::new(format!("request-{}", self.requests))?;
            // A kill may come before all is said; the end of the connection is seen below.
            let _ = connection.send(&chat(ask), Some(&id)).await;
            self.asked.push((id, ask));
        }
        loop {
            match connection.recv(WITHIN).await {
                Ok(frame) => {
                    let sign = self.hear(frame.incoming).with_context(|| self.name.clone())?;
                    // Once the kill is decided nobody counts any more.
                    let _ = told.send(sign).await;
                }
                Err(RecvError::Ended(_)) => return Ok(self),
                Err(error) => return Err(error).with_context(|| self.name.clone()),
            }
        }
    }

    /// Asks again for what got no answer, and takes what it is told until all is answered and over.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let mut connection = self.connection.take().context("not connected")?;
        self.ask_again(&mut connection).await;
        let is_over = |promise: &Promise, state: &UserState| {
            state.runs.get(&promise.run_id).is_some_and(|run| run.outcome.is_some())
        };
        while !self.asked.is_empty() || !self.accepted.iter().all(|promise| is_over(promise, &self.state)) {
            self.hear(connection.recv(WITHIN).await?.incoming)?;
        }
        let (runs, requests) = (self.runs(), self.requests);
        ensure!(runs == requests, "{requests} requests became {runs} runs");
        Ok(())
    }

    async fn ask_again(&mut self, connection: &mut Connection) {
        for (id, ask) in &self.asked {
            self.asked_again += 1;
            let _ = connection.send(&chat(ask), Some(id)).await;
        }
    }

    fn hear(&mut self, incoming: Incoming) -> Result<Sign> {
        match incoming {
            Incoming::Event(event) => self.take(*event).map(|()| Sign::Delivered),
            Incoming::Control(control) => self.answered(*control).map(|()| Sign::Accepted),
            Incoming::Unknown(value) => bail!("a frame of no known type: {value}"),
        }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        self.state.apply(&event)?;
        self.known.push(event);
        Ok(())
    }

    fn answered(&mut self, control: Control) -> Result<()> {
        let ControlBody::Accepted { run_id, seq, .. } = control.body else {
            bail!("{:?} is no acceptance", control.body)
        };
        let place = self.asked.iter().position(|(id, _)| Some(id) == control.id.as_ref());
        self.asked.remove(place.with_context(|| format!("{:?} was answered already", control.id))?);
        self.accepted.push(Promise { run_id, seq });
        Ok(())
    }
}

impl Promise {
    /// From the number on that the acceptance named stand the message and the beginning of its run.
    fn is_kept(&self, log: &[Event]) -> Result<()> {
        let Self { run_id, seq } = self;
        let from = log.iter().skip_while(|event| event.range().0 < *seq);
        let effects: Vec<_> =
            from.skip_while(|event| event.body.name() == "thread_created").take(2).collect();
        let begins = effects.last().and_then(|event| event.run.as_ref()).filter(|run| run.run_seq == 1);
        ensure!(
            begins.is_some_and(|run| run.run_id == *run_id) && effects[0].body.name() == "message_created",
            "run {run_id} was accepted to be visible from seq {seq} on, where {effects:?} stand"
        );
        Ok(())
    }
}

fn chat(ask: &str) -> ClientFrame {
    ClientFrame::Chat { content: ask.to_owned(), thread_id: None, agent: None }
}
