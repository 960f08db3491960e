//! What is done to the times and the sizes of bytes.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use wireproof_faultproxy::{Direction, Fault, Phase, Toxic, Trigger};

use super::{Ends, Site, WAIT, is_silent, read, read_out, write};

#[tokio::test]
async fn an_idle_proxy_passes_everything_both_ways_and_its_journal_stays_empty() {
    let site = Site::start(1).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    let long: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
    let (sent, got) = tokio::join!(client.write_all(&long), read(&mut server, long.len()));
    sent.unwrap();
    assert!(got == long);
    write(&mut server, b"and back").await;
    assert_eq!(read(&mut client, 8).await, b"and back");
    // A half-close is passed on, and the other half goes on.
    client.shutdown().await.unwrap();
    assert_eq!(read_out(&mut server).await.0, b"");
    write(&mut server, b"still").await;
    drop(server);
    let (rest, ended) = read_out(&mut client).await;
    assert!(rest == b"still" && ended.is_ok());
    assert_eq!(site.end_of(1).await, wireproof_faultproxy::End::Closed);
    let seen = &site.proxy.connections()[0];
    let heads = (super::REQUEST.len() + 300_000, super::ANSWER.len() + 8 + 5);
    assert_eq!((seen.bytes_to_server as usize, seen.bytes_to_client as usize), heads);
    assert_eq!(site.proxy.journal(), []);
}

#[tokio::test]
async fn latency_delays_one_direction_and_not_the_other() {
    let site = Site::with(Toxic::to_server(Fault::Latency { ms: 80, jitter_ms: 20 })).await;
    let Ends { mut client, mut server } = site.connect().await;
    let began = Instant::now();
    for piece in [b"one ", b"two ", b"tri "] {
        write(&mut client, piece).await;
    }
    assert_eq!(read(&mut server, 12).await, b"one two tri ");
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    // Ten answers one after the other would take 800 ms if they were delayed, too.
    let began = Instant::now();
    for _ in 0..10 {
        write(&mut server, b"x").await;
        read(&mut client, 1).await;
    }
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    let journal = site.proxy.journal();
    assert_eq!((journal.len(), journal[0].what.as_str(), journal[0].phase), (1, "latency", Phase::Began));
    assert_eq!(journal[0].direction, Some(Direction::ToServer));
}

#[tokio::test]
async fn a_toxic_that_is_added_and_taken_away_changes_open_connections() {
    let site = Site::start(1).await;
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut client, b"before").await;
    read(&mut server, 6).await;
    let number = site.proxy.add(Toxic::to_server(Fault::Latency { ms: 60, jitter_ms: 0 }));
    // Only once it is in force here: the connection's own task takes it in.
    assert_eq!(site.journal(1).await[0].offset, 6);
    let began = Instant::now();
    write(&mut client, b"during").await;
    read(&mut server, 6).await;
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert!(site.proxy.remove(number) && !site.proxy.remove(number));
    let journal = site.journal(2).await;
    assert_eq!((journal[1].phase, journal[1].offset, journal[1].bytes), (Phase::Ended, 12, 6));
}

#[tokio::test]
async fn bandwidth_holds_the_sender_back() {
    let site = Site::with(Toxic::to_client(Fault::Bandwidth { bytes_per_second: 40_000 })).await;
    let Ends { mut client, mut server } = site.connect().await;
    let began = Instant::now();
    write(&mut server, &[7; 20_000]).await;
    assert_eq!(read(&mut client, 20_000).await, [7; 20_000]);
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
}

#[tokio::test]
async fn slices_arrive_as_single_bytes() {
    let site = Site::with(Toxic::to_server(Fault::Slice { bytes: 1, pause_ms: 20 })).await;
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut client, b"twenty-four single bytes").await;
    let (mut reads, mut got) = (Vec::new(), Vec::<u8>::new());
    while got.len() < 24 {
        let mut piece = [0; 64];
        let length = timeout(WAIT, server.read(&mut piece)).await.unwrap().unwrap();
        reads.push(length);
        got.extend(&piece[..length]);
    }
    assert_eq!(got, b"twenty-four single bytes");
    // A machine that pauses may see two at once; without slices all come in one read.
    assert!(reads.iter().filter(|length| **length == 1).count() >= 12, "{reads:?}");
}

#[tokio::test]
async fn coalescing_holds_until_there_are_enough_or_the_time_is_up() {
    let site = Site::with(Toxic::to_server(Fault::Coalesce { bytes: 10, within_ms: 60_000 })).await;
    let Ends { mut client, mut server } = site.connect().await;
    for piece in [&b"abc"[..], b"def", b"ghij"] {
        write(&mut client, piece).await;
    }
    let mut piece = [0; 64];
    let length = timeout(WAIT, server.read(&mut piece)).await.unwrap().unwrap();
    assert_eq!(&piece[..length], b"abcdefghij");
    site.proxy.set([Toxic::to_server(Fault::Coalesce { bytes: 1000, within_ms: 70 })]);
    site.journal(3).await;
    let began = Instant::now();
    write(&mut client, b"few").await;
    assert_eq!(read(&mut server, 3).await, b"few");
    assert!(began.elapsed() >= Duration::from_millis(70));
}

#[tokio::test]
async fn a_stall_stops_one_side_until_it_is_taken_away() {
    let stall = Toxic::to_server(Fault::Stall { for_ms: None }).when(Trigger::AfterBytes(5));
    let site = Site::with(stall).await;
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut client, b"heardnot heard").await;
    assert_eq!(read(&mut server, 5).await, b"heard");
    for _ in 0..20 {
        write(&mut server, b"goes on").await;
        read(&mut client, 7).await;
    }
    assert!(is_silent(&server));
    site.proxy.clear();
    assert_eq!(read(&mut server, 9).await, b"not heard");
}

#[tokio::test]
async fn a_stall_for_a_time_ends_by_itself() {
    let site =
        Site::with(Toxic::to_server(Fault::Stall { for_ms: Some(150) }).when(Trigger::AfterBytes(1))).await;
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut client, b"abc").await;
    let began = Instant::now();
    assert_eq!(read(&mut server, 3).await, b"abc");
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
}

/// Memory stays bounded: what the receiver does not take, the sender cannot send.
#[tokio::test]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    for toxics in [vec![], vec![Toxic::new(Fault::Latency { ms: 1, jitter_ms: 0 })]] {
        let site = Site::start(1).await;
        site.proxy.set(toxics);
        let Ends { mut client, mut server } = site.connect().await;
        let (piece, mut sent) = (vec![1; 64 << 10], 0usize);
        while let Ok(written) = timeout(Duration::from_millis(300), client.write(&piece)).await {
            sent += written.unwrap();
            // The kernel holds some megabytes for each of the four socket ends.
            assert!(sent < 64 << 20, "the proxy took all of it");
        }
        drop(client);
        assert_eq!(read_out(&mut server).await.0.len(), sent);
    }
}
