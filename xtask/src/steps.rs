//! `cargo xtask test`: the steps in their order, what each needs, and the table of their times.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::{self, Need};
use crate::table::Table;
use crate::tally::{self, Tally};
use crate::workspace::Workspace;

/// How a step's output is read for the number of tests.
#[derive(Clone, Copy, PartialEq)]
enum Counts {
    Nothing,
    Nextest,
    DocTests,
}

struct Step {
    name: &'static str,
    needs: &'static [Need],
    /// What cargo is given; arguments for this step alone are put where `+` stands.
    cargo: &'static str,
    counts: Counts,
}

/// The tree is built once, with all features, the failpoints among them; then without any, where a feature that is absent has
/// something to say, and for the client's tests against the server that ships.
const STEPS: [Step; 12] = [
    Step { name: "fmt", needs: &[Need::Rustfmt], cargo: "fmt --all + --check", counts: Counts::Nothing },
    Step {
        name: "clippy",
        needs: &[Need::Clippy],
        cargo: "clippy --workspace --all-features --all-targets + -- -D warnings",
        counts: Counts::Nothing,
    },
    Step {
        name: "no-features",
        needs: &[],
        cargo: "check --workspace --no-default-features +",
        counts: Counts::Nothing,
    },
    Step {
        name: "doc",
        needs: &[],
        cargo: "doc --workspace --all-features --no-deps +",
        counts: Counts::Nothing,
    },
    Step {
        name: "deny",
        needs: &[Need::Deny, Need::Sources],
        cargo: "deny --offline check --hide-inclusion-graph + bans licenses sources",
        counts: Counts::Nothing,
    },
    Step {
        name: "nextest",
        needs: &[
            Need::Nextest,
            Need::Python,
            Need::Node,
            Need::Chromium,
            Need::Promtool,
            Need::Websocketd,
            Need::Nginx,
            Need::Caddy,
        ],
        cargo: "nextest run --workspace --all-features --profile ci -E not(binary(self_test)) +",
        counts: Counts::Nextest,
    },
    // The same tests over seams that do what a network does. Left out over a broker that loses notices: what measures the
    // machine (heavy_); `in_the_middle_of_a_run`, which wants a tool open that may be over by the time that a later notice
    // shows the lost one; `older_than_the_retention`, whose log lets go of events sooner than a lost notice shows, so that a
    // client is given a snapshot in their place; and `resumed_while_the_log_is_folded`, which counts a cut at every number: a client whose notice
    // is lost reads deltas that are merged by then, and no event ends with that number.
    Step {
        name: "unreliable-broker",
        needs: &[Need::Nextest],
        cargo: "nextest run --workspace --all-features --profile ci -E package(wireproof-testkit)&binary(it)&(test(/^(five_events|resume|positions|isolation|idempotency|threads|runs|drain|revocation)::/)-test(/heavy_|older_than_the_retention|resumed_while_the_log_is_folded|in_the_middle_of_a_run/)) +",
        counts: Counts::Nextest,
    },
    Step {
        name: "unreliable-store",
        needs: &[Need::Nextest],
        cargo: "nextest run --workspace --all-features --profile ci -E package(wireproof-testkit)&binary(it)&(test(/^(five_events|runs|idempotency|misbehaving|bounds|drain)::/)-test(/heavy_/)) +",
        counts: Counts::Nextest,
    },
    Step {
        name: "self-test",
        needs: &[Need::Nextest],
        cargo: "nextest run --workspace --all-features --test self_test --profile ci +",
        counts: Counts::Nextest,
    },
    Step {
        name: "absent",
        needs: &[Need::Nextest],
        cargo: "nextest run --workspace --no-default-features --test absent --test client --profile ci +",
        counts: Counts::Nextest,
    },
    // By itself: in the workspace the program switches the client's TLS on.
    Step {
        name: "absent-tls",
        needs: &[Need::Nextest],
        cargo: "nextest run -p wireproof-client --no-default-features --test open --profile ci +",
        counts: Counts::Nextest,
    },
    Step {
        name: "doctest",
        needs: &[],
        cargo: "test --doc --workspace --all-features +",
        counts: Counts::DocTests,
    },
];

pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

fn is_chosen(step: &Step, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|name| name == step.name)
}

/// What came of the steps so far.
#[derive(Default)]
struct Progress {
    times: Vec<(&'static str, Duration)>,
    tests: Option<Tally>,
    summaries: Vec<String>,
}

/// Installs what the chosen steps need and runs them, up to the first that fails.
pub(crate) fn run(workspace: &Workspace, only: &[String], extra: &[String]) -> Result<()> {
    let chosen: Vec<&Step> = STEPS.iter().filter(|step| is_chosen(step, only)).collect();
    let needs: Vec<Need> = chosen.iter().flat_map(|step| step.needs).copied().collect();
    let mut progress = Progress::default();

    let begun = Instant::now();
    setup::install(workspace, &needs)?;
    progress.times.push(("setup", begun.elapsed()));

    let outcome = chosen.iter().try_for_each(|step| run_step(step, workspace, extra, &mut progress));
    print_closing(&chosen, &progress, outcome.is_ok());
    outcome
}

fn run_step(step: &Step, workspace: &Workspace, extra: &[String], progress: &mut Progress) -> Result<()> {
    let mut command = step.command(workspace, extra);
    println!("\n== {}: {}", step.name, process::line(&command));
    let begun = Instant::now();
    let outcome = step.run(&mut command, progress);
    let time = begun.elapsed();
    progress.times.push((step.name, time));
    println!("== {}: {} in {}", step.name, if outcome.is_ok() { "ok" } else { "FAILED" }, seconds(time));
    outcome.with_context(|| {
        let again = if extra.is_empty() { String::new() } else { format!(" -- {}", extra.join(" ")) };
        format!(
            "step {0} failed; to repeat only it: cargo xtask test --only {0}{again}\n  because",
            step.name
        )
    })
}

impl Step {
    fn command(&self, workspace: &Workspace, extra: &[String]) -> Command {
        let mut command = workspace.cargo();
        for word in self.cargo.split_whitespace() {
            match word {
                "+" => command.args(extra),
                word => command.arg(word),
            };
        }
        if self.name == "doc" {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        if let Some(seam) = self.name.strip_prefix("unreliable-") {
            command.env("WIREPROOF_UNRELIABLE", seam);
        }
        command.envs(workspace.tools());
        command
    }

    fn run(&self, command: &mut Command, progress: &mut Progress) -> Result<()> {
        if self.counts == Counts::Nothing {
            return process::run(command);
        }
        let copied = process::run_and_copy(command)?;
        let tally = match (self.counts, tally::of_nextest(&copied.text)) {
            (Counts::DocTests, _) => tally::of_doc_tests(&copied.text),
            (_, Some((summary, tally))) => {
                progress.summaries.push(summary);
                tally
            }
            (_, None) if copied.outcome.is_ok() => bail!("nextest printed no summary line"),
            (_, None) => return copied.outcome,
        };
        *progress.tests.get_or_insert_default() += tally;
        copied.outcome
    }
}

/// The table of steps and times; then, if tests were run, what nextest closed with and the sum as the last line.
fn print_closing(chosen: &[&Step], progress: &Progress, ok: bool) {
    let mut table = Table::new(&["step", "time", "outcome"]);
    for (number, (name, time)) in progress.times.iter().enumerate() {
        let failed = !ok && number + 1 == progress.times.len();
        let outcome = if failed { "FAILED" } else { "ok" };
        table.push(vec![(*name).to_owned(), seconds(*time), outcome.to_owned()]);
    }
    for step in chosen.iter().skip(progress.times.len() - 1) {
        table.push(vec![step.name.to_owned(), "-".to_owned(), "not run".to_owned()]);
    }
    let total: Duration = progress.times.iter().map(|(_, time)| *time).sum();
    table.push(vec!["total".to_owned(), seconds(total), if ok { "ok" } else { "FAILED" }.to_owned()]);
    println!("\n{}", table.markdown());
    for summary in &progress.summaries {
        println!("{summary}");
    }
    if let Some(tests) = progress.tests {
        println!("{tests}");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
