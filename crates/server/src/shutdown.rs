//! The phases of a shutdown, and the tasks that must end before it is over.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What follows a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownKind {
    /// Nothing: the process ends.
    Stop,
    /// The same server again, in the same process and at the same address.
    Restart,
    /// The process ends with an error: a part that the server needs died, named here.
    Failed(&'static str),
}

/// How the server drains; an absent value is as in the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainOptions {
    /// How long runs may go on.
    pub patience: Option<Duration>,
    /// Over which time the connections are closed.
    pub spread: Option<Duration>,
}

/// Shared by everything that has to stop.
#[derive(Clone, Default)]
pub struct Shutdown {
    asked: watch::Sender<Option<(ShutdownKind, DrainOptions)>>,
    /// From when on disconnected clients come back, and over which time.
    back: Arc<OnceLock<(Instant, Duration)>>,
    /// Cancelled when no new connections are taken.
    pub draining: CancellationToken,
    /// Cancelled when everything ends.
    pub stopped: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Requests a shutdown for good.
    pub fn ask(&self, options: DrainOptions) {
        self.ask_for(ShutdownKind::Stop, options);
    }

    /// Requests a shutdown and a start after it.
    pub fn ask_restart(&self) {
        self.ask_for(ShutdownKind::Restart, DrainOptions::default());
    }

    /// The first request decides.
    fn ask_for(&self, kind: ShutdownKind, options: DrainOptions) {
        self.asked.send_if_modified(|asked| asked.is_none() && asked.replace((kind, options)).is_none());
    }

    /// Waits for a request to shut down.
    pub async fn requested(&self) -> ShutdownKind {
        let mut asked = self.asked.subscribe();
        // The sender lives in here, so the channel stays open.
        let asked = asked.wait_for(Option::is_some).await.map(|asked| *asked);
        asked.ok().flatten().map_or(ShutdownKind::Stop, |(kind, _)| kind)
    }

    /// How the server was asked to drain.
    pub fn options(&self) -> DrainOptions {
        self.asked.borrow().map(|(_, options)| options).unwrap_or_default()
    }

    /// Notes that the clients are sent away within this time, and come back within as much again.
    pub fn back_in(&self, spread: Duration) {
        let _ = self.back.set((Instant::now() + spread, spread));
    }

    /// After this time a client that comes during a drain may try again: a second or more, spread as for the others.
    pub fn retry_after(&self) -> Duration {
        let (from, spread) = self.back.get().copied().unwrap_or((Instant::now(), Duration::ZERO));
        let wait = from.saturating_duration_since(Instant::now()) + spread.mul_f64(rand::random());
        Duration::from_secs(wait.as_secs_f64().ceil().max(1.0) as u64)
    }

    /// Starts a task that the shutdown waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Starts a task that the whole server needs. When it ends before the shutdown, by a panic or by itself, the server
    /// takes nothing new from then on and requests its shutdown.
    pub fn spawn_vital<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.clone();
        self.spawn(async move {
            // The panic itself is in the log already; its state is not used again.
            let _ = AssertUnwindSafe(task).catch_unwind().await;
            if !shutdown.draining.is_cancelled() {
                tracing::error!(part = name, "a part of the server died; the server ends");
                let at_once = DrainOptions { patience: Some(Duration::ZERO), spread: Some(Duration::ZERO) };
                shutdown.ask_for(ShutdownKind::Failed(name), at_once);
                shutdown.draining.cancel();
            }
        });
    }

    /// Waits until all tasks are over; true when they were within the time.
    pub async fn wait(&self, patience: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}
