//! Positions: the query of the upgrade, then frames. Where the events begin is judged by the table of docs/protocol.md.

use serde_json::Value;

use crate::rig::{EVENTS, Rig, Socket, masked, with};

/// The first line is the query, each further one a text frame; `EPOCH` stands for the user's own number line.
pub fn resume_query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    with(|rig| {
        let text = text.replace("EPOCH", &rig.epoch);
        let mut lines = text.split('\n');
        let query = lines.next().unwrap_or_default();
        rig.block_on(async |rig: &Rig| {
            let mut socket = match rig.upgrade(&format!("?{query}")).await {
                Ok(socket) => socket,
                // A query that is no part of an address, or a long one.
                Err(status) => return assert!(matches!(status, 400 | 414 | 431), "{status} for {query:?}"),
            };
            let beginning = until_pong(&mut socket, "opening").await;
            // Other credentials in the query than the rig's are another target's matter.
            if !["ticket=", "token="].iter().any(|name| query.contains(name)) {
                judge(query, &rig.epoch, &beginning);
            }
            for (number, line) in lines.enumerate().take(8) {
                socket.write(&masked(0x81, line.as_bytes())).await;
                let came = until_pong(&mut socket, &format!("frame {number}")).await;
                in_order(&came);
                assert!(!came.is_empty() || line.len() > 1 << 20, "nothing came of {line:?}");
            }
        });
    });
}

/// Pings, and collects what comes before the pong: all there is.
async fn until_pong(socket: &mut Socket, id: &str) -> Vec<Value> {
    socket.write(&masked(0x81, format!("{{\"type\":\"ping\",\"id\":\"pong of {id}\"}}").as_bytes())).await;
    let mut came = Vec::new();
    while let Some(frame) = socket.frame().await {
        let json = frame.json();
        assert_ne!(frame.first, 0x88, "closed: {:?}", String::from_utf8_lossy(&frame.payload));
        if json["type"] == "pong" && json["id"] == format!("pong of {id}") {
            return came;
        }
        if frame.first == 0x81 {
            came.push(json);
        }
    }
    panic!("the connection ended before the pong of {id}")
}

fn judge(query: &str, epoch: &str, beginning: &[Value]) {
    let value = |name: &str| {
        let mut pairs =
            query.split('#').next().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.rfind(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let kinds: Vec<_> = beginning.iter().map(|frame| frame["type"].as_str().unwrap_or_default()).collect();
    let Some((&"connection_established", rest)) = kinds.split_first() else {
        panic!("no welcome: {kinds:?}")
    };
    let head = beginning[0]["seq"].as_u64().expect("the head is a number");
    assert!(head >= EVENTS);
    let resumed = beginning[0]["resumed"] == true;
    let (named, after) = (value("epoch"), value("after"));
    let is_epoch = |text: &str| {
        text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let good = named
        .filter(|text| is_epoch(text))
        .zip(after.filter(|text| is_number(text)).and_then(|text| text.parse::<u64>().ok()));
    let told =
        |code: &str| rest.contains(&"error") && beginning.iter().any(|frame| frame["error_code"] == code);
    match good {
        None if named.is_none() && after.is_none() => assert!(!resumed && !rest.contains(&"caught_up")),
        None => assert!(!resumed && told("invalid_frame") && !rest.contains(&"caught_up"), "{kinds:?}"),
        Some((named, _)) if named != epoch => {
            assert!(!resumed && rest.contains(&"snapshot") && rest.contains(&"caught_up"), "{kinds:?}");
        }
        Some((_, after)) if after > head => assert!(!resumed && told("cursor_ahead"), "{kinds:?}"),
        Some((_, after)) => {
            assert!(resumed && rest.contains(&"caught_up"), "{kinds:?}");
            let first = beginning.iter().find(|frame| frame.get("event_id").is_some());
            let first = first.map(|event| event["first_seq"].as_u64().or(event["seq"].as_u64()));
            assert_eq!(first, (after < head).then_some(Some(after + 1)), "the replay begins elsewhere");
        }
    }
    in_order(beginning);
}

/// Events follow each other without a gap, as far as they belong to one replay.
fn in_order(frames: &[Value]) {
    let mut last = None;
    for frame in frames {
        let Some(seq) = frame.get("event_id").and_then(|_| frame["seq"].as_u64()) else {
            last = None;
            continue;
        };
        let first = frame["first_seq"].as_u64().unwrap_or(seq);
        assert!(
            first <= seq && last.is_none_or(|last: u64| first == last + 1),
            "{last:?}, then {first} to {seq}"
        );
        last = Some(seq);
    }
}
