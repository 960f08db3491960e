//! What is done to the frames and messages of a WebSocket.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;
use wireproof_client::Connect;
use wireproof_faultproxy::{
    Cut, Direction, Fault, FaultProxy, Toxic, Trigger,
    wire::{CLOSE, FIN, PING, PONG, RawFrame, TEXT, Wire, handshake, masked, strict::Strict, unmasked},
};
use wireproof_testkit::{TestClient, TestServer};

use super::{Ends, Site, WAIT, is_reset, read, read_out, write};

/// The frames that the bytes are; panics when they are not frames all through.
fn frames(mut bytes: &[u8]) -> Vec<RawFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, length) = RawFrame::parse(bytes).unwrap().expect("a whole frame");
        frames.push(frame);
        bytes = &bytes[length..];
    }
    frames
}

/// What the client gets of what the server says, with this toxic in between, until the server closes.
async fn heard(toxic: Toxic, said: &[u8]) -> (Vec<u8>, bool, Site) {
    let site = Site::with(toxic).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    write(&mut server, said).await;
    drop(server);
    let (got, ended) = read_out(&mut client).await;
    (got, is_reset(&ended), site)
}

fn said(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| unmasked(FIN | TEXT, text.as_bytes())).collect()
}

#[tokio::test]
async fn a_fragmented_message_arrives_as_so_many_frames_and_reads_the_same() {
    let text = "a message of more than a few bytes";
    let (got, _, site) = heard(Toxic::to_client(Fault::Fragment { frames: 5 }), &said(&[text, text])).await;
    let frames = frames(&got);
    for message in frames.chunks(5) {
        let shape: Vec<(u8, bool)> = message.iter().map(|frame| (frame.opcode, frame.fin)).collect();
        assert_eq!(shape, [(TEXT, false), (0, false), (0, false), (0, false), (0, true)]);
        let whole: Vec<u8> = message.iter().flat_map(|frame| frame.payload.clone()).collect();
        assert_eq!(whole, text.as_bytes());
    }
    let journal = site.proxy.journal();
    let messages: Vec<_> = journal.iter().map(|entry| (entry.message, entry.altered)).collect();
    assert_eq!((frames.len(), messages), (10, vec![(Some(1), false), (Some(2), false)]));
}

#[tokio::test]
async fn fragments_on_the_way_to_a_server_stay_masked() {
    let site = Site::with(Toxic::to_server(Fault::Fragment { frames: 3 })).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    write(&mut client, &masked(FIN | TEXT, "größer".as_bytes())).await;
    drop(client);
    let frames = frames(&read_out(&mut server).await.0);
    assert!(frames.len() == 3 && frames.iter().all(|frame| frame.mask.is_some()), "{frames:?}");
    let whole: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.clone()).collect();
    assert_eq!(whole, "größer".as_bytes());
}

#[tokio::test]
async fn a_cut_in_a_header_leaves_a_piece_of_it() {
    let cut = Toxic::to_client(Fault::CutInHeader(Cut::Reset)).when(Trigger::AtMessage(2));
    let (first, long) = (said(&["first"]), "l".repeat(300));
    let (got, reset, site) = heard(cut, &[&first[..], &said(&[&long])].concat()).await;
    let rest = got.strip_prefix(&first[..]).expect("the first message is whole");
    assert!(reset && (1..4).contains(&rest.len()), "{} bytes of a header of 4", rest.len());
    let entry = &site.proxy.journal()[0];
    assert_eq!((entry.what.as_str(), entry.message), ("cut_in_header", Some(2)));
    assert_eq!(entry.offset as usize, super::ANSWER.len() + got.len());
}

#[tokio::test]
async fn a_cut_in_a_character_leaves_what_is_no_utf8() {
    let (got, reset, _) =
        heard(Toxic::to_client(Fault::CutInCharacter(Cut::Fin)), &said(&["plain", "zwölf 🦀 Boxkämpfer"]))
            .await;
    let text = &got[said(&["plain"]).len() + 2..];
    assert!(!reset && !text.is_empty() && text.len() < "zwölf 🦀 Boxkämpfer".len());
    let broken = std::str::from_utf8(text).unwrap_err();
    assert_eq!(broken.error_len(), None, "it ends inside of a character");
}

#[tokio::test]
async fn pings_flood_one_side_and_their_answers_do_not_reach_the_other() {
    let site = Site::with(Toxic::to_client(Fault::Pings { count: 50 }).when(Trigger::AfterMessage(1))).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    write(&mut server, &said(&["one", "two"])).await;
    let ping_size = 2 + 16;
    let got = frames(&read(&mut client, 5 + 50 * ping_size + 5).await);
    let kinds: Vec<u8> = got.iter().map(|frame| frame.opcode).collect();
    assert_eq!(kinds, [&[TEXT][..], &[PING; 50], &[TEXT]].concat());
    // The client answers each; and sends a pong of its own, which is none of the proxy's.
    for ping in &got[1..51] {
        write(&mut client, &masked(FIN | PONG, &ping.payload)).await;
    }
    write(&mut client, &masked(FIN | PONG, b"mine")).await;
    write(&mut client, &masked(FIN | TEXT, b"end")).await;
    drop(client);
    let at_server = frames(&read_out(&mut server).await.0);
    let seen: Vec<(u8, String)> = at_server.iter().map(|frame| (frame.opcode, frame.text())).collect();
    assert_eq!(seen, [(PONG, "mine".to_owned()), (TEXT, "end".to_owned())]);
}

#[tokio::test]
async fn pings_and_pongs_by_time_come_without_traffic() {
    for (fault, opcode) in [(Fault::Pings { count: 3 }, PING), (Fault::Pongs { count: 3 }, PONG)] {
        let site = Site::with(Toxic::to_server(fault).when(Trigger::AfterMs(20))).await;
        let Ends { client: _client, mut server } = site.upgraded().await;
        let size = 2 + 4 + if opcode == PING { 16 } else { 8 };
        let got = frames(&read(&mut server, 3 * size).await);
        assert!(got.iter().all(|frame| frame.opcode == opcode && frame.mask.is_some()), "{got:?}");
    }
}

#[tokio::test]
async fn a_close_without_a_code_is_the_last_thing_heard() {
    let close = Toxic::to_client(Fault::CloseWithoutCode).when(Trigger::AtText("two".into()));
    let (got, _, _) = heard(close, &said(&["one", "two", "three"])).await;
    let got = frames(&got);
    assert_eq!((got.len(), got[1].opcode, got[1].payload.len()), (2, CLOSE, 0));
}

#[tokio::test]
async fn a_delayed_message_holds_up_those_behind_it_and_none_before() {
    let delay = Toxic::to_client(Fault::DelayMessage { ms: 90 }).when(Trigger::AtText("two".into()));
    let site = Site::with(delay).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    let began = std::time::Instant::now();
    write(&mut server, &said(&["one", "two", "three"])).await;
    assert_eq!(frames(&read(&mut client, 5).await)[0].text(), "one");
    assert_eq!(read(&mut client, 5 + 7).await, said(&["two", "three"]));
    assert!(began.elapsed().as_millis() >= 90);
}

/// A client of a real server through a proxy.
async fn through(proxy: &FaultProxy, server: &TestServer) -> TestClient {
    let connect = Connect::to(proxy.url("/ws")).token(server.user("ada").token());
    let client = TestClient::open(connect).await.unwrap().named("ada");
    client.expect("connection_established").await;
    client
}

#[tokio::test]
async fn what_the_proxy_drops_doubles_or_swaps_is_noticed_and_is_its_own_doing() {
    let server = TestServer::start().await;
    for fault in [Fault::Drop, Fault::Double, Fault::Swap] {
        let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
        let ada = through(&proxy, &server).await;
        ada.chat("What is 2+2?").await;
        ada.expect("agent_completed").await;
        ada.assert_exactly_once();
        let hit = Trigger::AtText(r#""type":"tool_executing""#.into());
        proxy.add(Toxic::to_client(fault.clone()).when(hit));
        ada.chat("What is 17*23?").await;
        ada.expect("agent_completed").await;
        let noticed = catch_unwind(AssertUnwindSafe(|| ada.assert_exactly_once())).unwrap_err();
        let words = noticed.downcast_ref::<String>().unwrap();
        assert!(words.contains("seq") && words.contains("comes next"), "{words}");
        let journal = proxy.journal();
        assert!(journal.len() == 1 && journal[0].altered && journal[0].what == fault.name(), "{journal:?}");
    }
}

#[tokio::test]
async fn cuts_are_right_behind_and_right_before_what_they_name() {
    let server = TestServer::start().await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    let named = |kind: &str| format!(r#""type":"{kind}""#);
    for (when, last) in [
        (Trigger::AfterText(named("agent_started")), "agent_started"),
        (Trigger::AfterText(named("tool_executing")), "tool_executing"),
        (Trigger::AtText(named("tool_completed")), "tool_executing"),
    ] {
        proxy.add(Toxic::to_client(Fault::Cut(Cut::Reset)).when(when).on_next());
        let mut ada = through(&proxy, &server).await;
        ada.send(json!({ "type": "chat", "content": "What is 17*23?" })).await;
        ada.expect_closed().await;
        assert_eq!(ada.frames().last().unwrap().kind(), last);
        ada.resume().await;
        ada.expect("agent_completed").await;
        ada.assert_exactly_once();
    }
    proxy.add(
        Toxic::to_client(Fault::Cut(Cut::Fin)).when(Trigger::AtText(named("agent_completed"))).on_next(),
    );
    let ada = through(&proxy, &server).await;
    ada.send(json!({ "type": "chat", "content": "What is 17*23?" })).await;
    ada.expect_closed().await;
    assert!(ada.events().iter().all(|event| event.body.name() != "agent_completed"));
}

#[tokio::test]
async fn a_real_server_bears_pings_pongs_and_fragments() {
    let server = TestServer::start().await;
    let proxy = FaultProxy::start(server.address(), 1).await.unwrap();
    proxy.set([
        Toxic::new(Fault::Fragment { frames: 4 }),
        Toxic::to_server(Fault::Pings { count: 20 }).when(Trigger::AfterMessage(1)),
        Toxic::to_server(Fault::Pongs { count: 20 }).when(Trigger::AfterMessage(1)),
    ]);
    let mut wire = Wire::dial(proxy.address(), WAIT).await.unwrap();
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    wire.write(handshake("/ws", &[&token]).as_bytes()).await.unwrap();
    assert_eq!(wire.head().await.unwrap().status, 101);
    let mut strict = Strict::new();
    let welcome = wire.frame().await.unwrap().expect("a welcome");
    strict.frame(&welcome).unwrap();
    assert!(welcome.text().contains("connection_established"), "{welcome:?}");
    for number in 0..5 {
        let ping = json!({ "type": "ping", "id": format!("p{number}") }).to_string();
        wire.write(&masked(FIN | TEXT, ping.as_bytes())).await.unwrap();
    }
    let mut text = String::new();
    while !text.contains("p4") {
        let frame = wire.frame().await.unwrap().expect("the connection stands");
        strict.frame(&frame).unwrap_or_else(|violation| panic!("{violation}: {frame:?}"));
        assert_ne!(frame.opcode, PONG, "an answer to the proxy's own ping");
        text += &frame.text();
    }
    let swallowed =
        proxy.journal().iter().filter(|entry| entry.direction == Some(Direction::ToServer)).count();
    assert_eq!(swallowed, 5 + 2, "five fragmented messages, the pings, the pongs");
}

#[tokio::test]
async fn control_frames_inside_of_a_held_message_pass_it() {
    let bytes = [
        unmasked(TEXT, b"dro"),
        unmasked(FIN | PING, b"hello"),
        unmasked(FIN, b"pped"),
        unmasked(FIN | TEXT, b"kept"),
    ];
    let (got, _, _) =
        heard(Toxic::to_client(Fault::Drop).when(Trigger::AtText("dropped".into())), &bytes.concat()).await;
    let got: Vec<String> = frames(&got).iter().map(RawFrame::text).collect();
    assert_eq!(got, ["hello", "kept"]);
}

/// Bounded memory: what is too large to be held goes through untouched, and the journal does not keep silent about it.
#[tokio::test]
async fn a_message_too_large_to_hold_passes_and_the_next_one_is_looked_at_again() {
    let large = "x".repeat(17 << 20);
    let drop = Toxic::to_client(Fault::Drop).when(Trigger::AtText("x".into()));
    let site = Site::with(drop).await;
    let Ends { mut client, mut server } = site.upgraded().await;
    let bytes = said(&[&large, "x", "kept"]);
    let (_, got) = tokio::join!(
        async {
            write(&mut server, &bytes).await;
            std::mem::drop(server);
        },
        read_out(&mut client)
    );
    let whole = said(&[&large, "kept"]);
    assert!(got.0 == whole, "{} bytes in place of {}", got.0.len(), whole.len());
    let journal: Vec<_> =
        site.proxy.journal().into_iter().map(|entry| (entry.what, entry.message.unwrap_or(0))).collect();
    assert_eq!(journal, [("too_large_to_hold".to_owned(), 1), ("drop".to_owned(), 2)]);
}
