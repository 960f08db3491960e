//! The floors of the server: who may import whom, that no rooms import each other, who knows axum, and who names a
//! concrete backend.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::paths::{Mention, mentions, tokens};
use crate::{Source, assert_none, sources_of};

/// From the ground up. A module may use its own floor and those below.
const FLOORS: [(&str, &[&str]); 7] = [
    (
        "ground",
        &[
            "clock",
            "config",
            "error",
            "failpoints",
            "files",
            "limits",
            "metrics",
            "permissions",
            "shutdown",
            "traces",
            "tls",
        ],
    ),
    ("seams", &["auth", "store", "broker"]),
    ("rules", &["threads", "runs", "delivery"]),
    ("live", &["session", "hub"]),
    ("parts", &["app"]),
    ("edge", &["http", "ws"]),
    ("roof", &["server"]),
];

/// The implementations behind a trait; everybody but the roof knows only the trait.
const BACKENDS: [(&str, &[&str]); 2] =
    [("store", &["embedded", "postgres"]), ("broker", &["local", "redis"])];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn violations(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(violations_in).chain(circle(&imports(sources))).collect()
}

/// The rooms that each room imports, outside of tests, and one line of source for each.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) fn imports(sources: &[Source]) -> Imports {
    let mut imports = Imports::new();
    for source in sources {
        let Some(room) = source.module.first() else { continue };
        for mention in mentions(&tokens(source)).into_iter().filter(|mention| !mention.in_tests) {
            let Some(named) = mention.path.first().filter(|named| *named != room) else { continue };
            let line = format!("{}:{}", source.file, mention.line);
            imports.entry(room.clone()).or_default().entry(named.clone()).or_insert(line);
        }
    }
    imports
}

/// A circle of rooms that import each other, if there is one; no shorter one goes through its first room.
pub(crate) fn circle(imports: &Imports) -> Option<String> {
    let ways = imports.keys().filter_map(|first| way_back(imports, first));
    let way = ways.min_by_key(Vec::len)?;
    let arrows = way.iter().zip(way.iter().cycle().skip(1));
    let arrows = arrows.map(|(from, to)| format!("\n  {from} -> {to}: {}", imports[*from][*to]));
    Some(format!("rooms import each other:{}", arrows.collect::<String>()))
}

/// The rooms of the shortest way from a room back to itself.
fn way_back<'a>(imports: &'a Imports, first: &'a str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([vec![first]]);
    while let Some(way) = ways.pop_front() {
        for named in imports.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if named == first {
                return Some(way);
            }
            if seen.insert(named) {
                ways.push_back(way.iter().copied().chain([named.as_str()]).collect());
            }
        }
    }
    None
}

fn violations_in(source: &Source) -> Vec<String> {
    let Some(room) = source.module.first() else { return Vec::new() }; // lib.rs is the list of the rooms
    let Some(floor) = floor_of(room) else {
        return vec![format!("{}: `{room}` stands on no floor; docs/architecture.md has them", source.file)];
    };
    let tokens = tokens(source);
    let mut found = Vec::new();
    if FLOORS[floor].0 != "edge" {
        for token in tokens.iter().filter(|token| token.text == "axum") {
            found.push(format!("{}:{}: only http and ws know axum", source.file, token.line));
        }
    }
    for mention in mentions(&tokens) {
        if let Some(why) = upward(room, floor, &mention).or_else(|| concrete(room, &mention)) {
            found.push(format!(
                "{}:{}: crate::{}: {why}",
                source.file,
                mention.line,
                mention.path.join("::")
            ));
        }
    }
    found
}

fn upward(room: &str, floor: usize, mention: &Mention) -> Option<String> {
    let named = mention.path.first()?;
    match floor_of(named) {
        Some(other) if other > floor => Some(format!(
            "{room} ({}) imports {named} ({}), which is above it; imports point down only",
            FLOORS[floor].0, FLOORS[other].0
        )),
        None if FLOORS[floor].0 != "roof" => {
            Some(format!("name the room that `{named}` lives in, so that its floor shows"))
        }
        _ => None,
    }
}

/// `store::embedded::…` and names such as `store::EmbeddedStore`. A room's own files and tests may name its cases.
fn concrete(room: &str, mention: &Mention) -> Option<String> {
    let [seam, case, ..] = mention.path.as_slice() else { return None };
    let (_, cases) = BACKENDS.iter().find(|(name, _)| name == seam)?;
    let is_case = cases.iter().any(|name| case.to_lowercase().starts_with(name));
    let may_name_it = room == "server" || room == seam || mention.in_tests;
    (is_case && !may_name_it).then(|| format!("only server.rs names a concrete {seam}"))
}

#[test]
fn imports_of_the_server_point_down_only() {
    assert_none(&violations(&sources_of("server")));
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("store.rs", "use crate::hub::Hub;", "store (seams) imports hub (live)"),
        (
            "runs/lease.rs",
            "use crate::{error::Error, store::{Store}, ws::writer::Writer};",
            "imports ws (edge)",
        ),
        ("limits.rs", "fn f(c: &crate::config::Config) -> crate::auth::Principal {}", "imports auth (seams)"),
        ("delivery/replay.rs", "use super::super::session::Session;", "imports session (live)"),
        ("threads.rs", "fn f() { tracing::info!(\"{}\", crate::http::COUNT) }", "imports http (edge)"),
        ("hub.rs", "mod tests { use super::super::server::Server; }", "imports server (roof)"),
        ("hub.rs", "use crate::*;", "name the room"),
        ("hub.rs", "use crate::Server;", "name the room"),
        ("weather.rs", "", "stands on no floor"),
        ("hub.rs", "use axum::extract::ws::Message;", "only http and ws know axum"),
        ("server.rs", "async fn f() { axum::serve(a, b).await }", "only http and ws know axum"),
        ("runs.rs", "use crate::store::embedded::Embedded;", "only server.rs names a concrete store"),
        ("http.rs", "use crate::broker::{Broker, LocalBroker};", "only server.rs names a concrete broker"),
    ];
    for (file, text, expected) in planted {
        let found = violations(&[Source::planted(file, text)]);
        assert_eq!(found.len(), 1, "{file}: {text}: {found:?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
}

#[test]
fn a_planted_circle_is_found() {
    let rooms = |planted: &[(&str, &str)]| -> Vec<Source> {
        planted.iter().map(|(file, text)| Source::planted(file, text)).collect()
    };
    let circle = rooms(&[
        ("runs.rs", "use crate::store::X; use crate::threads::X;"),
        ("threads/names.rs", "use crate::delivery::X;"),
        ("delivery.rs", "use crate::runs::X;"),
    ]);
    let found = violations(&circle);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = "rooms import each other:\n  delivery -> runs: delivery.rs:1\n  runs -> threads: runs.rs:1\n  \
                    threads -> delivery: threads/names.rs:1";
    assert_eq!(found[0], expected);
    let line = rooms(&[
        ("ws.rs", "use crate::app::X;"),
        ("http.rs", "use crate::{app::X, ws::X};"),
        ("ws/tests.rs", "use crate::http::X;"),
    ]);
    assert_none(&violations(&line));
}

#[test]
fn imports_that_point_down_are_allowed() {
    let allowed = [
        ("lib.rs", "pub mod server; pub use server::Server; pub use crate::store::embedded::Embedded;"),
        ("server.rs", "use crate::{http, hub::Hub, store::embedded::Embedded, broker::local::Local};"),
        (
            "ws/connection.rs",
            "use axum::extract::ws::WebSocket; use super::writer::Writer; use crate::http::X;",
        ),
        ("hub.rs", "use crate::broker::Broker; use crate::session::Session; use wireproof_protocol::Event;"),
        ("store.rs", "pub mod embedded; use self::embedded::Embedded; use crate::error::Error;"),
        ("delivery.rs", "mod tests { use crate::store::embedded::Embedded; use super::*; }"),
        ("config.rs", "use std::time::Duration; /// See [`crate::server`].\npub struct Config;"),
    ];
    for (file, text) in allowed {
        assert_none(&violations(&[Source::planted(file, text)]));
    }
}
