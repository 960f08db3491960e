//! The developers' commands: `cargo xtask setup`, `test`, `bench`, `fuzz` and `dist`.
#![allow(clippy::print_stdout, reason = "printing is what these commands are for")]

mod args;
mod bench;
mod dist;
mod fuzz;
mod process;
mod setup;
mod steps;
mod table;
mod tally;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Request;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match args::parse(lexopt::Parser::from_env())? {
        Request::Help => {
            print!("{}", args::help());
            Ok(())
        }
        Request::Setup => setup::install(&Workspace::find()?, &setup::Need::ALL),
        Request::Test { only, extra } => steps::run(&Workspace::find()?, &only, &extra),
        Request::Bench(request) => bench::run(&Workspace::find()?, &request),
        Request::Dist { tries } => dist::run(&Workspace::find()?, tries),
        Request::Fuzz { only, minutes } => fuzz::run(&Workspace::find()?, &only, minutes),
    }
}
