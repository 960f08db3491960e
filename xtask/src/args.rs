//! The command line: what was asked for, and the help that lists what can be.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;

use crate::{bench, fuzz, steps};

const DEFAULT_RUNS: usize = 5;
const DEFAULT_MINUTES: f64 = 10.0;

/// What a command line asks for. An empty `only` means everything.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Help,
    Setup,
    Test { only: Vec<String>, extra: Vec<String> },
    Bench(bench::Request),
    Fuzz { only: Vec<String>, minutes: f64 },
    Dist { tries: bool },
}

pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Request> {
    let (mut command, mut only, mut extra) = (None, Vec::new(), Vec::new());
    let (mut runs, mut minutes, mut tries, mut peers, mut against) = (None, None, true, false, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("help") | Short('h') => return Ok(Request::Help),
            Long("only") => only.extend(parser.value()?.string()?.split(',').map(str::to_owned)),
            Long("no-trial") => tries = false,
            Long("peers") => peers = true,
            Long("against") => against = Some(PathBuf::from(parser.value()?)),
            Long("runs") => runs = Some(parser.value()?.parse::<usize>()?),
            Long("minutes") => minutes = Some(parser.value()?.parse::<f64>()?),
            Value(name) if command.is_none() => command = Some(name.string()?),
            Value(word) => {
                extra.push(word.string()?);
                for word in parser.raw_args()? {
                    extra.push(word.string()?);
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let request = match command.as_deref() {
        None | Some("help") => Request::Help,
        Some("setup") => Request::Setup,
        Some("test") => Request::Test { only, extra },
        Some("bench") => {
            Request::Bench(bench::Request { only, runs: runs.unwrap_or(DEFAULT_RUNS), peers, against })
        }
        Some("dist") => Request::Dist { tries },
        Some("fuzz") => Request::Fuzz { only, minutes: minutes.unwrap_or(DEFAULT_MINUTES) },
        Some(unknown) => bail!("there is no command `{unknown}`; see `cargo xtask help`"),
    };
    check(&request)?;
    Ok(request)
}

fn check(request: &Request) -> Result<()> {
    match request {
        Request::Test { only, extra } => {
            known(only, &steps::names())?;
            ensure!(
                extra.is_empty() || only.len() == 1,
                "more arguments go to one step only: cargo xtask test --only nextest -- {}",
                extra.join(" ")
            );
        }
        Request::Bench(request) => {
            known(&request.only, &request.names())?;
            ensure!(request.runs > 0, "--runs must be 1 or more");
        }
        Request::Fuzz { only, minutes } => {
            known(only, &fuzz::names())?;
            ensure!((0.01..=10_000.0).contains(minutes), "--minutes must be from 0.01 to 10000");
        }
        Request::Help | Request::Setup | Request::Dist { .. } => {}
    }
    Ok(())
}

fn known(asked: &[String], names: &[&str]) -> Result<()> {
    match asked.iter().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => bail!("there is no `{unknown}`; --only takes some of {}", names.join(",")),
        None => Ok(()),
    }
}

pub(crate) fn help() -> String {
    format!(
        "cargo xtask setup                       install what the tests need\n\
         cargo xtask test [--only STEP,…]        install it, then run every test\n\
         cargo xtask test --only STEP -- ARG…    one step, with more arguments for it\n\
         cargo xtask bench [--only NAME,…] [--runs {DEFAULT_RUNS}]\n\
         \u{20}                                       build for release and run the benchmarks\n\
         cargo xtask bench --peers | --against PROGRAM\n\
         \u{20}                                       the same load on other servers, or on another build of wireproof\n\
         cargo xtask fuzz [--only NAME,…] [--minutes {DEFAULT_MINUTES}]\n\
         \u{20}                                       run the fuzz targets, so many minutes each\n\
         cargo xtask dist [--no-trial]           build an archive and a Debian package, and try both (as root)\n\n\
         steps:  {}\nfuzz targets: {}\nbenches:\n{}benches with --peers or --against: {}\n",
        steps::names().join(","),
        fuzz::names().join(","),
        bench::list(),
        bench::comparison::names().join(","),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_bare_test_means_every_step() {
        assert_eq!(parsed("test").unwrap(), Request::Test { only: vec![], extra: vec![] });
    }

    #[test]
    fn only_takes_a_list_and_may_be_repeated() {
        let expected = Request::Test { only: words(&["fmt", "clippy", "doc"]), extra: vec![] };
        assert_eq!(parsed("test --only fmt,clippy --only doc").unwrap(), expected);
    }

    #[test]
    fn what_follows_two_dashes_goes_to_the_one_step() {
        let expected = Request::Test { only: words(&["nextest"]), extra: words(&["resume", "--no-capture"]) };
        assert_eq!(parsed("test --only nextest -- resume --no-capture").unwrap(), expected);
        assert!(parsed("test -- resume").is_err());
    }

    #[test]
    fn names_that_do_not_exist_are_refused_with_those_that_do() {
        let error = parsed("test --only fmt,clipy").unwrap_err().to_string();
        assert!(error.contains("`clipy`") && error.contains("fmt,clippy"), "{error}");
        assert!(parsed("bench --only nothing").is_err());
        assert!(parsed("tset").is_err());
    }

    #[test]
    fn fuzz_takes_minutes_and_names() {
        let expected = Request::Fuzz { only: words(&["token"]), minutes: 0.5 };
        assert_eq!(parsed("fuzz --only token --minutes 0.5").unwrap(), expected);
        assert!(parsed("fuzz --minutes 0").is_err() && parsed("fuzz --only tokens").is_err());
    }

    #[test]
    fn dist_tries_what_it_built_unless_told_otherwise() {
        assert_eq!(parsed("dist").unwrap(), Request::Dist { tries: true });
        assert_eq!(parsed("dist --no-trial").unwrap(), Request::Dist { tries: false });
    }

    fn of_bench(line: &str) -> bench::Request {
        match parsed(line).unwrap() {
            Request::Bench(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bench_takes_a_number_of_runs() {
        let expected = bench::Request { only: vec![], runs: 3, peers: false, against: None };
        assert_eq!(of_bench("bench --runs 3"), expected);
        assert!(parsed("bench --runs 0").is_err());
    }

    #[test]
    fn bench_compares_with_peers_and_with_another_build() {
        assert!(of_bench("bench --peers").peers);
        let both = of_bench("bench --peers --against base/wireproof --only closed-loop");
        assert_eq!(both.against, Some(PathBuf::from("base/wireproof")));
        assert!(parsed("bench --peers --only resume").is_err(), "peers resume nothing");
        assert!(parsed("bench --only closed-loop").is_err(), "alone it is called otherwise");
    }
}
