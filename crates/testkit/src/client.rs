//! A client on a real socket that remembers everything: how it connects, ends, comes back, and what came.

use std::{panic::Location, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use wireproof_client::{Connect, Ended, OpenError, Welcome};
use wireproof_protocol::{Event, Position, RunId, UserState};

mod asking;
mod expecting;

pub use asking::Accepted;

use crate::{
    DEADLINE,
    arrival::Arrival,
    collector::Collector,
    event_report::EventReport,
    expect::Unmet,
    history::Entry,
    line::{self, Order},
    matcher::{Matcher, frame},
    run::Run,
};

/// Orders that may wait for the connection.
const ORDERS: usize = 64;

/// One client; its history goes on over all its connections.
pub struct TestClient {
    name: String,
    connect: Connect,
    collector: Arc<Collector>,
    orders: mpsc::Sender<Order>,
    deadline: Duration,
}

impl TestClient {
    /// Opens a connection to any server and collects all that comes from its first byte on.
    pub async fn open(connect: Connect) -> Result<Self, OpenError> {
        let collector = Arc::new(Collector::default());
        let orders = begin(&connect, &collector).await?;
        Ok(Self { name: "the client".to_owned(), connect, collector, orders, deadline: DEADLINE })
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

    /// Waits for the welcome of the latest connection; panics when none comes.
    pub(crate) async fn welcomed(self, at: &Location<'_>) -> Self {
        self.wait_for_welcome(at).await;
        self
    }

    async fn wait_for_welcome(&self, at: &Location<'_>) {
        let deadline = Instant::now() + self.deadline;
        let ask = |history: &mut crate::history::History| {
            let welcomed = history.is_welcomed();
            if welcomed { Some(true) } else { history.ended.is_some().then_some(false) }
        };
        if self.collector.wait(deadline, ask).await != Some(true) {
            let matcher = frame("connection_established");
            Unmet::missing(&self.name, &matcher, self.deadline, &self.collector.history()).fail(at);
        }
    }

    /// What the latest welcome said; panics when none has come.
    pub fn welcome(&self) -> Welcome {
        let history = self.collector.history();
        let welcome = history.arrivals().rev().find_map(|arrival| Welcome::of(arrival.control()?.clone()));
        match welcome {
            Some(welcome) => welcome,
            None => panic!("{}", Unmet::wrong(&self.name, "no welcome has come", &history)),
        }
    }

    /// The last event that the client has, or where it joined the log; nothing before a welcome.
    pub fn position(&self) -> Option<Position> {
        self.collector.history().resume.position()
    }

    /// Cuts the connection without a word, as a lost network would; returns when it is cut.
    pub async fn drop_connection(&self) {
        // Refused when the connection is over, which is what is wanted.
        let _ = self.orders.send(Order::Cut).await;
        self.expect_closed().await;
    }

    /// Cuts the connection the moment a frame comes that fits: it is the last one of the connection.
    pub fn cut_on(&self, matcher: impl Into<Matcher>) {
        self.collector.history().cut_on = Some(matcher.into());
    }

    /// Closes with a close frame and waits for the server's own.
    pub async fn close(&self, code: u16) -> Ended {
        self.order(Order::Close(code, String::new())).await;
        self.expect_closed().await
    }

    /// How the latest connection was closed: the code, if a close frame has come.
    pub fn close_code(&self) -> Option<u16> {
        self.collector.history().ended.as_ref().and_then(|ended| ended.code)
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
        async move {
            self.drop_connection().await;
            self.connect = self.connect.clone().resume(position);
            match begin(&self.connect, &self.collector).await {
                Ok(orders) => self.orders = orders,
                Err(error) => panic!("at {at}: {} could not resume: {error}", self.name),
            }
            self.wait_for_welcome(at).await;
        }
    }

    /// Every frame so far in the order of arrival, over all connections.
    pub fn frames(&self) -> Vec<Arc<Arrival>> {
        self.collector.history().arrivals().cloned().collect()
    }

    /// Every event so far as it came; one that came twice is here twice.
    pub fn events(&self) -> Vec<Event> {
        self.collector.history().events().cloned().collect()
    }

    /// The events of a run so far, each once.
    pub fn run(&self, run_id: RunId) -> Run {
        let history = self.collector.history();
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
        let history = self.collector.history();
        match history.fold() {
            Ok(state) => state,
            Err(why) => panic!("{}", Unmet::wrong(&self.name, why, &history)),
        }
    }

    /// Panics unless every number of the log came exactly once and in order, over all connections.
    #[track_caller]
    pub fn assert_exactly_once(&self) {
        let history = self.collector.history();
        if let Err(why) = history.exactly_once() {
            panic!("{}", Unmet::wrong(&self.name, why, &history));
        }
    }

    /// What the client saw until now, run by run, with times and with what is missing or out of order.
    pub fn event_report(&self) -> EventReport {
        EventReport::of([self])
    }

    /// Its name in the words of failures and reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn history(&self) -> std::sync::MutexGuard<'_, crate::history::History> {
        self.collector.history()
    }

    /// All that happened so far, in order, and when the first connection was begun.
    pub fn entries(&self) -> (Instant, Vec<Entry>) {
        let history = self.collector.history();
        (history.began, history.entries.clone())
    }

    /// The whole history as a table, as failures show it.
    pub fn table(&self) -> String {
        crate::table::table(&self.collector.history())
    }
}

/// Opens a connection and starts the task behind it.
async fn begin(connect: &Connect, collector: &Arc<Collector>) -> Result<mpsc::Sender<Order>, OpenError> {
    let connection = connect.open().await?;
    collector.note(|history| history.opened(connect.position()));
    let (orders, given) = mpsc::channel(ORDERS);
    tokio::spawn(line::serve(connection, collector.clone(), given));
    Ok(orders)
}
