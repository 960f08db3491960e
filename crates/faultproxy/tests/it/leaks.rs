//! Proxies that come and go leave nothing behind: no socket, no port, no task.

use std::{net::TcpListener, time::Duration};

use tokio::time::{Instant, sleep};
use wireproof_faultproxy::{Afterwards, Fault, Toxic};

use super::{Site, WAIT, read, write};

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_hundred_proxies_leave_no_file_no_port_and_no_task() {
    // The first one may make the runtime open something for good.
    drop(Site::start(0).await.connect().await);
    settle(usize::MAX, 0).await;
    let (files_before, tasks_before) = (files(), tasks());
    let mut ports = Vec::new();
    for seed in 0..100 {
        let site = Site::start(seed).await;
        site.proxy.set([
            Toxic::new(Fault::Latency { ms: 1, jitter_ms: 1 }).share(0.5),
            Toxic::new(Fault::BlackHole { for_ms: None, then: Afterwards::GoOn }).share(0.2),
        ]);
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut ends = site.connect().await;
            write(&mut ends.client, b"hello").await;
            open.push(ends);
        }
        assert!(
            files() >= files_before + 4 * 4 + 2,
            "two sockets at each end of each connection, two listeners"
        );
        ports.push(site.proxy.address());
        if seed % 2 == 0 {
            site.proxy.stop().await;
        }
    }
    settle(files_before, tasks_before).await;
    for port in ports {
        TcpListener::bind(port).unwrap_or_else(|error| panic!("{port} is still taken: {error}"));
    }
}

/// Waits until there are no more files and tasks than these; a dropped task is gone when the runtime has run.
async fn settle(most_files: usize, most_tasks: usize) {
    let deadline = Instant::now() + WAIT;
    while files() > most_files || tasks() > most_tasks {
        assert!(
            Instant::now() < deadline,
            "{} files and {} tasks are left, {most_files} and {most_tasks} were there before",
            files(),
            tasks()
        );
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn stopping_returns_when_all_is_over() {
    let site = Site::start(1).await;
    let mut ends = site.connect().await;
    write(&mut ends.client, b"hello").await;
    read(&mut ends.server, 5).await;
    let address = site.proxy.address();
    site.proxy.stop().await;
    TcpListener::bind(address).unwrap();
    assert_eq!(super::read_out(&mut ends.client).await.0, b"");
    assert_eq!(super::read_out(&mut ends.server).await.0, b"");
}
