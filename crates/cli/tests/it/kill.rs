//! `kill -9` in the middle of runs, again and again on one data folder: whatever a client was told stays true.

mod witness;

use std::{env, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tempfile::tempdir;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use crate::process::{Server, serve, token};
use witness::{Sign, Witness};

const ROUNDS: usize = 100;
/// So often new users come: logs stay short enough to be read whole after every kill.
const ROUNDS_OF_A_CAST: usize = 10;
const USERS: usize = 4;
/// A server serves at most so long before its kill.
const LIFE: Duration = Duration::from_millis(400);
/// In the environment: the seed of a test that failed.
const SEED: &str = "KILL_SEED";

const ASKS: [&str; 5] = [
    "Count from 1 to 30.",
    "Count from 1 to 30 fast.",
    "Wait 1 second.",
    "What is 17*23, and how many words are in this sentence?",
    "Wait 50 ms, and what is 2^200?",
];

/// What a kill waits for, though never longer than the server's life.
#[derive(Debug, Clone, Copy)]
enum Trigger {
    After(Duration),
    /// So many requests were accepted.
    Accepted(usize),
    /// So many events were delivered.
    Delivered(usize),
}

impl Trigger {
    fn choose(rng: &mut StdRng) -> Self {
        match rng.random_range(0..4) {
            0 => Trigger::Accepted(rng.random_range(1..=2 * USERS)),
            1 => Trigger::Delivered(rng.random_range(1..150)),
            _ => Trigger::After(rng.random_range(Duration::ZERO..LIFE)),
        }
    }

    async fn wait(self, mut signs: mpsc::Receiver<Sign>) {
        let life = if let Trigger::After(time) = self { time } else { LIFE };
        let latest = Instant::now() + life;
        let (mut accepted, mut delivered) = (0, 0);
        loop {
            let due = match self {
                Trigger::After(_) => false,
                Trigger::Accepted(most) => accepted >= most,
                Trigger::Delivered(most) => delivered >= most,
            };
            if due {
                return;
            }
            match timeout_at(latest, signs.recv()).await {
                Ok(Some(Sign::Accepted)) => accepted += 1,
                Ok(Some(Sign::Delivered)) => delivered += 1,
                // Nobody is left to tell anything: only the time can come.
                Ok(None) => return sleep_until(latest).await,
                Err(_) => return,
            }
        }
    }
}

async fn start(data_dir: &Path) -> Result<Server> {
    let mut command = serve(data_dir);
    for limit in ["MESSAGES_PER_MINUTE", "QUEUED_RUNS"] {
        // What was asked and not answered before a kill is asked again at once, and may be more than a queue holds.
        command.env(format!("WIREPROOF_LIMITS_{limit}"), "0");
    }
    Server::launch(command).await
}

async fn new_cast(data_dir: &Path, number: usize, users: usize) -> Result<Vec<Witness>> {
    let mut cast = Vec::new();
    for user in 0..users {
        let name = format!("user-{number}-{user}");
        cast.push(Witness::new(token(data_dir, &name).await?, name));
    }
    Ok(cast)
}

/// One server from its start to its kill. What the witnesses were told by those before it must still be so.
async fn round(
    data_dir: &Path,
    mut cast: Vec<Witness>,
    rng: &mut StdRng,
    trigger: Trigger,
) -> Result<Vec<Witness>> {
    let server = start(data_dir).await?;
    for witness in &mut cast {
        witness.question(&server).await.with_context(|| witness.name.clone())?;
    }
    let (told, signs) = mpsc::channel(1024);
    let mut living = JoinSet::new();
    for witness in cast {
        // Now and then more than may run at once: some wait in the queue when the kill comes.
        let asks = if rng.random_ratio(1, 8) { 7 } else { 2 };
        let asks = (0..asks).filter_map(|_| ASKS.choose(rng).copied()).collect();
        living.spawn(witness.live(asks, told.clone()));
    }
    drop(told);
    trigger.wait(signs).await;
    server.kill().await?;
    let mut cast = living.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    cast.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cast)
}

/// Rounds of kills, then a server that may live: in the end every request was carried out, and once.
async fn play(
    rng: &mut StdRng,
    rounds: usize,
    users: usize,
    trigger: fn(&mut StdRng) -> Trigger,
) -> Result<Vec<Witness>> {
    let folder = tempdir()?;
    let data_dir = folder.path();
    let (mut cast, mut retired) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        if number % ROUNDS_OF_A_CAST == 0 {
            retired.append(&mut cast);
            cast = new_cast(data_dir, number, users).await?;
        }
        let trigger = trigger(rng);
        let killed = round(data_dir, cast, rng, trigger).await;
        cast = killed.with_context(|| format!("in round {number}, with {trigger:?}"))?;
    }
    retired.append(&mut cast);
    let server = start(data_dir).await?;
    for witness in &mut retired {
        let settled = async {
            witness.question(&server).await?;
            witness.settle().await?;
            witness.question(&server).await
        };
        settled.await.with_context(|| format!("in the end, {}", witness.name))?;
    }
    server.terminate()?;
    ensure!(server.ended().await?.0.success(), "the last server did not end well");
    Ok(retired)
}

async fn play_seeded(
    rounds: usize,
    users: usize,
    trigger: fn(&mut StdRng) -> Trigger,
) -> Result<Vec<Witness>> {
    let seed = match env::var(SEED) {
        Ok(text) => text.parse().with_context(|| format!("{SEED} is a number"))?,
        Err(_) => rand::random(),
    };
    let mut rng = StdRng::seed_from_u64(seed);
    let played = play(&mut rng, rounds, users, trigger).await;
    played.with_context(|| format!("to repeat it: {SEED}={seed} cargo nextest run -p wireproof kill"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_a_hundred_kills_lose_nothing_that_was_told() -> Result<()> {
    let begun = Instant::now();
    let cast = play_seeded(ROUNDS, USERS, Trigger::choose).await?;
    let sum = |of: fn(&Witness) -> usize| cast.iter().map(of).sum::<usize>();
    let (runs, cut) = (sum(Witness::runs), sum(Witness::cut_runs));
    let (told, again) = (sum(|witness| witness.known.len()), sum(|witness| witness.asked_again));
    eprintln!(
        "{ROUNDS} rounds in {:.1?}: {runs} runs, {cut} of them cut by a kill, {told} events told, \
         {again} requests asked again for want of an answer",
        begun.elapsed()
    );
    // Otherwise the kills came too early or too late, and this test shows nothing.
    ensure!(cut > ROUNDS && runs - cut > ROUNDS, "{cut} of {runs} runs were cut");
    Ok(())
}

#[tokio::test]
async fn a_request_is_carried_out_though_the_kill_comes_right_after_its_acceptance() -> Result<()> {
    let cast = play_seeded(5, 1, |_| Trigger::Accepted(1)).await?;
    ensure!(cast.iter().map(Witness::cut_runs).sum::<usize>() > 0, "no run was cut");
    Ok(())
}
