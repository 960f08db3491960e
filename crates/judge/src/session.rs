//! A connection of the judge: a task writes down what comes from the first frame on, and a check looks at it by waiting
//! for what it needs. Nothing is ever missed by looking late, and every wait has a deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wireproof_client::{Connection, Ended};
use wireproof_testkit::recording::{NotSent, RecordedConnection, Watched};

use crate::{
    outcome::{Failure, broken},
    profile::{Kind, Profile, Template},
    received_frame::ReceivedFrame,
    record::{Action, HistoryRecorder, Op, OpOutcome},
    target::Post,
};

mod frame_budget;
mod recording;
mod run;
mod sse;

pub(crate) use frame_budget::FrameBudget;
pub(crate) use recording::FrameRecording;
pub use run::{Asked, RunSeen};

/// How the end of a connection is told on which too much came.
pub(crate) const TOO_MUCH: &str = "cut by the judge";

/// A connection of a user; dropped, it is cut.
pub struct Session {
    /// Its name in the history: `user/device#number`.
    pub name: String,
    /// Whose it is.
    pub user: String,
    profile: Arc<Profile>,
    recorder: HistoryRecorder,
    connection: RecordedConnection<FrameRecording>,
}

impl Session {
    /// Takes an open connection over.
    pub(crate) fn new(connection: Connection, frames: FrameRecording) -> Self {
        Self::of(frames, |frames| RecordedConnection::new(connection, frames))
    }

    /// A session whose messages are posted.
    pub(crate) fn posting(post: Post, frames: FrameRecording) -> Self {
        Self::of(frames, |frames| {
            let (connection, orders) = RecordedConnection::without_task(frames.clone());
            tokio::spawn(sse::serve(post, frames, orders));
            connection
        })
    }

    fn of(
        frames: FrameRecording,
        begin: impl FnOnce(Arc<Watched<FrameRecording>>) -> RecordedConnection<FrameRecording>,
    ) -> Self {
        let (name, user) = (frames.name.clone(), frames.user.clone());
        let (profile, recorder) = (frames.profile.clone(), frames.recorder.clone());
        Self { name, user, profile, recorder, connection: begin(Arc::new(Watched::new(frames))) }
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.profile.timing.answer_seconds)
    }

    /// Sends a text as it is.
    pub async fn send(&self, text: impl Into<String>) -> Result<(), Failure> {
        let text = text.into();
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let request = self.profile.fields.request.text(&json);
        let (conn, user) = (self.name.clone(), self.user.clone());
        if let Some(op) = Op::resumes_here(&self.profile, &json) {
            self.recorder.note(Op { conn: conn.clone(), user: user.clone(), ..op });
        }
        let (f, outcome) = (Action::Send, OpOutcome::Invoke);
        self.recorder.note(Op { conn, user, outcome, f, request, text: text.clone(), ..Op::default() });
        self.sent(self.connection.send_text(text)).await
    }

    /// Sends a binary frame.
    pub async fn send_binary(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.note(Action::Send, OpOutcome::Invoke, &format!("{} binary bytes", bytes.len()));
        self.sent(self.connection.send_binary(bytes)).await
    }

    async fn sent(&self, sending: impl Future<Output = Result<(), NotSent>>) -> Result<(), Failure> {
        match tokio::time::timeout(self.patience(), sending).await {
            Ok(Ok(())) => Ok(()),
            _ => broken(format!("{}: nothing can be sent, {}", self.name, self.state())),
        }
    }

    /// Says goodbye; [`Session::ended`] tells how it is answered.
    pub async fn close(&self, code: u16) {
        self.note(Action::Close, OpOutcome::Invoke, &code.to_string());
        // Over already: what was to be done is done.
        let _ = self.connection.close(code, "").await;
    }

    /// Reads nothing any more, as a client that hangs: what comes stays where the kernel keeps it.
    pub async fn hang(&self) -> Result<(), Failure> {
        self.note(Action::Fault, OpOutcome::Ok, "the client reads no more");
        self.sent(self.connection.stop_reading()).await
    }

    /// Ends the connection with a reset, as a lost network would.
    pub async fn cut(&self) {
        self.note(Action::Fault, OpOutcome::Ok, "reset by the client");
        self.connection.reset().await;
    }

    /// All frames so far.
    pub fn seen(&self) -> Vec<Arc<ReceivedFrame>> {
        self.connection.record().lock().seen.clone()
    }

    /// How many frames came so far.
    pub fn count(&self) -> usize {
        self.connection.record().lock().seen.len()
    }

    /// How the connection ended, once it did.
    pub fn end(&self) -> Option<Ended> {
        self.connection.record().lock().ended.clone()
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
        fits: impl Fn(&ReceivedFrame) -> bool,
    ) -> Result<Arc<ReceivedFrame>, Failure> {
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
    pub(crate) fn missed(&self, what: &str, from: usize, within: Duration) -> String {
        let seen = self.seen();
        // A frame without a type is told by its text.
        let name = |frame: &Arc<ReceivedFrame>| {
            if frame.name.is_empty() { frame.brief() } else { frame.name.clone() }
        };
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
    pub async fn ended(&self, within: Duration) -> Result<Ended, Failure> {
        match self.watch(within, |_, ended| ended.clone()).await {
            Some(ended) => Ok(ended),
            None => broken(format!("{}: the connection did not end within {within:?}", self.name)),
        }
    }

    async fn watch<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&[Arc<ReceivedFrame>], &Option<Ended>) -> Option<T>,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        self.connection.record().wait(deadline, |frames| look(&frames.seen, &frames.ended)).await
    }

    /// Asks the agent something, under a new id.
    pub async fn ask(&self, text: &str) -> Result<Asked, Failure> {
        self.ask_as(&new_id(), text).await
    }

    /// Asks the agent something under an id.
    pub async fn ask_as(&self, id: &str, text: &str) -> Result<Asked, Failure> {
        let Some(ask) = &self.profile.messages.ask else {
            return Err(Failure::NotDone(
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
        message: &Template,
        values: &[(&str, Value)],
    ) -> Result<Arc<ReceivedFrame>, Failure> {
        let (id, from) = (new_id(), self.count());
        let mut values = values.to_vec();
        values.push(("id", json!(id)));
        self.send(message.fill(&values)).await?;
        self.wait("answer to the request", from, self.patience(), |seen| seen.request.as_deref() == Some(&id))
            .await
    }

    /// The run that a request became: by the answer to it if the server gives one, else by the next that starts.
    pub async fn run_of(&self, asked: &Asked) -> Result<Option<String>, Failure> {
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
    pub async fn finish(&self, asked: &Asked) -> Result<RunSeen, Failure> {
        let run = self.run_of(asked).await?;
        let within = Duration::from_secs_f64(self.profile.timing.run_seconds);
        let is_ours = |seen: &ReceivedFrame| match &run {
            Some(run) => seen.is_of_run(run),
            None => true,
        };
        self.wait("end of the run", asked.from, within, |seen| seen.kind == Kind::Completed && is_ours(seen))
            .await?;
        Ok(RunSeen { frames: self.frames_of(asked.from, &run), run, asked_at: asked.at })
    }

    /// The frames of a run so far; without a run, all that can be of one.
    pub fn frames_of(&self, from: usize, run: &Option<String>) -> Vec<Arc<ReceivedFrame>> {
        // An answer may name a run and is no event of it: it has no number where events have one.
        let numbered = self.profile.fields.seq.is_known();
        let may_be_event = |seen: &ReceivedFrame| {
            seen.kind == Kind::Other
                && !(numbered && seen.seq.is_none())
                && !self.profile.events.other.contains(&seen.name)
        };
        let is_ours = |seen: &Arc<ReceivedFrame>| match run {
            Some(run) => seen.is_of_run(run) && (seen.kind.is_of_a_run() || may_be_event(seen)),
            None => seen.kind.is_of_a_run(),
        };
        self.seen().into_iter().skip(from).filter(is_ours).collect()
    }

    /// Asks and waits for the end of the run.
    pub async fn run(&self, text: &str) -> Result<RunSeen, Failure> {
        let asked = self.ask(text).await?;
        self.finish(&asked).await
    }

    /// Waits until the server has answered something that was sent behind all else: what it had to say before is here.
    pub async fn barrier(&self) -> Result<(), Failure> {
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
            None => Err(Failure::NotDone(
                "the profile has no message that is surely answered (messages.ping)".to_owned(),
            )),
        }
    }

    /// Adds an op of this connection to the history.
    pub fn note(&self, f: Action, outcome: OpOutcome, text: &str) {
        let (conn, user, text) = (self.name.clone(), self.user.clone(), text.to_owned());
        self.recorder.note(Op { conn, user, outcome, f, text, ..Op::default() });
    }
}

/// An id that nobody used before.
pub fn new_id() -> String {
    format!("judge-{}", uuid::Uuid::now_v7())
}
