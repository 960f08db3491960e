//! A client on a real socket that remembers everything: how it connects, ends, comes back, and what came.

use std::{
    panic::Location,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;
use wireproof_client::{Connect, Ended, OpenError, Welcome};
use wireproof_protocol::{Event, Position, RunId, UserState};

mod asking;
mod expecting;

pub use asking::Accepted;

use crate::{
    deadline::DEADLINE,
    expect::Unmet,
    history::{Entry, History},
    matcher::{Matcher, frame},
    received::ReceivedFrame,
    recording::{RecordedConnection, Watched},
    run::Run,
};

/// One client; its history goes on over all its connections.
pub struct TestClient {
    name: String,
    connect: Connect,
    connection: RecordedConnection<History>,
    deadline: Duration,
}

impl TestClient {
    /// Opens a connection to any server and collects all that comes from its first byte on.
    pub async fn open(connect: Connect) -> Result<Self, OpenError> {
        let connection = begin(&connect, Arc::default()).await?;
        Ok(Self { name: "the client".to_owned(), connect, connection, deadline: DEADLINE })
    }

    /// The client under a name for the words of its failures.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The client with another deadline for its expectations.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Waits for the welcome of the latest connection.
    pub(crate) async fn welcomed(&self) -> Result<(), Unmet> {
        let deadline = Instant::now() + self.deadline;
        let ask = |history: &mut History| {
            let welcomed = history.is_welcomed();
            if welcomed { Some(true) } else { history.ended.is_some().then_some(false) }
        };
        if self.record().wait(deadline, ask).await == Some(true) {
            return Ok(());
        }
        let matcher = frame("connection_established");
        Err(Unmet::missing(&self.name, &matcher, self.deadline, &self.history()))
    }

    /// What the latest welcome said; panics when none has come.
    pub fn welcome(&self) -> Welcome {
        self.try_welcome().unwrap_or_else(|unmet| panic!("{unmet}"))
    }

    /// The same with the failure as an error.
    pub fn try_welcome(&self) -> Result<Welcome, Unmet> {
        let history = self.history();
        let welcome = history.arrivals().rev().find_map(|arrival| Welcome::of(arrival.control()?.clone()));
        welcome.ok_or_else(|| Unmet::wrong(&self.name, "no welcome has come", &history))
    }

    /// The last event that the client has, or where it joined the log; nothing before a welcome.
    pub fn position(&self) -> Option<Position> {
        self.history().resume.position()
    }

    /// Cuts the connection without a word, as a lost network would; returns when it is cut.
    pub async fn drop_connection(&self) {
        self.connection.reset().await;
        self.expect_closed().await;
    }

    /// Cuts the connection the moment a frame comes that fits: it is the last one of the connection.
    pub fn cut_on(&self, matcher: impl Into<Matcher>) {
        self.history().cut_on = Some(matcher.into());
    }

    /// Closes with a close frame and waits for the server's own.
    pub async fn close(&self, code: u16) -> Ended {
        self.try_close(code).await.unwrap_or_else(|unmet| panic!("{unmet}"))
    }

    /// The same with the failure as an error.
    pub async fn try_close(&self, code: u16) -> Result<Ended, Unmet> {
        let begun = self.connection.close(code, "").await;
        self.begun(begun)?;
        self.try_expect_closed().await
    }

    /// How the latest connection was closed: the code, if a close frame has come.
    pub fn close_code(&self) -> Option<u16> {
        self.history().ended.as_ref().and_then(|ended| ended.code)
    }

    /// Connects anew from the last position, cutting a connection that stands; the history goes on. Waits for the
    /// welcome; `expect("caught_up")` waits for the replay.
    #[track_caller]
    pub fn resume(&mut self) -> impl Future<Output = ()> {
        let position = self.position();
        self.resume_at(position)
    }

    /// The same from another position, or from the head.
    #[track_caller]
    pub fn resume_at(&mut self, position: Option<Position>) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move { self.try_resume_at(position).await.unwrap_or_else(|unmet| unmet.fail(at)) }
    }

    /// The same with the failure as an error.
    pub async fn try_resume_at(&mut self, position: Option<Position>) -> Result<(), Unmet> {
        self.connection.reset().await;
        self.try_expect_closed().await?;
        self.connect = self.connect.clone().resume(position);
        match begin(&self.connect, self.record().clone()).await {
            Ok(connection) => self.connection = connection,
            Err(error) => {
                let what = format!("could not resume: {error}");
                return Err(Unmet::wrong(&self.name, what, &self.history()));
            }
        }
        self.welcomed().await
    }

    /// Every frame so far in the order of arrival, over all connections.
    pub fn frames(&self) -> Vec<Arc<ReceivedFrame>> {
        self.history().arrivals().cloned().collect()
    }

    /// Every event so far as it came; one that came twice is here twice.
    pub fn events(&self) -> Vec<Event> {
        self.history().events().cloned().collect()
    }

    /// The events of a run so far, each once.
    pub fn run(&self, run_id: RunId) -> Run {
        let history = self.history();
        let (mut seen, mut events) = (0, Vec::new());
        for event in history.events() {
            let ours = event.run.as_ref().is_some_and(|run| run.run_id == run_id);
            if ours && event.seq > seen {
                seen = event.seq;
                events.push(event.clone());
            }
        }
        Run { run_id, events }
    }

    /// The state that the events tell so far, as every client folds it. Panics when one is missing.
    pub fn state(&self) -> UserState {
        self.try_state().unwrap_or_else(|unmet| panic!("{unmet}"))
    }

    /// The same with the failure as an error.
    pub fn try_state(&self) -> Result<UserState, Unmet> {
        let history = self.history();
        history.fold().map_err(|why| Unmet::wrong(&self.name, why, &history))
    }

    /// Panics unless every number of the log came exactly once and in order, over all connections.
    #[track_caller]
    pub fn assert_exactly_once(&self) {
        self.exactly_once().unwrap_or_else(|unmet| panic!("{unmet}"));
    }

    /// The same with the failure as an error.
    pub fn exactly_once(&self) -> Result<(), Unmet> {
        let history = self.history();
        history.exactly_once().map_err(|why| Unmet::wrong(&self.name, why, &history))
    }

    /// Its name in the words of failures and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn record(&self) -> &Arc<Watched<History>> {
        self.connection.record()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.record().lock()
    }

    /// All that happened so far, in order, and when the first connection was begun.
    pub fn entries(&self) -> (Instant, Vec<Entry>) {
        let history = self.history();
        (history.began, history.entries.clone())
    }

    /// The whole history as a table, as failures show it.
    pub fn table(&self) -> String {
        crate::table::table(&self.history())
    }
}

/// Opens a connection whose frames go on in the history.
async fn begin(
    connect: &Connect,
    record: Arc<Watched<History>>,
) -> Result<RecordedConnection<History>, OpenError> {
    let connection = connect.open().await?;
    record.change(|history| history.opened(connect.position()));
    Ok(RecordedConnection::new(connection, record))
}
