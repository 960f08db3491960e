//! Runs over a network that delays everything by a time that changes, and cuts every connection now and then: how many of
//! the runs that were asked for their users saw whole, and how long these took.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::timeout_at;
use wireproof_faultproxy::{Cut, Fault, FaultProxy, Toxic, Trigger};

use super::{Metrics, histogram, micros, ms};
use crate::{
    dialect::Position,
    five_events::{self, Seen},
    login::{Login, reach},
    server::{Kind, Process},
    wire::Wire,
};

/// Users, each with a run every [`PERIOD`].
pub const USERS: usize = 100;
/// How long they ask.
pub const SECONDS: u64 = 8;
const PERIOD: Duration = Duration::from_millis(200);
const LATENCY: Fault = Fault::Latency { ms: 5, jitter_ms: 20 };
/// The age at which a connection is cut, wherever its bytes are.
const CUT_AFTER_MS: u64 = 700;
/// A run that is not over after so long is given up: its question was lost.
const PATIENCE: Duration = Duration::from_secs(3);

struct Counts {
    asked: u64,
    whole: u64,
    events_twice: u64,
    cuts: u64,
    times: Histogram<u64>,
}

/// Users behind such a network. Of Socket.IO it is the form that recovers connections.
pub async fn jitter(kind: Kind, users: usize, seconds: u64) -> Result<Metrics> {
    let kind = if kind == Kind::SocketIo { Kind::SocketIoRecovering } else { kind };
    let server = Process::start(kind).await?;
    five_events::check(&server).await?;
    let proxy = FaultProxy::start(server.address.parse()?, 1).await?;
    proxy.add(Toxic::new(LATENCY));
    proxy.add(Toxic::new(Fault::Cut(Cut::Reset)).when(Trigger::AfterMs(CUT_AFTER_MS)));
    let address = proxy.address().to_string();
    let counts = Counts { asked: 0, whole: 0, events_twice: 0, cuts: 0, times: histogram()? };
    let counts = RefCell::new(counts);
    let began = Instant::now();
    try_join_all((0..users).map(|index| {
        let (server, address, counts) = (&server, address.clone(), &counts);
        async move {
            let login = Login { address, ..server.login(&format!("user{index}"), index)? };
            let wire = reach(&login, &Position::default()).await?.wire;
            let mut user = User { kind, login, wire, counts };
            // Not all at once.
            let first = began + PERIOD * index as u32 / users as u32;
            for number in 0..(Duration::from_secs(seconds).as_millis() / PERIOD.as_millis()) as u32 {
                user.read_until(first + PERIOD * number).await?;
                user.run(number).await?;
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    let counts = counts.into_inner();
    Ok(BTreeMap::from([
        ("runs_asked", counts.asked as f64),
        ("runs_seen_whole_share", counts.whole as f64 / counts.asked as f64),
        ("events_seen_twice", counts.events_twice as f64),
        ("cuts", counts.cuts as f64),
        ("whole_run_p50_ms", ms(&counts.times, 0.5)),
        ("whole_run_p99_ms", ms(&counts.times, 0.99)),
    ]))
}

/// A user who comes back after every cut.
struct User<'a> {
    kind: Kind,
    login: Login,
    wire: Wire,
    counts: &'a RefCell<Counts>,
}

impl User<'_> {
    /// One run, from the question to the last of its events, over as many connections as that takes where the server resumes.
    async fn run(&mut self, number: u32) -> Result<()> {
        let (asked, mut seen) = (Instant::now(), Seen::default());
        let ask = self.kind.dialect().ask_as(&format!("{}-{number}", self.login.index));
        // A connection that was cut meanwhile says so when it is read.
        let _ = self.wire.send(&ask).await;
        while !seen.is_over() {
            match timeout_at((asked + PATIENCE).into(), self.wire.frame()).await {
                Ok(Ok(frame)) => {
                    self.wire.note(&frame);
                    seen.take(&frame);
                }
                Ok(Err(_)) => {
                    self.come_back().await?;
                    if !self.kind.resumes() {
                        break;
                    }
                    if self.kind.asks_again() {
                        let _ = self.wire.send(&ask).await;
                    }
                }
                Err(_) => break,
            }
        }
        let mut counts = self.counts.borrow_mut();
        counts.asked += 1;
        counts.events_twice += seen.twice;
        if seen.is_whole() {
            counts.whole += 1;
            counts.times.record(micros(asked.elapsed()))?;
        }
        Ok(())
    }

    /// Reads what comes between two runs, so that a cut is seen when it happens.
    async fn read_until(&mut self, due: Instant) -> Result<()> {
        while let Ok(read) = timeout_at(due.into(), self.wire.frame()).await {
            match read {
                Ok(frame) => self.wire.note(&frame),
                Err(_) => self.come_back().await?,
            }
        }
        Ok(())
    }

    async fn come_back(&mut self) -> Result<()> {
        self.counts.borrow_mut().cuts += 1;
        self.wire = reach(&self.login, &self.wire.position()).await?.wire;
        Ok(())
    }
}
