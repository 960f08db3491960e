//! The floors of the server: who may import whom, who knows axum, and who names a concrete backend.

use crate::paths::{Mention, mentions, tokens};
use crate::{Source, assert_none, sources_of};

/// From the ground up. A module may use its own floor and those below.
const FLOORS: [(&str, &[&str]); 6] = [
    (
        "ground",
        &["clock", "config", "error", "files", "metrics", "limits", "sabotage", "shutdown", "traces", "tls"],
    ),
    ("seams", &["auth", "store", "broker"]),
    ("rules", &["threads", "runs", "delivery"]),
    ("live", &["session", "hub"]),
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
    sources.iter().flat_map(violations_in).collect()
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
