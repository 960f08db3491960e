//! One connection under load: sends what is due, and times what comes back.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use wireproof_client::{Connection, RecvError, Welcome};

use super::{
    in_flight::{InFlight, Sign},
    pacer::Due,
    recording::{Pages, Recording},
    tally::Tally,
};

/// The server pings more often than that.
const SILENCE: Duration = Duration::from_secs(90);

/// What all connections share.
pub(super) struct Shared {
    tally: Mutex<Tally>,
    message: Message,
    /// True when connections send their next message by themselves.
    closed_loop: bool,
    /// How many messages a connection may have on their way; what is due waits for its turn.
    in_flight: usize,
    stopped: AtomicBool,
    /// The history, if it is kept.
    pub(super) book: Option<Recording>,
}

/// What is sent: the frame after its id, the same for all.
pub(super) struct Message(String);

impl Message {
    /// A message to the server's first agent.
    pub(super) fn chat(content: &str) -> Self {
        let content = serde_json::Value::from(content);
        Self(format!(r#","type":"chat","content":{content}}}"#))
    }

    /// A frame that the server answers without an agent and without its store.
    pub(super) fn ping() -> Self {
        Self(r#","type":"ping"}"#.to_owned())
    }
}

impl Shared {
    pub(super) fn new(
        message: Message,
        closed_loop: bool,
        in_flight: usize,
        stages: usize,
        book: Option<Recording>,
    ) -> Self {
        let tally = Mutex::new(Tally::new(stages));
        Self { tally, message, closed_loop, in_flight, stopped: AtomicBool::new(false), book }
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counting does not panic halfway.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No further messages from closed loops.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// The few fields that are timed; the rest of a frame is passed over.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
    event_id: Option<&'a str>,
    run_id: Option<&'a str>,
    outcome: Option<&'a str>,
    error_code: Option<&'a str>,
}

pub(super) struct Driver {
    connection: Connection,
    shared: Arc<Shared>,
    /// Unique among all measurements of this server: ids are idempotency keys there.
    prefix: String,
    /// True for the one connection of its user whose events are counted.
    counts_events: bool,
    next_number: u64,
    underway: InFlight,
    /// Since when nothing but the generator itself kept the next message back.
    free_since: Instant,
    pages: Option<Pages>,
}

impl Driver {
    pub(super) fn new(
        connection: Connection,
        welcome: &Welcome,
        shared: Arc<Shared>,
        counts_events: bool,
    ) -> Self {
        let prefix = welcome.connection_id.to_string();
        let (underway, free_since) = (InFlight::default(), Instant::now());
        let pages = shared.book.as_ref().map(|book| book.opened(welcome, connection.last_text()));
        Self { connection, shared, prefix, counts_events, next_number: 0, underway, free_since, pages }
    }

    /// Runs until nothing more can become due, or the connection ends.
    pub(super) async fn drive(mut self, mut due: Receiver<Due>) {
        loop {
            let may_send = self.underway.len() < self.shared.in_flight;
            tokio::select! {
                due = due.recv(), if may_send => match due {
                    Some(due) => self.send(due).await,
                    None => break,
                },
                text = self.connection.recv_text(SILENCE) => match text {
                    Ok(text) => self.heard(&text).await,
                    Err(error) => return self.lost(&error, due),
                },
            }
        }
        if let Some(pages) = &self.pages {
            pages.ended("cut: the measurement is over");
        }
        // Ten thousand goodbyes at once are no part of the measurement.
        self.connection.cut();
    }

    async fn send(&mut self, due: Due) {
        let number = self.next_number;
        self.next_number += 1;
        let id = format!("{}-{number}", self.prefix);
        let text = format!(r#"{{"id":"{id}"{}"#, self.shared.message.0);
        if let Some(pages) = &self.pages {
            pages.sent(&id, &text);
        }
        let began = Instant::now();
        let (sent, waited) = noting_waits(self.connection.send_text(text)).await;
        let mut tally = self.shared.tally();
        tally.counts.sent += 1;
        tally.late.add(began.saturating_duration_since(due.at.max(self.free_since)));
        match sent {
            Ok(()) => {
                let due = (!self.shared.closed_loop).then_some((due.at, due.stage));
                self.underway.sent(number, due, began);
            }
            // The next receive says why.
            Err(_) => tally.counts.refused += 1,
        }
        drop(tally);
        if waited {
            self.free_since = Instant::now();
        }
    }

    /// Takes a frame in; in a closed loop the end of a message is when the next one is due.
    async fn heard(&mut self, text: &str) {
        let was_full = self.underway.len() >= self.shared.in_flight;
        let is_over = self.see(text);
        if was_full && self.underway.len() < self.shared.in_flight {
            self.free_since = Instant::now();
        }
        if is_over && self.shared.closed_loop && !self.shared.stopped.load(Ordering::Relaxed) {
            self.shared.tally().counts.due += 1;
            self.send(Due { at: Instant::now(), stage: 0 }).await;
        }
    }

    /// Times what a frame says; true when it is the end of a message, but for a refusal.
    fn see(&mut self, text: &str) -> bool {
        let now = Instant::now();
        if let Some(pages) = &self.pages {
            pages.came(text);
        }
        let mut tally = self.shared.tally();
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(text) else {
            tally.error("unreadable frame");
            return false;
        };
        if seen.event_id.is_some() {
            tally.counts.deliveries += 1;
            tally.counts.events += u64::from(self.counts_events);
        }
        let underway = &mut self.underway;
        match (seen.kind, seen.run_id) {
            ("accepted", Some(run_id)) => underway.accepted(&mut tally, seen.id, run_id, now),
            ("agent_started", Some(run_id)) => underway.run(&mut tally, run_id, Sign::Started, now),
            ("message_delta", Some(run_id)) => underway.run(&mut tally, run_id, Sign::Delta, now),
            ("agent_completed", Some(run_id)) => {
                let is_well = seen.outcome == Some("success");
                underway.run(&mut tally, run_id, if is_well { Sign::Success } else { Sign::Failure }, now)
            }
            ("pong", _) => underway.answered(&mut tally, seen.id, now),
            ("error", _) => {
                tally.error(seen.error_code.unwrap_or("error"));
                underway.refused(&mut tally, seen.id);
                // A loop that goes on after a refusal would only count refusals.
                false
            }
            _ => false,
        }
    }

    fn lost(&self, error: &RecvError, mut due: Receiver<Due>) {
        if let Some(pages) = &self.pages {
            pages.ended(&error.to_string());
        }
        let mut tally = self.shared.tally();
        tally.counts.refused += self.underway.len() as u64;
        due.close();
        while due.try_recv().is_ok() {
            tally.counts.unsent += 1;
        }
        tally.error(match error {
            RecvError::Ended(ended) => match ended.code {
                Some(code) => format!("closed with {code}"),
                None => "connection broke".into(),
            },
            RecvError::Timeout(_) | RecvError::Unreadable { .. } => "silent server".into(),
        });
    }
}

/// Runs the future to its end and tells whether it had to wait: a socket that takes nothing is not the generator's fault.
async fn noting_waits<T>(future: impl Future<Output = T>) -> (T, bool) {
    // Without the runtime's budget, which would be a wait of the generator's own.
    let mut future = pin!(tokio::task::unconstrained(future));
    let mut waited = false;
    let done = poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        waited |= polled.is_pending();
        polled
    });
    let done = done.await;
    (done, waited)
}
