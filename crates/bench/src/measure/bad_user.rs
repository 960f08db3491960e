//! The bad user: one account does the worst of everything at once with default limits for a minute, beside well-behaved
//! users; the same on a second server with a neighbour who sends as many harmless frames, in turns.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

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
/// What the neighbour does at once at these seconds of a turn. With its handshakes this is what the limits let pass in two
/// turns, the other side's being one; a snapshot counts as five frames.
const BURSTS: [Burst; 2] = [
    Burst { second: 0, chats: 15, deletions: 15, histories: 8, snapshots: 4, lists: 8 },
    Burst { second: 5, chats: 5, deletions: 5, histories: 0, snapshots: 2, lists: 5 },
];
/// Messages of a turn; those of one are deleted in the next.
const CHATS: usize = 20;
/// How long a burst may take to be sent on a connection whose server reads no more.
const PATIENCE: Duration = Duration::from_millis(800);
const ASK: &str = r#"{"type":"chat","content":"What is 17*23?"}"#;
const PING: &str = r#"{"type":"ping"}"#;
/// Asks for all of the user's state.
const SNAPSHOT: &str = r#"{"type":"resume","epoch":"00000000000000aa","after":0}"#;
/// Every fifth message goes into this thread, which is read.
const HISTORY: &str = r#"{"type":"get_thread_history","thread_id":"kept","limit":100}"#;

struct Burst {
    second: usize,
    chats: usize,
    deletions: usize,
    histories: usize,
    snapshots: usize,
    lists: usize,
}

/// Both sides, and how many times more the bad user costs than the harmless one.
pub async fn bad_user() -> Result<Rows> {
    let (mut bad, mut harmless) = (Side::start(worst()).await?, Side::start(Vec::new()).await?);
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
        ["requests_bad", "requests_harmless", "requests_ratio"],
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
    .to_vec()
}

/// One server with its well-behaved users and its neighbour.
struct Side {
    server: Process,
    /// What the neighbour writes; nothing for the harmless one.
    worst: Vec<String>,
    requests: usize,
    runs: Histogram<u64>,
    peak_rss_kib: f64,
    cpu: f64,
    seconds: f64,
}

impl Side {
    async fn start(worst: Vec<String>) -> Result<Self> {
        let server = Process::start_with(Kind::Shipped, "").await?;
        let runs = histogram()?;
        Ok(Self { server, worst, requests: 0, runs, peak_rss_kib: 0.0, cpu: 0.0, seconds: 0.0 })
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
        let neighbour = neighbour(&self.server, &self.worst, slice, began);
        let (_, (rss, requests)) = tokio::try_join!(runs, neighbour)?;
        self.requests += requests;
        self.peak_rss_kib = self.peak_rss_kib.max(rss);
        self.cpu += self.server.cpu_seconds()? - cpu;
        self.seconds += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Half and 99 of 100 runs, memory, disk, CPU, and what the neighbour could send.
    fn figures(&self) -> Result<[f64; 6]> {
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
            self.requests as f64,
        ])
    }
}

/// Sends its bursts on connections of which none is read, and asks over HTTP. Returns the most memory of the server
/// meanwhile, in KiB, and how many requests were sent.
async fn neighbour(server: &Process, worst: &[String], slice: usize, began: Instant) -> Result<(f64, usize)> {
    let (mut wires, mut unread, mut rss, mut sent) = (Vec::new(), Vec::new(), 0.0f64, 0);
    let token = server.token("neighbour")?;
    for index in 0..CONNECTIONS {
        wires.push(Wire::connect_narrow(&server.address, &token, index).await?);
    }
    let mut first = slice * CHATS;
    for second in 0..SLICE.as_secs() as usize {
        tokio::time::sleep_until((began + Duration::from_secs(second as u64)).into()).await;
        let burst = BURSTS.iter().find(|burst| burst.second == second);
        let frames = burst.map(|burst| frames(worst, burst, first)).unwrap_or_default();
        first += burst.map_or(0, |burst| burst.chats);
        let sends = wires.iter_mut().enumerate().map(|(index, wire)| {
            let own = frames.iter().skip(index).step_by(CONNECTIONS);
            send(wire, own)
        });
        let lists = (0..burst.map_or(0, |burst| burst.lists)).map(|_| list(server, &token, worst.is_empty()));
        let (by_wire, lists, peak) = tokio::join!(join_all(sends), try_join_all(lists), peak_rss(server));
        let lists = lists?;
        sent += by_wire.iter().sum::<usize>() + lists.len();
        unread.extend(lists);
        rss = rss.max(peak?);
    }
    Ok((rss, sent))
}

/// The frames of a burst whose first message has this number; harmless ones where there is nothing to write.
fn frames(worst: &[String], burst: &Burst, first: usize) -> Vec<String> {
    let others = burst.deletions + burst.histories + burst.snapshots;
    if worst.is_empty() {
        let (asks, pings) = (std::iter::repeat_n(ASK, burst.chats), std::iter::repeat_n(PING, others));
        return asks.chain(pings).map(str::to_owned).collect();
    }
    let chats = (first..first + burst.chats).map(|number| {
        let thread = if number.is_multiple_of(5) { "kept".to_owned() } else { format!("t{number}") };
        let content = &worst[number % worst.len()];
        json!({ "type": "chat", "thread_id": thread, "content": content }).to_string()
    });
    // Of the first turn there is nothing to delete yet.
    let gone = (first..first + burst.deletions).map(|number| number as i64 - CHATS as i64);
    let deletions =
        gone.map(|number| json!({ "type": "delete_thread", "thread_id": format!("t{number}") }).to_string());
    let reads = std::iter::repeat_n(HISTORY, burst.histories);
    let reads = reads.chain(std::iter::repeat_n(SNAPSHOT, burst.snapshots)).map(str::to_owned);
    chats.chain(deletions).chain(reads).collect()
}

/// Sends the frames that the server still takes; how many those were.
async fn send(wire: &mut Wire, frames: impl Iterator<Item = &String>) -> usize {
    let mut sent = 0;
    let all = async {
        for frame in frames {
            if wire.send(frame).await.is_err() {
                break;
            }
            sent += 1;
        }
    };
    // A server may read no more of one who takes nothing.
    let _ = timeout(PATIENCE, all).await;
    sent
}

/// Asks for the user's threads over HTTP, and takes the answer or leaves it.
async fn list(server: &Process, token: &str, takes: bool) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(server.address.parse()?).await?;
    let request = format!(
        "GET /api/threads?limit=100 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await?;
    if takes {
        stream.read_to_end(&mut Vec::new()).await?;
    }
    Ok(stream)
}

/// The most memory of the server for the next 900 ms, in KiB.
async fn peak_rss(server: &Process) -> Result<f64> {
    let mut most = 0.0f64;
    for _ in 0..9 {
        sleep(Duration::from_millis(100)).await;
        most = most.max(server.rss_kib()?);
    }
    Ok(most)
}
