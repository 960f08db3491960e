//! One connection under load: sends what is due, and times what comes back.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use wireproof_client::{Connection, RecvError, Welcome};

use super::tally::Tally;

/// The server pings more often than that.
const SILENCE: Duration = Duration::from_secs(90);

/// What all connections share.
pub(super) struct Shared {
    tally: Mutex<Tally>,
    /// The frame after its id, the same for all.
    message: String,
    /// True when connections send their next message by themselves.
    closed_loop: bool,
    stopped: AtomicBool,
}

impl Shared {
    pub(super) fn new(content: &str, closed_loop: bool) -> Self {
        let content = serde_json::Value::from(content);
        let message = format!(r#","type":"chat","content":{content}}}"#);
        Self { tally: Mutex::new(Tally::new()), message, closed_loop, stopped: AtomicBool::new(false) }
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

/// A message of this connection on its way through the server.
struct Asked {
    number: u64,
    due: Instant,
    run_id: Option<String>,
}

/// What a run comes by.
#[derive(Clone, Copy)]
enum Milestone {
    Started,
    Success,
    Failure,
}

pub(super) struct Driver {
    connection: Connection,
    shared: Arc<Shared>,
    /// Unique among all measurements of this server: ids are idempotency keys there.
    prefix: String,
    /// True for the one connection of its user whose events are counted.
    counts_events: bool,
    next_number: u64,
    asked: Vec<Asked>,
    /// Milestones of runs that may turn out to be this connection's.
    early: Vec<(String, Milestone, Instant)>,
}

impl Driver {
    pub(super) fn new(
        connection: Connection,
        welcome: &Welcome,
        shared: Arc<Shared>,
        counts_events: bool,
    ) -> Self {
        let prefix = welcome.connection_id.to_string();
        Self {
            connection,
            shared,
            prefix,
            counts_events,
            next_number: 0,
            asked: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Runs until nothing more can become due, or the connection ends.
    pub(super) async fn drive(mut self, mut due: Receiver<Instant>) {
        loop {
            tokio::select! {
                due = due.recv() => match due {
                    Some(due) => self.send(due).await,
                    None => break,
                },
                text = self.connection.recv_text(SILENCE) => match text {
                    Ok(text) => if self.see(&text) { self.send(Instant::now()).await },
                    Err(error) => return self.lost(&error),
                },
            }
        }
        // Ten thousand goodbyes at once are no part of the measurement.
        self.connection.cut();
    }

    async fn send(&mut self, due: Instant) {
        let number = self.next_number;
        self.next_number += 1;
        let text = format!(r#"{{"id":"{}-{number}"{}"#, self.prefix, self.shared.message);
        let sent = self.connection.send_text(text).await;
        let mut tally = self.shared.tally();
        tally.counts.sent += 1;
        match sent {
            Ok(()) => {
                tally.late.add(due.elapsed());
                self.asked.push(Asked { number, due, run_id: None });
            }
            // The next receive says why.
            Err(_) => tally.counts.refused += 1,
        }
    }

    /// Times what a frame says; true when it is time for the next message of a closed loop.
    fn see(&mut self, text: &str) -> bool {
        let now = Instant::now();
        // The guard must not borrow self: what is asked changes beside it.
        let shared = self.shared.clone();
        let mut tally = shared.tally();
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(text) else {
            tally.error("unreadable frame");
            return false;
        };
        if seen.event_id.is_some() {
            tally.counts.deliveries += 1;
            tally.counts.events += u64::from(self.counts_events);
        }
        let over = match (seen.kind, seen.run_id) {
            ("accepted", Some(run_id)) => self.accepted(&mut tally, seen.id, run_id, now),
            ("agent_started", Some(run_id)) => self.reached(&mut tally, run_id, Milestone::Started, now),
            ("agent_completed", Some(run_id)) => {
                let end =
                    if seen.outcome == Some("success") { Milestone::Success } else { Milestone::Failure };
                self.reached(&mut tally, run_id, end, now)
            }
            ("error", _) => {
                tally.error(seen.error_code.unwrap_or("error"));
                if let Some(index) = self.find_by_id(seen.id) {
                    tally.counts.refused += 1;
                    self.asked.swap_remove(index);
                }
                // A loop that goes on after a refusal would only count refusals.
                false
            }
            _ => false,
        };
        over && shared.closed_loop && !shared.stopped.load(Ordering::Relaxed)
    }

    /// Times the answer, and what the log said of the run before it.
    fn accepted(&mut self, tally: &mut Tally, id: Option<&str>, run_id: &str, now: Instant) -> bool {
        let Some(index) = self.find_by_id(id) else { return false };
        tally.accepted.add(now - self.asked[index].due);
        self.asked[index].run_id = Some(run_id.to_owned());
        let mut over = false;
        for (run, milestone, at) in std::mem::take(&mut self.early) {
            if run == run_id {
                over |= self.reached(tally, run_id, milestone, at);
            } else if self.awaits_answer() {
                self.early.push((run, milestone, at));
            }
        }
        over
    }

    /// Times a milestone of a run, if the run is this connection's; true when it was the last one.
    fn reached(&mut self, tally: &mut Tally, run_id: &str, milestone: Milestone, at: Instant) -> bool {
        let Some(index) = self.asked.iter().position(|asked| asked.run_id.as_deref() == Some(run_id)) else {
            // The log may be faster than the answer that says whose run it is.
            if self.awaits_answer() {
                self.early.push((run_id.to_owned(), milestone, at));
            }
            return false;
        };
        let latency = at - self.asked[index].due;
        match milestone {
            Milestone::Started => {
                tally.started.add(latency);
                return false;
            }
            Milestone::Success => tally.counts.completed += 1,
            Milestone::Failure => tally.counts.failed += 1,
        }
        tally.completed.add(latency);
        self.asked.swap_remove(index);
        true
    }

    fn awaits_answer(&self) -> bool {
        self.asked.iter().any(|asked| asked.run_id.is_none())
    }

    fn find_by_id(&self, id: Option<&str>) -> Option<usize> {
        let number: u64 = id?.rsplit_once('-')?.1.parse().ok()?;
        self.asked.iter().position(|asked| asked.number == number)
    }

    fn lost(&self, error: &RecvError) {
        let mut tally = self.shared.tally();
        tally.counts.refused += self.asked.len() as u64;
        tally.error(match error {
            RecvError::Ended(ended) => match ended.code {
                Some(code) => format!("closed with {code}"),
                None => "connection broke".into(),
            },
            RecvError::Timeout(_) | RecvError::Unreadable { .. } => "silent server".into(),
        });
    }
}
