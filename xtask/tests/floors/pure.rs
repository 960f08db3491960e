//! The pure rooms: no sockets, no database, and `now` comes from the caller.

use crate::paths::{Token, tokens};
use crate::{Source, assert_none, sources_of};

/// Each crate's modules that are pure, with what is below them. An empty name is the whole crate.
const PURE: [(&str, &[&str]); 3] =
    [("protocol", &[""]), ("client", &["reconnect", "resume"]), ("server", &["session", "delivery::feed"])];

/// What no pure room names.
pub(crate) const OUTSIDE: [&str; 5] = ["tokio", "axum", "rusqlite", "tungstenite", "tokio_tungstenite"];

fn is_pure(source: &Source, rooms: &[&str]) -> bool {
    let module = source.module.join("::");
    rooms.iter().any(|room| room.is_empty() || module == *room || module.starts_with(&format!("{room}::")))
}

fn violations<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let tokens = tokens(source);
        for (at, token) in tokens.iter().enumerate() {
            if OUTSIDE.contains(&token.text.as_str()) {
                found.push(format!("{}:{}: a pure room names {}", source.file, token.line, token.text));
            }
            if asks_the_clock(&tokens[at..]) && !token.in_tests() {
                found.push(format!(
                    "{}:{}: a pure room is given `now`; it never asks",
                    source.file, token.line
                ));
            }
        }
    }
    found
}

/// `Instant::now(` and its like.
fn asks_the_clock(tokens: &[Token]) -> bool {
    let texts: Vec<&str> = tokens.iter().take(4).map(|token| token.text.as_str()).collect();
    texts == [":", ":", "now", "("]
}

#[test]
fn pure_rooms_name_no_io_and_no_clock() {
    for (name, rooms) in PURE {
        assert_none(&violations(sources_of(name).iter().filter(|source| is_pure(source, rooms))));
    }
}

#[test]
fn a_planted_violation_is_found() {
    for text in [
        "use tokio::sync::mpsc;",
        "fn f(e: rusqlite::Error) {}",
        "fn f() { let now = std::time::Instant::now(); }",
        "fn f() { json!({ \"at\": SystemTime::now() }) }",
    ] {
        assert_eq!(violations(&[Source::planted("session.rs", text)]).len(), 1, "{text}");
    }
    let allowed =
        "fn f(now: Instant) { now.elapsed(); Uuid::now_v7(); } mod tests { fn f() { Instant::now(); } }";
    assert_none(&violations(&[Source::planted("session.rs", allowed)]));
}

#[test]
fn a_room_is_pure_with_all_that_is_in_it() {
    let rooms = ["session", "delivery::replay"];
    for (file, pure) in [
        ("session.rs", true),
        ("session/frame.rs", true),
        ("delivery/replay.rs", true),
        ("delivery.rs", false),
        ("sessions.rs", false),
    ] {
        assert_eq!(is_pure(&Source::planted(file, ""), &rooms), pure, "{file}");
    }
}
