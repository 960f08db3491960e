//! How connections are ended and silenced, and what both ends see of it.

use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};
use wireproof_faultproxy::{Afterwards, Connections, Cut, End, Fault, FaultProxy, Phase, Toxic, Trigger};

use super::{Ends, Site, WAIT, is_reset, is_silent, read, read_out, write};

#[tokio::test]
async fn a_limit_of_bytes_ends_the_connection_at_just_that_byte() {
    for (cut, after) in [(Cut::Reset, 7), (Cut::Fin, 7), (Cut::Reset, 1), (Cut::Fin, 0)] {
        let site = Site::with(Toxic::to_client(Fault::Cut(cut)).when(Trigger::AfterBytes(after))).await;
        let Ends { mut client, mut server } = site.connect().await;
        // With nothing to wait for, the cut may come first.
        let _ = server.write_all(b"0123456789").await;
        let (got, ended) = read_out(&mut client).await;
        assert_eq!(got, b"0123456789"[..after as usize]);
        let (_, at_server) = read_out(&mut server).await;
        assert_eq!(
            (is_reset(&ended), is_reset(&at_server)),
            (cut == Cut::Reset, cut == Cut::Reset),
            "{cut:?}"
        );
        let journal = site.journal(1).await;
        assert_eq!((journal.len(), journal[0].what.as_str(), journal[0].offset), (1, "cut", after));
        let end = if cut == Cut::Reset { End::CutReset } else { End::CutFin };
        assert_eq!(site.end_of(1).await, end);
    }
}

#[tokio::test]
async fn a_cut_on_order_hits_the_connection_it_names_or_all() {
    let site = Site::start(1).await;
    let (mut first, mut second, mut third) =
        (site.connect().await, site.connect().await, site.connect().await);
    assert!(site.proxy.cut(2, Cut::Reset));
    assert!(
        is_reset(&read_out(&mut second.client).await.1) && is_reset(&read_out(&mut second.server).await.1)
    );
    write(&mut first.client, b"on").await;
    read(&mut first.server, 2).await;
    assert_eq!(site.end_of(2).await, End::CutReset);
    assert_eq!(site.proxy.number_of(third.client.local_addr().unwrap()), Some(3));
    assert_eq!((site.proxy.cut(2, Cut::Fin), site.proxy.cut(9, Cut::Fin)), (false, false));
    assert_eq!(site.proxy.cut_all(Cut::Fin), 2);
    for end in [&mut first.client, &mut first.server, &mut third.client, &mut third.server] {
        let (rest, ended) = read_out(end).await;
        assert!(rest.is_empty() && ended.is_ok());
    }
    let done: Vec<_> =
        site.proxy.journal().iter().map(|entry| (entry.connection, entry.what.clone())).collect();
    let expected = [(2, "ordered_reset"), (1, "ordered_fin"), (3, "ordered_fin")];
    assert_eq!(done, expected.map(|(number, what)| (number, what.to_owned())));
}

#[tokio::test]
async fn what_lasts_until_a_cut_is_written_down_with_all_that_it_touched() {
    let site = Site::with(Toxic::to_client(Fault::Latency { ms: 1, jitter_ms: 0 })).await;
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut server, b"twelve bytes").await;
    read(&mut client, 12).await;
    site.proxy.cut(1, Cut::Reset);
    site.end_of(1).await;
    let ended = site.proxy.journal().pop().unwrap();
    assert_eq!((ended.what.as_str(), ended.phase, ended.bytes), ("latency", Phase::Ended, 12));
}

#[tokio::test]
async fn a_cut_by_time_needs_no_bytes() {
    let site = Site::with(Toxic::new(Fault::Cut(Cut::Reset)).when(Trigger::AfterMs(30))).await;
    let Ends { mut client, mut server } = site.connect().await;
    assert!(is_reset(&read_out(&mut client).await.1) && is_reset(&read_out(&mut server).await.1));
}

#[tokio::test]
async fn a_black_hole_is_silent_both_ways_and_then_goes_on() {
    let hole = Fault::BlackHole { for_ms: None, then: Afterwards::GoOn };
    let site = Site::with(Toxic::to_server(hole).when(Trigger::AfterBytes(3))).await;
    let (Ends { mut client, mut server }, mut other) = (site.connect().await, site.connect().await);
    write(&mut client, b"abcdef").await;
    assert_eq!(read(&mut server, 3).await, b"abc");
    assert_eq!(site.journal(1).await[0].phase, Phase::Began);
    write(&mut server, b"answer").await;
    // Others go on meanwhile, many times over.
    for _ in 0..50 {
        write(&mut other.server, b"x").await;
        read(&mut other.client, 1).await;
    }
    assert!(is_silent(&client) && is_silent(&server));
    site.proxy.clear();
    assert_eq!(read(&mut server, 3).await, b"def");
    assert_eq!(read(&mut client, 6).await, b"answer");
}

#[tokio::test]
async fn a_black_hole_ends_by_itself_as_it_was_told_to() {
    for (then, reset) in [(Afterwards::Reset, true), (Afterwards::Fin, false), (Afterwards::GoOn, false)] {
        let hole = Fault::BlackHole { for_ms: Some(40), then };
        let site = Site::with(Toxic::to_server(hole).when(Trigger::AfterBytes(2))).await;
        let Ends { mut client, mut server } = site.connect().await;
        write(&mut client, b"abcd").await;
        if then == Afterwards::GoOn {
            assert_eq!(read(&mut server, 4).await, b"abcd");
        } else {
            assert_eq!(is_reset(&read_out(&mut client).await.1), reset);
            let (got, ended) = read_out(&mut server).await;
            assert_eq!((got.as_slice(), is_reset(&ended)), (&b"ab"[..], reset));
        }
        let phases: Vec<Phase> = site.journal(2).await.iter().map(|entry| entry.phase).collect();
        assert_eq!(phases, [Phase::Began, Phase::Ended]);
    }
}

#[tokio::test]
async fn a_black_hole_on_order_can_still_be_cut() {
    let site = Site::start(1).await;
    let Ends { mut client, mut server } = site.connect().await;
    assert!(site.proxy.cut(1, Cut::BlackHole));
    write(&mut client, b"into the hole").await;
    assert!(site.proxy.cut(1, Cut::Reset));
    let (got, ended) = read_out(&mut server).await;
    assert!(got.is_empty() && is_reset(&ended) && is_reset(&read_out(&mut client).await.1));
}

#[tokio::test]
async fn accepted_then_closed_connections_never_reach_the_server() {
    let site = Site::start(1).await;
    for (cut, reset) in [(Cut::Fin, false), (Cut::Reset, true)] {
        site.proxy.add(Toxic::new(Fault::AcceptThenClose(cut)).on_next());
        let (got, ended) = read_out(&mut site.dial().await).await;
        assert_eq!((got.len(), is_reset(&ended)), (0, reset));
    }
    // The first that the server hears of is the third.
    let Ends { mut client, mut server } = site.connect().await;
    write(&mut client, b"third").await;
    assert_eq!(read(&mut server, 5).await, b"third");
    assert_eq!(site.proxy.journal().len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_and_the_client_is_reset() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let site = Site { proxy: FaultProxy::start(closed, 1).await.unwrap(), ..Site::start(1).await };
    assert!(is_reset(&read_out(&mut site.dial().await).await.1));
    let entry = &site.journal(1).await[0];
    assert_eq!((entry.what.as_str(), entry.connection), ("upstream_unreachable", 1));
    assert!(entry.detail.as_ref().unwrap().contains(&closed.to_string()), "{entry:?}");
    assert_eq!(site.end_of(1).await, End::Unreachable);
}

#[tokio::test]
async fn a_reset_of_one_peer_reaches_the_other_as_a_reset() {
    let site = Site::start(1).await;
    let Ends { client, mut server } = site.connect().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(is_reset(&read_out(&mut server).await.1));
    assert_eq!((site.end_of(1).await, site.proxy.journal()), (End::Broken, vec![]));
}

/// What the journal of forty connections says, each of which may be hit, under this seed.
async fn decisions(seed: u64) -> Vec<wireproof_faultproxy::Entry> {
    let site = Site::start(seed).await;
    site.proxy.set([
        Toxic::to_client(Fault::Cut(Cut::Reset)).when(Trigger::AfterBytes(10)).share(0.5),
        Toxic::to_client(Fault::Cut(Cut::Fin))
            .when(Trigger::AfterBytes(20))
            .on(Connections::Range { first: 10, last: 30 }),
    ]);
    for number in 1..=40 {
        let Ends { mut client, mut server } = site.connect().await;
        write(&mut server, &[5; 25]).await;
        drop(server);
        let got = read_out(&mut client).await.0.len();
        drop(client);
        site.end_of(number).await;
        let range = (10..=30).contains(&number);
        assert!(got == 10 || got == if range { 20 } else { 25 }, "{number}: {got}");
    }
    site.proxy.journal().iter().map(|entry| entry.decision()).collect()
}

#[tokio::test]
async fn the_same_seed_decides_the_same_and_another_one_does_not() {
    let (first, again, other) = (decisions(11).await, decisions(11).await, decisions(12).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!((21..40).contains(&first.len()), "{} of 40 were hit", first.len());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let site = Site::start(1).await;
    for (toxic, field) in [
        (Toxic::new(Fault::Slice { bytes: 0, pause_ms: 0 }), "fault.slice.bytes"),
        (Toxic::new(Fault::Bandwidth { bytes_per_second: 0 }), "fault.bandwidth.bytes_per_second"),
        (Toxic::new(Fault::Drop).share(1.5), "share"),
        (Toxic::new(Fault::Drop).times(0), "times"),
        (Toxic::new(Fault::Drop).when(Trigger::AtMessage(0)), "when"),
        (Toxic::new(Fault::Fragment { frames: 0 }), "fault.fragment.frames"),
        (Toxic::new(Fault::AcceptThenClose(Cut::Fin)).when(Trigger::AfterBytes(1)), "when"),
        (Toxic::new(Fault::Drop).on(Connections::Range { first: 2, last: 1 }), "connections.range"),
    ] {
        assert_eq!(site.proxy.try_add(toxic).unwrap_err().field, field);
    }
    assert_eq!(site.proxy.toxics(), []);
    assert!(timeout(WAIT, site.connect()).await.is_ok());
}
