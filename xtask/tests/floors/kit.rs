//! The floors of the kit's crates: imports point down only, and no two rooms import each other, not even by way of others.

use crate::paths::{mentions, tokens};
use crate::server::{circle, imports};
use crate::{Source, assert_none, sources_of};

/// The rooms of a crate from the ground up. A room may use those of its own floor and those below.
type Floors = &'static [&'static [&'static str]];

const CRATES: [(&str, Floors); 3] = [
    (
        "testkit",
        &[
            &[
                "server_thread",
                "received",
                "deadline",
                "decorators",
                "diff",
                "issuer",
                "recording",
                "rest",
                "scripted_agent",
                "seams",
                "unreliable",
            ],
            &["history", "matcher", "run", "table"],
            &["client", "expect"],
            &["account", "event_report", "server_info", "tokens", "user"],
            &["server"],
        ],
    ),
    ("faultproxy", &[&["wire"], &["proxy"]]),
    (
        "judge",
        &[
            &["profile"],
            &["record", "rules", "received_frame"],
            &["outcome", "proof", "report", "target"],
            &["session"],
            &["context"],
            &["workload"],
            &["check"],
        ],
    ),
];

fn violations(sources: &[Source], floors: Floors) -> Vec<String> {
    let floor_of = |room: &str| floors.iter().position(|rooms| rooms.contains(&room));
    let mut found = Vec::new();
    for source in sources {
        let Some(room) = source.module.first() else { continue }; // lib.rs is the list of the rooms
        let Some(floor) = floor_of(room) else {
            found
                .push(format!("{}: `{room}` stands on no floor; docs/architecture.md has them", source.file));
            continue;
        };
        for mention in mentions(&tokens(source)) {
            let place = format!("{}:{}: crate::{}", source.file, mention.line, mention.path.join("::"));
            let Some(named) = mention.path.first().filter(|named| *named != room) else { continue };
            match floor_of(named) {
                Some(other) if other > floor => {
                    found.push(format!("{place}: {room} imports {named}, which is above it"));
                }
                Some(_) => {}
                None => {
                    found.push(format!(
                        "{place}: name the room that `{named}` lives in, so that its floor shows"
                    ));
                }
            }
        }
    }
    found.extend(circle(&imports(sources)));
    found
}

#[test]
fn imports_of_the_kit_point_down_only() {
    for (name, floors) in CRATES {
        assert_none(&violations(&sources_of(name), floors));
    }
}

#[test]
fn a_planted_violation_is_found() {
    const FLOORS: Floors = &[&["frame", "head", "key"], &["proxy"]];
    for (planted, expected) in [
        (&[("frame.rs", "use crate::proxy::Proxy;")][..], "frame imports proxy, which is above it"),
        (&[("frame.rs", "use super::proxy::Proxy;")], "frame imports proxy, which is above it"),
        (&[("proxy.rs", "use crate::Frame;")], "name the room that `Frame` lives in"),
        (&[("weather.rs", "")], "stands on no floor"),
    ] {
        let sources: Vec<Source> = planted.iter().map(|(file, text)| Source::planted(file, text)).collect();
        let found = violations(&sources, FLOORS);
        assert_eq!(found.len(), 1, "{planted:?}: {found:?}");
        assert!(found[0].contains(expected), "{}", found[0]);
    }
    let planted = [
        Source::planted("frame.rs", "use crate::head::Head;"),
        Source::planted("head.rs", "use crate::{key::Key};"),
        Source::planted("key.rs", "fn f() { crate::frame::parse() }"),
    ];
    let found = violations(&planted, FLOORS);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_none(&violations(&planted[..2], FLOORS));
}
