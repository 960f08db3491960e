//! All that happened on a client's connections, from the first byte of the first one on.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;
use wireproof_client::{Ended, Resume};
use wireproof_protocol::{
    Control, ControlBody, ErrorBody, Event, Incoming, Position, UserState, parse_incoming,
};

use crate::{
    matcher::Matcher,
    received::ReceivedFrame,
    recording::{Recording, ended_by},
};

/// One thing that happened to a client. `at` is the time since its first connection was begun.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A connection was opened.
    Opened {
        /// When.
        at: Duration,
        /// The position after which events were asked for, if one was.
        asked: Option<Position>,
    },
    /// The client sent a text.
    Sent {
        /// When.
        at: Duration,
        /// The text.
        text: String,
    },
    /// A frame came.
    Arrived {
        /// The frame, with its time.
        arrival: Arc<ReceivedFrame>,
        /// Whether an expectation was fulfilled by it.
        taken: bool,
    },
    /// The connection ended.
    Ended {
        /// When.
        at: Duration,
        /// How.
        ended: Ended,
    },
}

/// The history of one client over all its connections.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) began: Instant,
    pub(crate) entries: Vec<Entry>,
    /// Every entry before this one is of no more interest to an expectation.
    settled: usize,
    arrivals: usize,
    connections: usize,
    pub(crate) resume: Resume,
    pub(crate) ended: Option<Ended>,
    /// The frame on which the client cuts its own connection.
    pub(crate) cut_on: Option<Matcher>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            entries: Vec::new(),
            settled: 0,
            arrivals: 0,
            connections: 0,
            resume: Resume::new(),
            ended: None,
            cut_on: None,
        }
    }
}

impl Recording for History {
    const RESET: &'static str = "cut by the test";
    const RESET_WHEN_DROPPED: bool = false;

    fn text(&mut self, at: Instant, text: &str) -> Option<Ended> {
        let arrival = ReceivedFrame {
            index: self.arrivals,
            connection: self.connections,
            at: at.saturating_duration_since(self.began),
            text: text.to_owned(),
            json: serde_json::from_str(text).unwrap_or(Value::Null),
            incoming: parse_incoming(text).ok(),
        };
        self.arrivals += 1;
        self.follow(&arrival);
        let cut = self.cut_on.as_ref().is_some_and(|matcher| matcher.matches(&arrival));
        self.entries.push(Entry::Arrived { arrival: Arc::new(arrival), taken: false });
        cut.then(|| ended_by(Self::RESET))
    }

    fn end(&mut self, mut ended: Ended) {
        ended.error = self.refusal();
        self.ended = Some(ended.clone());
        self.entries.push(Entry::Ended { at: self.began.elapsed(), ended });
    }

    fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }
}

impl History {
    pub(crate) fn opened(&mut self, asked: Option<Position>) {
        self.connections += 1;
        self.ended = None;
        self.resume = asked.map_or_else(Resume::new, Resume::at);
        self.entries.push(Entry::Opened { at: self.began.elapsed(), asked });
    }

    pub(crate) fn sent(&mut self, text: String) {
        self.entries.push(Entry::Sent { at: self.began.elapsed(), text });
    }

    /// The error that the latest frame of this connection said, which is the reason of a close behind it.
    fn refusal(&self) -> Option<ErrorBody> {
        let latest = self.arrivals().next_back().filter(|arrival| arrival.connection == self.connections);
        match &latest?.control()?.body {
            ControlBody::Error(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Moves the position from which a next connection resumes, as every client does.
    fn follow(&mut self, arrival: &ReceivedFrame) {
        match &arrival.incoming {
            Some(Incoming::Event(event)) => {
                // A break moves nothing, and `fold` tells of it.
                let _ = self.resume.take(event);
            }
            Some(Incoming::Control(control)) => match &control.body {
                ControlBody::ConnectionEstablished { epoch, seq, resumed, .. } => {
                    self.resume.welcome(*epoch, *seq, *resumed);
                }
                ControlBody::Snapshot { epoch, seq, .. } => self.resume.snapshot(*epoch, *seq),
                _ => {}
            },
            _ => {}
        }
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// True once the latest connection was welcomed.
    pub(crate) fn is_welcomed(&self) -> bool {
        let latest = self.arrivals().rev().take_while(|arrival| arrival.connection == self.connections);
        latest.into_iter().any(|arrival| arrival.kind() == "connection_established")
    }

    pub(crate) fn arrivals(&self) -> impl DoubleEndedIterator<Item = &Arc<ReceivedFrame>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Arrived { arrival, .. } => Some(arrival),
            _ => None,
        })
    }

    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.arrivals().filter_map(|arrival| arrival.event())
    }

    /// The first frame from entry `from` on that fits and that no expectation took yet.
    pub(crate) fn find(&self, matcher: &Matcher, from: usize) -> Option<(usize, Arc<ReceivedFrame>)> {
        let first = from.max(self.settled);
        self.entries[first..].iter().enumerate().find_map(|(index, entry)| match entry {
            Entry::Arrived { arrival, taken: false } if matcher.matches(arrival) => {
                Some((first + index, arrival.clone()))
            }
            _ => None,
        })
    }

    /// The first frames, one behind the other, that fit these in their order and that no expectation took yet; others may
    /// stand between.
    pub(crate) fn find_all(&self, sequence: &[Matcher]) -> Option<Vec<(usize, Arc<ReceivedFrame>)>> {
        let mut from = 0;
        let find = |matcher| {
            let (index, arrival) = self.find(matcher, from)?;
            from = index + 1;
            Some((index, arrival))
        };
        sequence.iter().map(find).collect()
    }

    /// The frames that no expectation took yet.
    pub(crate) fn arrivals_open(&self) -> impl Iterator<Item = &ReceivedFrame> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Arrived { arrival, taken: false } => Some(&**arrival),
            _ => None,
        })
    }

    /// Marks a frame as one that fulfilled an expectation.
    pub(crate) fn take(&mut self, index: usize) {
        if let Some(Entry::Arrived { taken, .. }) = self.entries.get_mut(index) {
            *taken = true;
        }
        let open = |entry: &Entry| matches!(entry, Entry::Arrived { taken: false, .. });
        while self.entries.get(self.settled).is_some_and(|entry| !open(entry)) {
            self.settled += 1;
        }
    }

    /// What a client that shows each event once would show now; an error when the events do not follow on each other.
    pub(crate) fn fold(&self) -> Result<UserState, String> {
        let (mut state, mut asked_at) = (None, None);
        for entry in &self.entries {
            match entry {
                Entry::Opened { asked, .. } => asked_at = *asked,
                Entry::Arrived { arrival, .. } => match &arrival.incoming {
                    Some(Incoming::Control(control)) => begin(&mut state, control, asked_at),
                    Some(Incoming::Event(event)) => {
                        let Some(state) = &mut state else {
                            return Err(format!("the event {} came before the welcome", event.seq));
                        };
                        if event.seq > state.seq {
                            state.apply(event).map_err(|error| error.to_string())?;
                        }
                    }
                    Some(Incoming::Unknown(_)) | None => {}
                },
                Entry::Sent { .. } | Entry::Ended { .. } => {}
            }
        }
        state.ok_or_else(|| "no welcome has come".to_owned())
    }

    /// Every number exactly once, in order, over all connections; an error that names the first that is not.
    pub(crate) fn exactly_once(&self) -> Result<(), String> {
        let (mut last, mut asked): (Option<u64>, Option<Position>) = (None, None);
        for entry in &self.entries {
            if let Entry::Opened { asked: position, .. } = entry {
                asked = *position;
            }
            let Entry::Arrived { arrival, .. } = entry else { continue };
            match &arrival.incoming {
                Some(Incoming::Control(control)) => match &control.body {
                    // The first connection may resume too: what it asked for is where its numbers begin.
                    ControlBody::ConnectionEstablished { resumed: true, .. } if last.is_none() => {
                        last = asked.map(|position| position.seq);
                    }
                    ControlBody::ConnectionEstablished { seq, resumed: false, .. } => last = Some(*seq),
                    ControlBody::Snapshot { seq, .. } => last = Some(*seq),
                    ControlBody::CaughtUp { seq } if last.is_some_and(|last| last < *seq) => {
                        return Err(format!("caught_up at {seq} though {last:?} was the last event"));
                    }
                    _ => {}
                },
                Some(Incoming::Event(event)) => {
                    let (first, end) = event.range();
                    if let Some(last) = last
                        && first != last + 1
                    {
                        return Err(format!("seq {first} to {end} came where {} comes next", last + 1));
                    }
                    last = Some(end);
                }
                Some(Incoming::Unknown(_)) | None => {}
            }
        }
        Ok(())
    }
}

/// Where the state begins anew: at a welcome that does not resume, or with a snapshot.
fn begin(state: &mut Option<UserState>, control: &Control, asked: Option<Position>) {
    match &control.body {
        ControlBody::ConnectionEstablished { resumed: true, .. } if state.is_none() => {
            *state = Some(UserState::starting_at(asked.map_or(0, |position| position.seq)));
        }
        ControlBody::ConnectionEstablished { seq, resumed: false, .. } => {
            *state = Some(UserState::starting_at(*seq));
        }
        ControlBody::Snapshot { seq, threads, active_runs, .. } => {
            *state = Some(UserState::from_snapshot(*seq, threads, active_runs));
        }
        _ => {}
    }
}
