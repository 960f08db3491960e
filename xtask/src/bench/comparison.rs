//! Other servers, or another build of wireproof, beside this one: who takes part, the workloads, and the table of ratios.

use std::path::{Path, PathBuf};

use super::noise;
use super::report::{Report, figure, spread};
use crate::setup;
use crate::table::Table;

/// What every contestant is given, and what is measured of it.
const WORKLOADS: [(&str, &str); 6] = [
    ("closed-loop", "256 users, each asks again as soon as the run is over"),
    ("open-loop", "1,000 users on 1,000 connections, each asks once a second; times from when a run was due"),
    ("few-users", "the same with 200 users"),
    ("memory", "2,000 connections: idle, after one run each, after a message of 16 KiB each"),
    ("jitter", "100 users behind a proxy that delays by 5 to 25 ms and cuts each connection after 700 ms"),
    ("storm", "10,000 clients that come back after a kill and a new start, and a user's runs meanwhile"),
];

/// The name that all ratios are to.
const OURS: &str = "wireproof";

/// One of the servers that are compared.
#[derive(Clone)]
pub(crate) struct Contestant {
    /// Its column in the tables.
    pub(crate) name: &'static str,
    /// What `wireproof-bench --server` takes.
    pub(crate) server: &'static str,
    /// The wireproof program, where it is one.
    pub(crate) program: PathBuf,
    about: String,
    stores: &'static str,
    missed: &'static str,
}

pub(crate) fn names() -> Vec<&'static str> {
    WORKLOADS.iter().map(|(name, _)| *name).collect()
}

/// This build, then the other one, then the peers.
pub(crate) fn contestants(ours: &Path, peers: bool, against: Option<&Path>) -> Vec<Contestant> {
    let build = |name, program: &Path, about: &str| Contestant {
        name,
        server: OURS,
        program: program.to_owned(),
        about: about.to_owned(),
        stores: "every event, with fsync, before it is delivered",
        missed: "comes, in order and once, also after a crash of the server",
    };
    let mut all = vec![build(OURS, ours, "as it ships, with its builtin agent; checks a token")];
    all.extend(against.map(|program| build("base", program, &format!("the build in {}", program.display()))));
    if peers {
        all.extend(PEERS.map(|(name, packages, stores, missed)| Contestant {
            name,
            server: name,
            program: ours.to_owned(),
            about: match packages {
                [] => "axum with tokio-tungstenite".to_owned(),
                packages => setup::pinned(packages),
            },
            stores,
            missed,
        }));
    }
    all
}

/// Name, what it is made of, what it stores, and what becomes of events that a connection missed. None checks a token.
const PEERS: [(&str, &[&str], &str, &str); 4] = [
    ("fastapi", &["fastapi", "uvicorn", "uvloop", "httptools", "websockets"], "nothing", "is lost"),
    ("ws", &["ws"], "nothing", "is lost"),
    (
        "socket.io",
        &["socket.io"],
        "nothing; in `jitter`, with `connectionStateRecovery`, two minutes in memory",
        "is lost; in `jitter` it comes while it is in memory",
    ),
    ("axum", &[], "nothing", "is lost"),
];

/// Who takes part; then a table a workload. A ratio is wireproof's figure divided by the other's of the same round.
pub(crate) fn markdown(contestants: &[Contestant], report: &Report) -> String {
    let mut who = Table::new(&["server", "what it is", "stores", "what a cut connection missed"]);
    for one in contestants {
        who.push(vec![one.name.into(), one.about.clone(), one.stores.into(), one.missed.into()]);
    }
    let mut text = format!(
        "{}\n\nOf wireproof the middle figure, in brackets the least and the greatest. Of the others the middle figure, and \
         wireproof's divided by theirs, round by round: the middle ratio, in brackets the least and the greatest. `none`: \
         it has no such thing.\n\n{}",
        report.head(),
        who.markdown()
    );
    for (workload, about) in WORKLOADS {
        if let Some(table) = workload_table(workload, contestants, report) {
            text += &format!("\n`{workload}`: {about}\n\n{}", table.markdown());
        }
    }
    text + &format!(
        "\nThe machine itself, around each round:\n\n{}",
        report.table(Some(noise::NAME)).markdown()
    )
}

/// One row a metric and one column a contestant; nothing when the workload was not run.
fn workload_table(workload: &str, contestants: &[Contestant], report: &Report) -> Option<Table> {
    let metrics = report.metrics(workload);
    if metrics.is_empty() {
        return None;
    }
    let head: Vec<&str> = std::iter::once("metric").chain(contestants.iter().map(|one| one.name)).collect();
    let mut table = Table::new(&head);
    for metric in metrics {
        let ours = report.figures(workload, OURS, metric);
        let cells = contestants.iter().map(|one| match report.figures(workload, one.name, metric) {
            theirs if theirs.is_empty() => "none".to_owned(),
            _ if one.name == OURS => {
                let [least, middle, greatest] = spread(ours.iter().map(|(_, figure)| *figure)).map(figure);
                format!("{middle} ({least} to {greatest})")
            }
            theirs => cell(&ours, &theirs),
        });
        table.push(std::iter::once(metric.to_owned()).chain(cells).collect());
    }
    Some(table)
}

/// The middle figure of another server and the ratios of ours to it; no ratio where it has nothing to divide by.
fn cell(ours: &[(usize, f64)], theirs: &[(usize, f64)]) -> String {
    let [_, middle, _] = spread(theirs.iter().map(|(_, figure)| *figure));
    let ratios = ratios(ours, theirs);
    if ratios.is_empty() {
        return figure(middle);
    }
    let [least, ratio, greatest] = spread(ratios);
    format!("{}; ×{ratio:.2} ({least:.2} to {greatest:.2})", figure(middle))
}

/// Ours divided by theirs, of the rounds that both have.
fn ratios(ours: &[(usize, f64)], theirs: &[(usize, f64)]) -> Vec<f64> {
    let in_round = |round| ours.iter().find(|(other, _)| *other == round).map(|(_, figure)| *figure);
    theirs
        .iter()
        .filter(|(_, figure)| *figure != 0.0)
        .filter_map(|(round, figure)| Some(in_round(*round)? / figure))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Sample;
    use super::*;

    #[test]
    fn a_ratio_is_of_two_figures_of_one_round() {
        let ours = [(0, 10.0), (1, 40.0), (2, 30.0)];
        assert_eq!(ratios(&ours, &[(0, 20.0), (1, 20.0), (2, 10.0)]), [0.5, 2.0, 3.0]);
        // The second round of the other one failed: its third is not put beside our second.
        assert_eq!(ratios(&ours, &[(0, 20.0), (2, 10.0)]), [0.5, 3.0]);
        assert_eq!(ratios(&ours, &[(0, 0.0)]), [0.0; 0]);
        assert_eq!(ratios(&[], &[(0, 1.0)]), [0.0; 0]);
    }

    #[test]
    fn the_table_has_ratios_with_their_spread_and_says_what_is_not_there() {
        let program = Path::new("/programs/wireproof");
        let all = contestants(program, true, Some(Path::new("/programs/base")));
        let mut report = Report::new("a machine".into(), "3 rounds".into());
        let figures =
            [("wireproof", [10.0, 20.0, 30.0]), ("base", [20.0, 20.0, 20.0]), ("ws", [5.0, 4.0, 3.0])];
        for round in 0..3 {
            for (server, of_rounds) in figures {
                let metrics = vec![("runs_per_s".to_owned(), of_rounds[round])];
                report.push(round, Some(server), Sample { name: "closed-loop".into(), metrics });
            }
            let metrics = vec![("store_bytes_per_run".to_owned(), 7.0)];
            report.push(round, Some("wireproof"), Sample { name: "closed-loop".into(), metrics });
        }
        let text = markdown(&all, &report);
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
        let runs = row("runs_per_s");
        assert!(runs.contains("20.00 (10.00 to 30.00)"), "{runs}");
        assert!(runs.contains("20.00; ×1.00 (0.50 to 1.50)"), "{runs}");
        assert!(runs.contains("4.00; ×5.00 (2.00 to 10.00)"), "{runs}");
        assert_eq!(row("store_bytes_per_run").matches("none").count(), 5, "{text}");
        report.push(
            3,
            None,
            Sample { name: "machine".into(), metrics: vec![("fixed loop ms".into(), 81.5)] },
        );
        assert!(
            markdown(&all, &report).contains("| machine | fixed loop ms | 81.50 |"),
            "the machine's own speed"
        );
        assert!(!text.contains("`storm`:") && row("| fastapi ").contains("uvicorn"), "{text}");
    }

    #[test]
    fn peers_and_the_other_build_take_part_when_they_are_asked_for() {
        let named = |peers, against| -> Vec<&str> {
            contestants(Path::new("w"), peers, against).iter().map(|one| one.name).collect()
        };
        assert_eq!(named(false, Some(Path::new("b"))), ["wireproof", "base"]);
        assert_eq!(named(true, None), ["wireproof", "fastapi", "ws", "socket.io", "axum"]);
        let both = contestants(Path::new("w"), false, Some(Path::new("b")));
        assert_eq!((both[0].program.as_path(), both[1].program.as_path()), (Path::new("w"), Path::new("b")));
        assert_eq!(both[0].server, both[1].server);
    }
}
