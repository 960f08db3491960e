//! Starting and stopping a server leaves nothing behind: no thread, no port, no file.

use std::{
    collections::HashSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use wireproof_testkit::TestServer;

/// What this process holds.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Held {
    threads: usize,
    files: usize,
    listening: usize,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        // Reading the folder of open files is an open file itself, in each count alike.
        Self { threads: count("/proc/self/task"), files: count("/proc/self/fd"), listening: listening() }
    }

    fn is_at_most(self, other: Self) -> bool {
        self.threads <= other.threads && self.files <= other.files && self.listening <= other.listening
    }
}

/// The sockets of this process that listen.
fn listening() -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let own: HashSet<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listens = |fields: &Vec<&str>| fields[3] == "0A" && own.contains(&format!("socket:[{}]", fields[9]));
    fields.filter(listens).count()
}

/// One life of a server with a run in it: how long the start and the stop took, and where it kept its files.
async fn live(drains: bool) -> (Duration, Duration, PathBuf) {
    let began = Instant::now();
    let mut server = TestServer::start().await;
    let started = began.elapsed();
    let folder = server.data_dir().to_owned();
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
    let began = Instant::now();
    if drains {
        server.shutdown().await;
    }
    drop(server);
    (started, began.elapsed(), folder)
}

async fn until_at_most(before: Held, what: &str) {
    // The runtime keeps threads for blocking work for ten seconds after the last of it.
    let deadline = Instant::now() + Duration::from_secs(40);
    while !Held::now().is_at_most(before) {
        assert!(Instant::now() < deadline, "{what}: {before:?} before and {:?} after", Held::now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn quantiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort();
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

#[tokio::test]
async fn heavy_a_hundred_starts_and_stops_leave_no_thread_port_or_file() {
    for drains in [true, false] {
        for _ in 0..5 {
            live(drains).await;
        }
    }
    // Until what the warm-up needed for a moment has gone, so that nothing hides behind it.
    let mut before = Held::now();
    let settled = Instant::now() + Duration::from_secs(12);
    while Instant::now() < settled {
        tokio::time::sleep(Duration::from_millis(50)).await;
        before = Held::now();
    }
    assert_eq!(before.listening, 0);
    for (drains, what) in [(true, "shut down"), (false, "dropped")] {
        let (mut starts, mut stops, mut folders) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..100 {
            let (start, stop, folder) = live(drains).await;
            starts.push(start);
            stops.push(stop);
            folders.push(folder);
        }
        until_at_most(before, what).await;
        assert!(folders.iter().all(|folder| !folder.exists()), "{what}: a folder is left");
        let ([start50, start99], [stop50, stop99]) = (quantiles(starts), quantiles(stops));
        println!(
            "100 {what}: start p50 {start50:?} p99 {start99:?}, stop p50 {stop50:?} p99 {stop99:?}, {before:?} before, {:?} after",
            Held::now()
        );
    }
}

/// The count can rise: a server that lives holds threads, files and one listening socket.
#[tokio::test]
async fn what_a_living_server_holds_is_counted() {
    let before = Held::now();
    let mut server = TestServer::start().await;
    let living = Held::now();
    assert!(living.threads > before.threads && living.files > before.files, "{before:?} {living:?}");
    assert_eq!(living.listening, before.listening + 1);
    server.shutdown().await;
}
