//! Runs a measurement: opens all connections, sends for a time, and waits for the last answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::ProgressBar;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use wireproof_client::{Connect, OpenError};

use super::{
    Load,
    driver::{Driver, Message, Shared},
    pacer::{Due, due_times},
    process,
    recording::Recording,
    schedule::Schedule,
    tally::{Counts, Tally},
    target::Target,
};

/// How long the last runs may take after the last message.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Messages that may wait for one connection.
const WAITING: usize = 4096;

/// How often the generator looks at its own clock.
const TICK: Duration = Duration::from_millis(20);

/// Takes part in the measurement once it is open, until its sender is dropped.
type Player = mpsc::Sender<Due>;

pub(super) struct Runner {
    shared: Arc<Shared>,
    players: Vec<Player>,
    drivers: JoinSet<()>,
    server: Option<u32>,
    course: Course,
}

/// What is known besides the tally.
#[derive(Default)]
pub(super) struct Course {
    /// The counts when sending stopped; what came later is not of the rates.
    pub(super) window: Counts,
    pub(super) opening: Duration,
    pub(super) playing: Duration,
    /// Resident memory of the server in KiB: before, with all connections open, and after the load.
    pub(super) memory: [Option<u64>; 3],
    /// Processor time in the window: the server's and the generator's.
    pub(super) processor: [Option<Duration>; 2],
    pub(super) first_failure: Option<OpenError>,
}

impl Runner {
    pub(super) fn new(load: &Load, target: &Target, book: Option<Recording>) -> Self {
        let message = if load.ping { Message::ping() } else { Message::chat(&load.message) };
        let in_flight = load.in_flight.unwrap_or(usize::MAX);
        let stages = load.schedule().stages().len();
        let shared = Arc::new(Shared::new(message, load.closed, in_flight, stages, book));
        let course = Course::default();
        Self { shared, players: Vec::new(), drivers: JoinSet::new(), server: target.pid, course }
    }

    /// Opens all connections; an error if none of them opens.
    pub(super) async fn open(
        &mut self,
        load: &Load,
        target: &Target,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        self.course.memory[0] = self.server_memory();
        let start = Instant::now();
        let gate = Arc::new(Semaphore::new(load.opening));
        let (opened, mut opens) = mpsc::channel(load.opening);
        for index in 0..load.connections() {
            let permit = gate.clone().acquire_owned().await.context("opening connections")?;
            while let Ok(open) = opens.try_recv() {
                self.take(open, bar);
            }
            let connect = target.connect(index, index % load.users())?;
            let joining = join(connect, self.shared.clone(), index < load.users(), opened.clone());
            self.drivers.spawn(async move {
                let driver = joining.await;
                drop(permit);
                if let Some((driver, due)) = driver {
                    driver.drive(due).await;
                }
            });
        }
        drop(opened);
        while let Some(open) = opens.recv().await {
            self.take(open, bar);
        }
        self.course.opening = start.elapsed();
        self.course.memory[1] = self.server_memory();
        bar.finish_and_clear();
        match self.course.first_failure.take() {
            Some(error) if self.players.is_empty() => Err(error.into()),
            failure => {
                self.course.first_failure = failure;
                Ok(())
            }
        }
    }

    fn take(&mut self, open: Result<Player, OpenError>, bar: &ProgressBar) {
        match open {
            Ok(player) => self.players.push(player),
            Err(error) => {
                self.course.first_failure.get_or_insert(error);
            }
        }
        bar.inc(1);
        bar.set_message(format!("{} open", self.players.len()));
    }

    /// Sends for the time asked, then waits for the last answers.
    pub(super) async fn play(&mut self, load: &Load, bar: &ProgressBar) -> anyhow::Result<()> {
        let before = self.processor_times();
        let (start, counts) = (Instant::now(), self.shared.tally().counts);
        if load.closed {
            self.players.iter().for_each(|player| self.hand(player, Due { at: Instant::now(), stage: 0 }));
        }
        self.send_on_time(start, &load.schedule(), bar).await;
        self.shared.stop();
        self.course.playing = start.elapsed();
        self.course.window = self.shared.tally().counts.since(counts);
        let after = self.processor_times();
        self.course.processor = [0, 1].map(|i| Some(after[i]?.saturating_sub(before[i]?)));
        self.last_answers(bar).await;
        self.course.memory[2] = self.server_memory();
        bar.finish_and_clear();
        Ok(())
    }

    /// Hands each message that is due to the next connection in turn, until the schedule is over.
    async fn send_on_time(&self, start: Instant, schedule: &Schedule, bar: &ProgressBar) {
        let mut due = due_times(start, schedule);
        let mut turn = self.players.iter().cycle();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let end = tokio::time::sleep_until((start + schedule.duration()).into());
        tokio::pin!(end);
        let (mut is_handed, mut is_over) = (false, false);
        // A generator that is behind hands out what is still due: nothing of the schedule is left out.
        while !(is_handed && is_over) {
            tokio::select! {
                next = due.recv(), if !is_handed => match (next, turn.next()) {
                    (Some(due), Some(player)) => self.hand(player, due),
                    _ => is_handed = true,
                },
                () = &mut end, if !is_over => is_over = true,
                tick = ticks.tick() => {
                    self.shared.tally().lag.add(tick.elapsed());
                    self.show(start, bar);
                }
            }
        }
    }

    fn hand(&self, player: &Player, due: Due) {
        let mut tally = self.shared.tally();
        tally.counts.due += 1;
        if player.try_send(due).is_err() {
            tally.counts.unsent += 1;
        }
    }

    fn show(&self, start: Instant, bar: &ProgressBar) {
        bar.set_position(start.elapsed().as_millis() as u64);
        let counts = self.shared.tally().counts;
        bar.set_message(format!(
            "{} sent, {} completed, {} deliveries",
            counts.sent, counts.completed, counts.deliveries
        ));
    }

    async fn last_answers(&self, bar: &ProgressBar) {
        let deadline = Instant::now() + LAST_ANSWERS;
        let mut ticks = interval(Duration::from_millis(20));
        loop {
            let counts = self.shared.tally().counts;
            let left = counts.open() + counts.waiting();
            if left == 0 || Instant::now() >= deadline {
                return;
            }
            bar.set_message(format!("waiting for {left} answers"));
            ticks.tick().await;
        }
    }

    /// Lets the connections go and gives what was measured.
    pub(super) fn end(self) -> (Course, Tally) {
        let tally = self.shared.tally().clone();
        (self.course, tally)
    }

    fn server_memory(&self) -> Option<u64> {
        process::memory_kib(self.server?)
    }

    fn processor_times(&self) -> [Option<Duration>; 2] {
        [self.server.and_then(process::processor_time), process::processor_time(std::process::id())]
    }
}

/// Opens one connection and tells the conductor what came of it.
async fn join(
    connect: Connect,
    shared: Arc<Shared>,
    counts_events: bool,
    opened: mpsc::Sender<Result<Player, OpenError>>,
) -> Option<(Driver, mpsc::Receiver<Due>)> {
    let start = Instant::now();
    let (told, driver) = match connect.open_welcomed().await {
        Ok((connection, welcome)) => {
            let mut tally = shared.tally();
            tally.opened += 1;
            tally.handshake.add(start.elapsed());
            drop(tally);
            let (player, due) = mpsc::channel(WAITING);
            (Ok(player), Some((Driver::new(connection, &welcome, shared, counts_events), due)))
        }
        Err(error) => {
            shared.tally().error("connection not opened");
            (Err(error), None)
        }
    };
    // The conductor outlives its connections but for the end of the program.
    let _ = opened.send(told).await;
    driver
}
