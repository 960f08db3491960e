//! `wireproof verify`: judges a history that was written before, by the same function that judges one that just happened.

use std::{io::Write, path::PathBuf, time::Instant};

use clap::Args;
use serde_json::json;
use wireproof_judge::{
    proof::{Judgement, judge},
    record::{HistoryError, Read, read_file},
};
use wireproof_protocol::{printable, printable_line};

use crate::{
    exit::Stop,
    output,
    transcript::{BOLD, DIM, NOTE},
};

/// The arguments of `wireproof verify`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  wireproof verify ./history.jsonl\n\nExit codes: 0 no violation, 1 at least one, 2 the file is no history, or holds no received frame."
)]
pub(crate) struct Verify {
    /// The history, as `wireproof check --record` and `wireproof load --record` write it.
    file: PathBuf,
    /// Print the judgement as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Violations of faults that are shown; the last line says how many there are.
const EXCUSED: usize = 20;

impl Verify {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let history = read_file(&self.file).map_err(|error| match error {
            HistoryError::File { .. } => Stop::Usage(error.to_string()),
            error => Stop::Usage(format!("{} is no history: {error}", self.file.display())),
        })?;
        let began = Instant::now();
        let judgement = judge(&history.header, &history.ops);
        if judgement.counts.frames == 0 && judgement.is_clean() {
            let file = self.file.display();
            let why = format!("{file} has no frame that came to anybody: there is nothing to judge");
            return Err(Stop::Usage(why).into());
        }
        let seconds = began.elapsed().as_secs_f64();
        let mut out = output::of(self.json).even_unread();
        if self.json {
            let judged = json!({ "header": &history.header, "torn": history.torn, "judgement": &judgement });
            writeln!(out, "{judged}")?;
        } else {
            tell(&mut out, &history, &judgement, seconds)?;
        }
        if judgement.is_clean() { Ok(()) } else { Err(Stop::Failed.into()) }
    }
}

fn tell(out: &mut impl Write, history: &Read, judgement: &Judgement, seconds: f64) -> std::io::Result<()> {
    let header = &history.header;
    writeln!(
        out,
        "{DIM}a history of {} by the profile {}, seed {:#x}, wireproof {}: {} ops, judged in {seconds:.3} s{DIM:#}",
        printable_line(&header.target),
        printable_line(&header.profile),
        header.seed,
        printable_line(&header.version),
        judgement.counts.ops
    )?;
    if history.torn {
        writeln!(out, "{NOTE}the last line is torn and was left out: whoever wrote it died{NOTE:#}")?;
    }
    for violation in &judgement.violations {
        writeln!(out, "\n{BOLD}FAIL{BOLD:#} {}", printable(&violation.tell(header, &history.ops)))?;
    }
    for excused in judgement.excused.iter().take(EXCUSED) {
        writeln!(out, "\nnot counted: {}", printable(&excused.tell(header, &history.ops)))?;
    }
    if !judgement.violations.is_empty() || !judgement.excused.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{}", printable(&judgement.tell()))
}
