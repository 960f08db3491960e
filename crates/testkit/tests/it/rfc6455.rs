//! The protocol below the frames: what RFC 6455 forbids, and handshakes that are none.

use serde_json::json;
use wireproof_server::Config;
use wireproof_testkit::TestServer;

use crate::acting::{acting, thinking};
use crate::wire::{BINARY, CLOSE, FIN, PING, PONG, TEXT, Wire, handshake, masked, unmasked};

/// Sends bytes on an open WebSocket and gives the code of the close that comes.
async fn closed_after(server: &TestServer, bytes: &[u8]) -> Option<u16> {
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    wire.write(bytes).await;
    wire.close_code().await
}

const PING_FRAME: &str = r#"{"type":"ping","id":"p"}"#;

#[tokio::test]
async fn what_the_standard_forbids_is_closed_with_its_code() {
    let server = TestServer::start().await;
    let large_control = masked(FIN | PING, &[b'x'; 126]);
    let overlong = [vec![FIN | TEXT, 0x80 | 127], (1u64 << 63).to_be_bytes().to_vec(), vec![0; 4]].concat();
    let started = masked(TEXT, b"{\"type\":");
    let cases: [(&str, Vec<u8>, u16); 20] = [
        ("binary", masked(FIN | BINARY, b"\x00\x01"), 1003),
        ("empty binary", masked(FIN | BINARY, b""), 1003),
        ("invalid UTF-8", masked(FIN | TEXT, b"{\"type\":\"\xff\"}"), 1007),
        ("a cut off UTF-8 letter", masked(FIN | TEXT, b"\xc3"), 1007),
        ("a surrogate in UTF-8", masked(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("an overlong UTF-8 slash", masked(FIN | TEXT, b"\xc0\xaf"), 1007),
        ("no mask", unmasked(FIN | TEXT, PING_FRAME.as_bytes()), 1002),
        ("no mask on a ping", unmasked(FIN | PING, b""), 1002),
        ("reserved data opcode", masked(FIN | 0x3, b""), 1002),
        ("reserved control opcode", masked(FIN | 0xb, b""), 1002),
        ("reserved bit 1 without an extension", masked(FIN | 0x40 | TEXT, PING_FRAME.as_bytes()), 1002),
        ("reserved bit 2", masked(FIN | 0x20 | TEXT, PING_FRAME.as_bytes()), 1002),
        ("reserved bit 3", masked(FIN | 0x10 | TEXT, PING_FRAME.as_bytes()), 1002),
        ("a fragmented ping", masked(PING, b""), 1002),
        ("a large ping", large_control, 1002),
        ("a continuation of nothing", masked(FIN, b"x"), 1002),
        ("a text inside a text", [started.clone(), masked(FIN | TEXT, b"{}")].concat(), 1002),
        ("a length with its top bit set", overlong, 1009),
        ("a close with one byte", masked(FIN | CLOSE, b"x"), 1002),
        ("a close with a bad code", masked(FIN | CLOSE, &999u16.to_be_bytes()), 1002),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(closed_after(&server, &bytes).await, Some(code), "{name}");
    }
    server.until("every connection is gone", |server| server.connections() == 0).await;
    server.user("ada").connect().await.barrier().await;
}

#[tokio::test]
async fn what_the_standard_allows_works() {
    let server = TestServer::start().await;
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    let text = PING_FRAME.as_bytes();
    // In fragments of one byte, with a ping in between; then all bytes at once with a second frame behind.
    for (index, byte) in text.iter().enumerate() {
        let opcode = if index == 0 { TEXT } else { 0 };
        let fin = if index + 1 == text.len() { FIN } else { 0 };
        wire.write(&masked(fin | opcode, &[*byte])).await;
        if index == 5 {
            wire.write(&masked(FIN | PING, b"hello")).await;
        }
    }
    let pong = wire.frame().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, b"hello".as_slice()));
    assert_eq!(wire.text_of_type("pong").await["id"], "p");
    wire.write(
        &[masked(FIN | TEXT, text), masked(FIN | PONG, b"unasked"), masked(FIN | TEXT, text)].concat(),
    )
    .await;
    for _ in 0..2 {
        assert_eq!(wire.text_of_type("pong").await["id"], "p");
    }
    for byte in masked(FIN | TEXT, text) {
        wire.write(&[byte]).await;
    }
    assert_eq!(wire.text_of_type("pong").await["id"], "p");
    wire.write(&masked(FIN | TEXT, b"")).await;
    assert_eq!(wire.text_of_type("error").await["error_code"], "invalid_json");
    for (payload, code) in [
        (vec![], None),
        (1000u16.to_be_bytes().to_vec(), Some(1000)),
        (4321u16.to_be_bytes().to_vec(), Some(4321)),
    ] {
        let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
        wire.write(&masked(FIN | CLOSE, &payload)).await;
        assert_eq!(wire.close_code().await, code, "the close comes back");
    }
}

/// Bug: a text with a ping or pong behind it in one segment ended the connection: the bytes of the control frame counted
/// twice, and what had come of the next message was less than nothing.
#[tokio::test]
async fn control_frames_may_come_in_one_segment_with_messages_in_any_order() {
    let server = TestServer::start_with(|config| {
        config.limits.message_bytes = 32 << 10;
        config.limits.message_hard_bytes = 32 << 10;
        config.limits.other_frames_per_minute = 0;
        config.limits.messages_per_minute = 0;
    })
    .await;
    let text = masked(FIN | TEXT, PING_FRAME.as_bytes());
    let (begin, end) = PING_FRAME.as_bytes().split_at(9);
    let (begin, end) = (masked(TEXT, begin), masked(FIN, end));
    let padded = |length: usize| masked(FIN | TEXT, format!("{PING_FRAME:length$}").as_bytes());
    let (ping, pong) = (masked(FIN | PING, b""), masked(FIN | PONG, b""));
    let large_pong = masked(FIN | PONG, &[7; 125]);
    let token = server.user("ada").token();
    let hello = masked(FIN | TEXT, json!({ "type": "authenticate", "token": token }).to_string().as_bytes());
    let (longest, long) = (padded(32 << 10), padded(3000));
    let segments = [
        ("a text and a ping", [&text[..], &ping].concat(), 1),
        ("a text and a pong", [&text[..], &pong].concat(), 1),
        ("a text and many pongs", [&text[..], &large_pong.repeat(50)].concat(), 1),
        ("a ping, a text, a pong", [&ping[..], &text, &large_pong].concat(), 1),
        ("texts and pings", [&text[..], &ping, &text, &text, &pong, &ping].concat(), 3),
        ("fragments with controls between", [&begin[..], &ping, &end, &pong].concat(), 1),
        ("a text, then a fragment and a ping", [&text[..], &begin, &ping, &large_pong].concat(), 1),
        ("the rest of that, and a pong", [&end[..], &pong].concat(), 1),
        ("the longest text and a ping", [&longest[..], &ping].concat(), 1),
        ("a long text and a pong", [&long[..], &large_pong].concat(), 1),
    ];
    let mut wire = Wire::dial(server.address()).await;
    wire.write(handshake("/ws", &[]).as_bytes()).await;
    assert_eq!(wire.head().await.status, 101);
    wire.write(&[hello.as_slice(), &pong, &large_pong].concat()).await;
    wire.text_of_type("connection_established").await;
    for (name, bytes, answers) in segments {
        wire.write(&bytes).await;
        for answer in 0..answers {
            let frame = wire.frame_but(&[PING, PONG]).await;
            let text = frame.unwrap_or_else(|| panic!("{name}: the connection ended")).text();
            assert!(text.contains(r#""pong""#), "{name}, answer {answer}: {text}");
        }
    }
    // In a segment of its own: nothing of what came before counts as a part of it.
    wire.write(&text).await;
    assert_eq!(wire.text_of_type("pong").await["id"], "p");
    // A close whose number may not be sent is told longer than it came.
    wire.write(&[text.as_slice(), &pong, &masked(FIN | CLOSE, &999u16.to_be_bytes())].concat()).await;
    assert_eq!(wire.close_code().await, Some(1002));
}

/// A frame over the hard limit is closed with 1009, and the close arrives although the client is still sending.
#[tokio::test]
async fn a_message_over_the_hard_limit_is_closed_with_1009_and_the_close_arrives() {
    let server = TestServer::start().await;
    let hard = server.config().limits.message_hard_bytes;
    for size in [hard + 1, 2 * hard, 4 * hard] {
        assert_eq!(
            closed_after(&server, &masked(FIN | TEXT, &vec![b' '; size])).await,
            Some(1009),
            "{size} bytes"
        );
    }
    // Announced and never sent; and piece by piece, each below the limit.
    assert_eq!(closed_after(&server, &masked(FIN | TEXT, &vec![b' '; 2 * hard])[..20]).await, Some(1009));
    let piece = vec![b' '; hard / 4];
    let mut pieces = masked(TEXT, &piece);
    for _ in 0..5 {
        pieces.extend(masked(0, &piece));
    }
    assert_eq!(closed_after(&server, &pieces).await, Some(1009));
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    wire.write(&masked(FIN | TEXT, &vec![b' '; hard])).await;
    assert_eq!(wire.text_of_type("error").await["error_code"], "message_too_large");
    wire.write(&masked(FIN | TEXT, PING_FRAME.as_bytes())).await;
    assert_eq!(wire.text_of_type("pong").await["id"], "p");
}

/// Sends the head of a request and gives the status of the answer.
async fn status_of(server: &TestServer, head: &str) -> u16 {
    let mut wire = Wire::dial(server.address()).await;
    wire.write(head.as_bytes()).await;
    wire.head().await.status
}

#[tokio::test]
async fn a_broken_handshake_gets_its_status() {
    let server = TestServer::start().await;
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    let good = handshake("/ws", &[&token]);
    assert_eq!(status_of(&server, &good).await, 101);
    for (name, head, status) in [
        ("another version", good.replace("Version: 13", "Version: 12"), 400),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), 400),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        ("an empty key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", ""), 400),
        ("a short key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (
            "a key that is no base64",
            good.replace("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!!!"),
            400,
        ),
        ("no upgrade", good.replace("Upgrade: websocket\r\n", ""), 426),
        ("another upgrade", good.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        ("no connection header", good.replace("Connection: Upgrade\r\n", ""), 426),
        ("connection close", good.replace("Connection: Upgrade", "Connection: close"), 426),
        ("POST", good.replace("GET /ws", "POST /ws"), 405),
        ("PUT", good.replace("GET /ws", "PUT /websocket"), 405),
        ("another path", good.replace("GET /ws", "GET /ws/elsewhere"), 404),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("a bad header name", good.replace("Host:", "Ho st:"), 400),
    ] {
        assert_eq!(status_of(&server, &head).await, status, "{name}");
    }
    let odd = good
        .replace("Connection: Upgrade", "Connection: keep-alive, uPgRaDe")
        .replace("Upgrade: websocket", "Upgrade: WebSocket");
    assert_eq!(status_of(&server, &odd).await, 101, "names without regard to case, among others");
    assert_eq!(status_of(&server, &good.replace("Version: 13", "Version: 12")).await, 400);
    let mut wire = Wire::dial(server.address()).await;
    wire.write(good.replace("Version: 13", "Version: 8").as_bytes()).await;
    assert_eq!(wire.head().await.header("sec-websocket-version"), Some("13"));
    server.user("ada").connect().await;
}

/// Bug: a head of a little more than 64 KiB that arrived in one piece was let in.
#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_lines_is_431() {
    let server = TestServer::start().await;
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    let with_lines = |count: usize| {
        let lines: Vec<String> = (0..count).map(|number| format!("X-Filler-{number}: x")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain([token.as_str()]).collect();
        handshake("/ws", &lines)
    };
    // A handshake has five lines of its own, and the token's.
    assert_eq!(status_of(&server, &with_lines(94)).await, 101, "100 lines");
    assert_eq!(status_of(&server, &with_lines(95)).await, 431, "101 lines");
    assert_eq!(status_of(&server, &with_lines(1000)).await, 431, "1006 lines");
    for bytes in [66 << 10, 200 << 10, 2 << 20] {
        let line = format!("X-Filler: {}", "x".repeat(bytes));
        assert_eq!(status_of(&server, &handshake("/ws", &[&line])).await, 431, "{bytes} bytes");
    }
    let line = format!("X-Filler: {}", "x".repeat(60 << 10));
    assert_eq!(status_of(&server, &handshake("/ws", &[&line, &token])).await, 101, "60 KiB");
    let path = format!("/ws?x={}", "y".repeat(70 << 10));
    let status = status_of(&server, &handshake(&path, &[&token])).await;
    assert!([414, 431].contains(&status), "a long address is {status}");
    server.user("ada").connect().await;
}

/// Bugs: a close of the client that crossed an event was left without its answer, and so was one that came after as
/// many pings as a user may send.
#[tokio::test]
async fn a_close_is_answered_while_events_come() {
    let busy = acting("busy", |context| async move {
        loop {
            context.emit(thinking("more")).await?;
        }
    });
    let server = TestServer::builder().agents([busy]).config(unhurried).start().await;
    let ada = server.user("ada");
    ada.connect().await.send(json!({ "type": "chat", "content": "go", "agent": "busy" })).await;
    let token = ada.token();
    for round in 0..200 {
        let mut wire = Wire::welcomed(server.address(), &token).await;
        wire.write(&masked(FIN | CLOSE, &1000_u16.to_be_bytes())).await;
        assert_eq!(wire.close_code().await, Some(1000), "round {round}");
    }
}

fn unhurried(config: &mut Config) {
    config.limits.handshakes_per_second = 0;
    config.limits.other_frames_per_minute = 0;
    config.limits.run_seconds = 30.0;
}

/// Bug: a message of empty fragments never got larger, so no limit ever saw it and it went on for ever.
#[tokio::test]
async fn a_message_of_fragments_without_end_is_too_large() {
    let server = TestServer::start_with(|config| {
        (config.limits.message_bytes, config.limits.message_hard_bytes) = (16 << 10, 64 << 10);
    })
    .await;
    let endless: Vec<u8> =
        [masked(TEXT, b"")].into_iter().chain((0..100_000).map(|_| masked(0, b""))).flatten().collect();
    assert_eq!(closed_after(&server, &endless).await, Some(1009));
}
