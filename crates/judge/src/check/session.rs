//! A connection of the judge: a task writes down what comes from the first frame on, and a check looks at it by waiting
//! for what it needs. Nothing is ever missed by looking late, and every wait has a deadline.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use wireproof_client::{Connection, Ended, RecvError};

use super::{Fault, Seen, Trial, broken};
use crate::{
    profile::{Kind, Profile},
    record::{Action, Op, Outcome, Recorder},
};
mod book;
mod run;
pub(super) mod sse;

use book::{Book, Log};
pub use run::{Asked, RunSeen};
use sse::Post;

/// Orders that may wait for the connection's task.
const ORDERS: usize = 256;
/// How the end of such a connection is told.
pub(super) const TOO_MUCH: &str = "cut by the judge";

/// What a check tells the connection.
enum Order {
    Text(String, oneshot::Sender<bool>),
    Binary(Vec<u8>, oneshot::Sender<bool>),
    /// Reads no more.
    Hang(oneshot::Sender<bool>),
    Close(u16),
    Cut,
}

/// A connection of a visitor; dropped, it is cut.
pub struct Session {
    /// Its name in the history: `user/device#number`.
    pub name: String,
    /// Whose it is.
    pub user: String,
    profile: Arc<Profile>,
    recorder: Recorder,
    log: Arc<Log>,
    orders: mpsc::Sender<Order>,
}

impl Session {
    /// Takes an open connection over.
    pub(super) fn new(connection: Connection, trial: &Trial<'_>, user: &str, name: String) -> Self {
        let (session, book, orders) = Self::begin(trial, user, name);
        tokio::spawn(serve(connection, book, orders));
        session
    }

    /// A session whose messages are posted.
    pub(super) fn posting(post: Post, trial: &Trial<'_>, user: &str, name: String) -> Self {
        let (session, book, orders) = Self::begin(trial, user, name);
        tokio::spawn(sse::serve(post, book, orders));
        session
    }

    fn begin(trial: &Trial<'_>, user: &str, name: String) -> (Self, Book, mpsc::Receiver<Order>) {
        let (orders, given) = mpsc::channel(ORDERS);
        let (profile, recorder) = (trial.profile.clone(), trial.recorder.clone());
        let log = Arc::new(Log::default());
        let book = Book {
            log: log.clone(),
            profile: profile.clone(),
            recorder: recorder.clone(),
            user: user.to_owned(),
            name: name.clone(),
            bytes: AtomicUsize::new(0),
            allowance: trial.allowance.clone(),
        };
        (Self { name, user: user.to_owned(), profile, recorder, log, orders }, book, given)
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.profile.timing.answer_seconds)
    }

    /// Sends a text as it is.
    pub async fn send(&self, text: impl Into<String>) -> Result<(), Fault> {
        let text = text.into();
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let request = self.profile.fields.request.text(&json);
        let (conn, user) = (self.name.clone(), self.user.clone());
        if let Some(op) = Op::resumes_here(&self.profile, &json) {
            self.recorder.note(Op { conn: conn.clone(), user: user.clone(), ..op });
        }
        let (f, outcome) = (Action::Send, Outcome::Invoke);
        self.recorder.note(Op { conn, user, outcome, f, request, text: text.clone(), ..Op::default() });
        let (done, sent) = oneshot::channel();
        self.order(Order::Text(text, done), sent).await
    }

    /// Sends a binary frame.
    pub async fn send_binary(&self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.note(Action::Send, Outcome::Invoke, &format!("{} binary bytes", bytes.len()));
        let (done, sent) = oneshot::channel();
        self.order(Order::Binary(bytes, done), sent).await
    }

    async fn order(&self, order: Order, sent: oneshot::Receiver<bool>) -> Result<(), Fault> {
        let over = || Fault::Broken(format!("{}: nothing can be sent, {}", self.name, self.state()));
        self.orders.send(order).await.map_err(|_| over())?;
        // An order that was given as the task ended may be heard by nobody, and is then never answered.
        let ended = self.watch(self.patience(), |_, ended| ended.is_some().then_some(()));
        let taken = tokio::select! {
            biased;
            taken = sent => taken.unwrap_or(false),
            _ = ended => false,
        };
        if taken { Ok(()) } else { Err(over()) }
    }

    /// Says goodbye; [`Session::ended`] tells how it is answered.
    pub async fn close(&self, code: u16) {
        self.note(Action::Close, Outcome::Invoke, &code.to_string());
        // Over already: what was to be done is done.
        let _ = self.orders.send(Order::Close(code)).await;
    }

    /// Reads nothing any more, as a client that hangs: what comes stays where the kernel keeps it.
    pub async fn hang(&self) -> Result<(), Fault> {
        self.note(Action::Fault, Outcome::Ok, "the client reads no more");
        let (done, sent) = oneshot::channel();
        self.order(Order::Hang(done), sent).await
    }

    /// Ends the connection with a reset, as a lost network would.
    pub async fn cut(&self) {
        self.note(Action::Fault, Outcome::Ok, "reset by the client");
        let _ = self.orders.send(Order::Cut).await;
    }

    /// All frames so far.
    pub fn seen(&self) -> Vec<Arc<Seen>> {
        self.log.lock().0.clone()
    }

    /// How many frames came so far.
    pub fn count(&self) -> usize {
        self.log.lock().0.len()
    }

    /// How the connection ended, once it did.
    pub fn end(&self) -> Option<Ended> {
        self.log.lock().1.clone()
    }

    fn state(&self) -> String {
        match self.end() {
            Some(ended) => ended.to_string(),
            None => "the connection stands".to_owned(),
        }
    }

    /// Waits for the first frame from number `from` on that fits; a failure says what was waited for and what came.
    pub async fn wait(
        &self,
        what: &str,
        from: usize,
        within: Duration,
        fits: impl Fn(&Seen) -> bool,
    ) -> Result<Arc<Seen>, Fault> {
        let mut next = from;
        let found = self.watch(within, |seen, ended| {
            let found = seen.get(next..).unwrap_or_default().iter().find(|frame| fits(frame)).cloned();
            next = seen.len().max(from);
            found.map(Some).or_else(|| ended.is_some().then_some(None))
        });
        match found.await.flatten() {
            Some(found) => Ok(found),
            None => broken(self.missed(what, from, within)),
        }
    }

    /// What was waited for in vain, and what came instead.
    pub(super) fn missed(&self, what: &str, from: usize, within: Duration) -> String {
        let seen = self.seen();
        // A frame without a type is told by its text.
        let name = |frame: &Arc<Seen>| if frame.name.is_empty() { frame.brief() } else { frame.name.clone() };
        let names: Vec<String> = seen.iter().skip(from).map(name).collect();
        let came = if names.is_empty() {
            "nothing came".to_owned()
        } else {
            format!("there came {}", names.join(", "))
        };
        match self.end() {
            Some(ended) => format!("{}: no {what}: {came}, then {ended}", self.name),
            None => format!("{}: no {what} within {within:?}: {came}", self.name),
        }
    }

    /// Waits for the end of the connection.
    pub async fn ended(&self, within: Duration) -> Result<Ended, Fault> {
        match self.watch(within, |_, ended| ended.clone()).await {
            Some(ended) => Ok(ended),
            None => broken(format!("{}: the connection did not end within {within:?}", self.name)),
        }
    }

    async fn watch<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&[Arc<Seen>], &Option<Ended>) -> Option<T>,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        // Subscribed before the first look: a change in between is not missed.
        let mut changes = self.log.changes.subscribe();
        loop {
            {
                let log = self.log.lock();
                if let Some(found) = look(&log.0, &log.1) {
                    return Some(found);
                }
            }
            if !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                let log = self.log.lock();
                return look(&log.0, &log.1);
            }
        }
    }

    /// Asks the agent something, under a new id.
    pub async fn ask(&self, text: &str) -> Result<Asked, Fault> {
        self.ask_as(&new_id(), text).await
    }

    /// Asks the agent something under an id.
    pub async fn ask_as(&self, id: &str, text: &str) -> Result<Asked, Fault> {
        let Some(ask) = &self.profile.messages.ask else {
            return Err(Fault::NotDone(
                "the profile does not say how to ask an agent (messages.ask)".to_owned(),
            ));
        };
        let asked = Asked { id: id.to_owned(), from: self.count(), at: Instant::now() };
        self.send(ask.fill(&[("text", json!(text)), ("id", json!(id))])).await?;
        Ok(asked)
    }

    /// Sends a message of the profile with values for its names and waits for the answer to it; needs `fields.request`.
    pub async fn request(
        &self,
        message: &crate::profile::Template,
        values: &[(&str, Value)],
    ) -> Result<Arc<Seen>, Fault> {
        let (id, from) = (new_id(), self.count());
        let mut values = values.to_vec();
        values.push(("id", json!(id)));
        self.send(message.fill(&values)).await?;
        self.wait("answer to the request", from, self.patience(), |seen| seen.request.as_deref() == Some(&id))
            .await
    }

    /// The run that a request became: by the answer to it if the server gives one, else by the next that starts.
    pub async fn run_of(&self, asked: &Asked) -> Result<Option<String>, Fault> {
        let answers = !self.profile.events.accepted.is_empty() && self.profile.fields.request.is_known();
        let began = self.wait("beginning of the run", asked.from, self.patience(), |seen| match seen.kind {
            Kind::Error => !answers || seen.request.as_deref() == Some(&asked.id),
            Kind::Accepted => answers && seen.request.as_deref() == Some(&asked.id),
            // A server that begins with something else is judged by its events, and not by this wait; and one that says
            // what an event answers is believed.
            Kind::Started | Kind::Completed | Kind::Thinking | Kind::ToolStarted => {
                let named = seen.request.as_ref().filter(|_| !asked.id.is_empty());
                !answers && named.is_none_or(|request| *request == asked.id)
            }
            _ => false,
        });
        let began = began.await?;
        if began.kind == Kind::Error {
            return broken(format!("{}: the request was refused: {}", self.name, began.brief()));
        }
        Ok(began.run.clone())
    }

    /// Waits for the end of the run that a request became, and gives all frames of it.
    pub async fn finish(&self, asked: &Asked) -> Result<RunSeen, Fault> {
        let run = self.run_of(asked).await?;
        let within = Duration::from_secs_f64(self.profile.timing.run_seconds);
        let is_ours = |seen: &Seen| match &run {
            Some(run) => seen.is_of_run(run),
            None => true,
        };
        self.wait("end of the run", asked.from, within, |seen| seen.kind == Kind::Completed && is_ours(seen))
            .await?;
        Ok(RunSeen { frames: self.frames_of(asked.from, &run), run, asked_at: asked.at })
    }

    /// The frames of a run so far; without a run, all that can be of one.
    pub fn frames_of(&self, from: usize, run: &Option<String>) -> Vec<Arc<Seen>> {
        let control = [
            Kind::Welcome,
            Kind::Error,
            Kind::Accepted,
            Kind::Pong,
            Kind::CaughtUp,
            Kind::Snapshot,
            Kind::Message,
        ];
        // An answer may name a run and is no event of it: it has no number where events have one.
        let numbered = self.profile.fields.seq.is_known();
        let is_answer = |seen: &Seen| {
            seen.kind == Kind::Other
                && ((numbered && seen.seq.is_none()) || self.profile.events.other.contains(&seen.name))
        };
        let is_ours = |seen: &Arc<Seen>| match run {
            Some(run) => seen.is_of_run(run) && !control.contains(&seen.kind) && !is_answer(seen),
            None => !control.contains(&seen.kind) && seen.kind != Kind::Other,
        };
        self.seen().into_iter().skip(from).filter(is_ours).collect()
    }

    /// Asks and waits for the end of the run.
    pub async fn run(&self, text: &str) -> Result<RunSeen, Fault> {
        let asked = self.ask(text).await?;
        self.finish(&asked).await
    }

    /// Waits until the server has answered something that was sent behind all else: what it had to say before is here.
    pub async fn barrier(&self) -> Result<(), Fault> {
        // Only where a ping carries an id its answer can be told from that to another.
        let by_id = self.profile.fields.request.is_known();
        if let Some(ping) = self.profile.messages.ping.as_ref().filter(|ping| by_id && ping.names("id")) {
            return self.request(ping, &[]).await.map(|_| ());
        }
        if let Some(ping) = &self.profile.messages.ping {
            let from = self.count();
            self.send(ping.fill(&[("id", json!(new_id()))])).await?;
            return self
                .wait("answer to a ping", from, self.patience(), |seen| seen.kind == Kind::Pong)
                .await
                .map(|_| ());
        }
        match &self.profile.prompts.plain {
            Some(plain) => self.run(plain).await.map(|_| ()),
            None => Err(Fault::NotDone(
                "the profile has no message that is surely answered (messages.ping)".to_owned(),
            )),
        }
    }

    /// Adds an op of this connection to the history.
    pub fn note(&self, f: Action, outcome: Outcome, text: &str) {
        let (conn, user, text) = (self.name.clone(), self.user.clone(), text.to_owned());
        self.recorder.note(Op { conn, user, outcome, f, text, ..Op::default() });
    }
}

/// An id that nobody used before.
pub fn new_id() -> String {
    format!("judge-{}", uuid::Uuid::now_v7())
}

async fn serve(mut connection: Connection, book: Book, mut orders: mpsc::Receiver<Order>) {
    let mut reads = true;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return connection.cut(),
                Some(Order::Cut) => {
                    connection.cut();
                    return book.over(Ended { cause: Some("reset by the client".to_owned()), ..Ended::default() });
                }
                Some(Order::Close(code)) => {
                    let ended = connection.close(code, "").await;
                    let failed = |e: RecvError| Ended { cause: Some(e.to_string()), ..Ended::default() };
                    return book.over(ended.unwrap_or_else(failed));
                }
                Some(Order::Hang(done)) => {
                    reads = false;
                    let _ = done.send(true);
                }
                // Whoever asked may have stopped waiting.
                Some(Order::Text(text, done)) => drop(done.send(connection.send_text(text).await.is_ok())),
                Some(Order::Binary(bytes, done)) => drop(done.send(connection.send_binary(bytes).await.is_ok())),
            },
            received = connection.recv_message(Duration::from_secs(3600)), if reads => match received {
                Ok(message) => {
                    let came = match message.is_text() {
                        true => book.came(&String::from_utf8_lossy(&message.into_data())),
                        false => book.came_as_bytes(&message.into_data()),
                    };
                    if let Err(ended) = came {
                        connection.cut();
                        return book.over(*ended);
                    }
                }
                Err(RecvError::Ended(ended)) => return book.over(*ended),
                Err(RecvError::Timeout(_) | RecvError::Unreadable { .. }) => {}
            }
        }
    }
}
