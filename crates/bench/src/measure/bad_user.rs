//! The bad user: one account does the worst of everything with default limits for a minute, beside well-behaved users; the
//! same on a second server with a neighbour who sends as many harmless frames, in turns.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::{Rows, histogram, micros, ms};
use crate::{
    server::{Kind, Process},
    wire::Wire,
};

const GOOD_USERS: usize = 8;
/// Connections that the neighbour has open; the limit is ten.
const CONNECTIONS: usize = 9;
/// One side's turn; six of them are a minute.
const SLICE: Duration = Duration::from_secs(10);
const SLICES: usize = 6;
/// Frames that the neighbour sends in a second: what the limits let pass in the long run.
const CHATS: usize = 1;
const READS: usize = 3;
const ASK: &str = r#"{"type":"chat","content":"What is 17*23?"}"#;
const PING: &str = r#"{"type":"ping"}"#;
/// Asks for all of the user's state.
const SNAPSHOT: &str = r#"{"type":"resume","epoch":"00000000000000aa","after":0}"#;

/// Both sides, and how many times more the bad user costs than the harmless one.
pub async fn bad_user() -> Result<Rows> {
    let (mut bad, mut harmless) = (Side::start(worst()).await?, Side::start(vec![ASK.to_owned()]).await?);
    for slice in 0..SLICES {
        bad.slice(slice).await?;
        harmless.slice(slice).await?;
    }
    let (bad, harmless) = (bad.figures()?, harmless.figures()?);
    let names = [
        ["run_p50_ms_bad", "run_p50_ms_harmless", "run_p50_ratio"],
        ["run_p99_ms_bad", "run_p99_ms_harmless", "run_p99_ratio"],
        ["peak_rss_mib_bad", "peak_rss_mib_harmless", "peak_rss_ratio"],
        ["disk_mib_bad", "disk_mib_harmless", "disk_ratio"],
        ["cpu_share_bad", "cpu_share_harmless", "cpu_ratio"],
    ];
    let mut metrics = BTreeMap::new();
    for ((names, bad), harmless) in names.into_iter().zip(bad).zip(harmless) {
        metrics.extend(names.into_iter().zip([bad, harmless, bad / harmless]));
    }
    Ok(vec![("bad-user", metrics)])
}

/// Messages that cost the builtin agent most, before or after its work was bounded.
fn worst() -> Vec<String> {
    let nested = format!("{}\"{}\"{}", "[".repeat(100), "x".repeat(58_000), "]".repeat(100));
    [
        "Count from 1 to 10000 without pause. ".repeat(16),
        "Count from 1 to 1000 without pause. ".repeat(16),
        format!("{} {}", "`{` ".repeat(7_500), "get $.a, ".repeat(3_700)),
        format!("{nested} {}", "Get $..[*] from it. ".repeat(16)),
        "Search my threads for x. ".repeat(16),
        format!("{} {}", "How many words are in this message? ".repeat(16), "a b. ".repeat(12_000)),
        "a. ".repeat(20_000),
    ]
    .map(|content| serde_json::json!({ "type": "chat", "content": content }).to_string())
    .to_vec()
}

/// One server with its well-behaved users and its neighbour.
struct Side {
    server: Process,
    chats: Vec<String>,
    runs: Histogram<u64>,
    peak_rss_kib: f64,
    cpu: f64,
    seconds: f64,
}

impl Side {
    async fn start(chats: Vec<String>) -> Result<Self> {
        let server = Process::start_with(Kind::Shipped, "").await?;
        Ok(Self { server, chats, runs: histogram()?, peak_rss_kib: 0.0, cpu: 0.0, seconds: 0.0 })
    }

    /// The neighbour at work, and the runs of the others meanwhile.
    async fn slice(&mut self, slice: usize) -> Result<()> {
        let mut good = Vec::new();
        for index in 0..GOOD_USERS {
            let token = self.server.token(&format!("good{index}"))?;
            good.push(Wire::connect(&self.server.address, &token, "", index).await?);
        }
        let (cpu, began) = (self.server.cpu_seconds()?, Instant::now());
        let times = RefCell::new(&mut self.runs);
        let runs = try_join_all(good.into_iter().enumerate().map(|(index, mut wire)| {
            let times = &times;
            async move {
                for round in 0..SLICE.as_secs() {
                    let due = began + Duration::from_secs(round) + Duration::from_millis(120 * index as u64);
                    tokio::time::sleep_until(due.into()).await;
                    wire.send(ASK).await?;
                    wire.until(b"\"agent_completed\"").await?;
                    times.borrow_mut().record(micros(due.elapsed()))?;
                }
                anyhow::Ok(())
            }
        }));
        let neighbour = neighbour(&self.server, &self.chats, slice, began);
        let (_, rss) = tokio::try_join!(runs, neighbour)?;
        self.peak_rss_kib = self.peak_rss_kib.max(rss);
        self.cpu += self.server.cpu_seconds()? - cpu;
        self.seconds += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Half and 99 of 100 runs, memory, disk, CPU.
    fn figures(&self) -> Result<[f64; 5]> {
        let mut disk = 0;
        for file in fs::read_dir(self.server.folder().join("data"))? {
            disk += file?.metadata()?.len();
        }
        let mib = |kib: f64| kib / 1024.0;
        Ok([
            ms(&self.runs, 0.5),
            ms(&self.runs, 0.99),
            mib(self.peak_rss_kib),
            mib(disk as f64 / 1024.0),
            self.cpu / self.seconds,
        ])
    }
}

/// Asks and reads on connections of which none is read; returns the most memory of the server meanwhile, in KiB.
async fn neighbour(server: &Process, chats: &[String], slice: usize, began: Instant) -> Result<f64> {
    let (mut wires, mut rss) = (Vec::new(), 0.0f64);
    let read = if chats.len() > 1 { SNAPSHOT } else { PING };
    for index in 0..CONNECTIONS {
        wires.push(Wire::connect_narrow(&server.address, &server.token("neighbour")?, index).await?);
    }
    for second in 0..SLICE.as_secs() as usize {
        tokio::time::sleep_until((began + Duration::from_secs(second as u64)).into()).await;
        for number in 0..CHATS {
            let chat = &chats[(slice * SLICE.as_secs() as usize + second * CHATS + number) % chats.len()];
            wires[second % CONNECTIONS].send(chat).await?;
        }
        for number in 0..READS {
            wires[(second + number) % CONNECTIONS].send(read).await?;
        }
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            rss = rss.max(server.rss_kib()?);
        }
    }
    Ok(rss)
}
